import lightgbm
import numpy as np
import pytest

from falaj.definitions import trainer
from falaj.kernel.errors import Unsupported
from falaj.models.export import export, parity_rows
from falaj.models.onnx_conversion import round_thresholds_down, to_onnx
from falaj.models.parity import compare
from falaj.models.training import fit
from falaj.models.training.fitted import Fitted


@pytest.mark.parametrize(
    "kind",
    [
        trainer.lightgbm(num_trees=20),
        trainer.xgboost(num_trees=20),
        trainer.sklearn("sklearn.ensemble.HistGradientBoostingClassifier", max_iter=20),
        trainer.sklearn("sklearn.ensemble.RandomForestClassifier", n_estimators=5),
    ],
    ids=lambda kind: kind.estimator or kind.kind,
)
def test_thresholds_between_neighbouring_floats_survive_the_export(kind: trainer.Trainer) -> None:
    rng = np.random.default_rng(0)
    near = (1 + rng.integers(0, 40, 3_000) * np.float32(2**-23)).astype(np.float32)
    large = (1.6e9 + rng.integers(0, 50, 3_000) * 128).astype(np.float32)
    matrix = np.ascontiguousarray(np.stack([near, large], 1))
    labels = ((near > np.median(near)) ^ (large > np.median(large))).astype(int)
    parity = export(fit(kind, matrix, labels, ("near", "large")), matrix).files[0].parity
    assert parity is not None and parity.max_abs is not None and parity.max_abs < 1e-6


def test_thresholds_rounded_down_change_no_answer_to_float32_rows() -> None:
    rows = np.random.default_rng(3).normal(size=(2_000, 2)).astype(np.float32)
    fitted = fit(trainer.lightgbm(num_trees=20), rows, rows.sum(1) > 0, ("a", "b"))
    rounded = lightgbm.Booster(model_str=round_thresholds_down(fitted.model.model_to_string()))
    assert rounded.predict(rows).tobytes() == fitted.predict(rows).tobytes()


def test_the_librarys_own_file_serves_where_onnx_differs() -> None:
    rows = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    fitted = fit(trainer.lightgbm(num_trees=5), rows, rows[:, 0] > 0, ("a", "b", "c"))
    exported = export(fitted, rows, tolerance=0.0)  # float32 sums differ in their last bits
    assert [file.runtime for file in exported.files] == ["onnx", "lightgbm", "trees"]
    assert exported.serving.runtime == "lightgbm"
    assert exported.files[0].parity is not None and not exported.files[0].parity.holds


def test_a_served_form_with_other_scores_is_kept_with_its_parity_for_the_gate_to_refuse() -> None:
    rows = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    fitted = fit(trainer.sklearn("sklearn.linear_model.LogisticRegression"), rows, rows[:, 0] > 0, ("a", "b", "c"))
    other = Fitted("sklearn", fitted.model, None, lambda m: fitted.predict(m) * 0.5, fitted.feature_names, {}, {})
    parity = export(other, rows).serving.parity
    assert parity is not None and not parity.holds and parity.share_above > 0.9


def test_a_model_without_a_converter_says_so() -> None:
    rows = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    path = "sklearn.semi_supervised.LabelPropagation"
    fitted = fit(trainer.sklearn(path), rows, rows[:, 0] > 0, ("a", "b", "c"))
    with pytest.raises(Unsupported, match="cannot be written as ONNX"):
        to_onnx(fitted)
    with pytest.raises(Unsupported, match="has no served form") as refused:
        export(fitted, rows)
    assert "fj.python" in refused.value.hint


def test_parity_counts_what_is_not_a_number_as_different() -> None:
    found = compare(np.array([0.1, np.nan, 0.3]), np.array([0.1, 0.2, 0.3]))
    assert found.max_abs is None and found.share_above == pytest.approx(1 / 3) and not found.holds
    assert not compare(np.empty(0), np.empty(0)).holds
    assert compare(np.array([0.5]), np.array([0.500001])).holds


def test_rows_to_compare_on_hold_missing_values() -> None:
    rows = parity_rows(np.ones((10_000, 3), np.float32))
    assert len(rows) == 4_002 and np.isnan(rows).any() and np.isnan(rows).all(axis=1).sum() >= 1
