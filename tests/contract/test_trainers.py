"""Every trainer fits what can be learned, the same way twice, and its served form gives its scores."""

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from falaj.definitions.trainer import Trainer, lightgbm, sklearn, xgboost
from falaj.kernel.errors import DataError, DefinitionError, InputError
from falaj.models.export import export
from falaj.models.onnx_conversion import to_onnx
from falaj.models.runtimes.load import load_bytes
from falaj.models.training import fit

NAMES = ("a", "b", "c", "d", "e")
TRAINERS = {
    "lightgbm": lightgbm(num_trees=20, seed=3),
    "xgboost": xgboost(num_trees=20, seed=3),
    "logistic": sklearn("sklearn.linear_model.LogisticRegression", seed=3, C=0.5),
    "forest": sklearn("sklearn.ensemble.RandomForestClassifier", seed=3, n_estimators=10, max_depth=6),
    "boosting": sklearn("sklearn.ensemble.HistGradientBoostingClassifier", seed=3, max_iter=20),
}


@pytest.fixture(scope="module")
def matrix() -> NDArray[np.float32]:
    rng = np.random.default_rng(11)
    matrix = rng.normal(size=(2_000, len(NAMES))).astype(np.float32)
    matrix[:, 3] = rng.integers(0, 5, len(matrix))
    matrix[:, 4] = np.nan  # a feature that nobody filled
    matrix[rng.random(matrix.shape) < 0.05] = np.nan
    return matrix


@pytest.fixture(scope="module")
def labels(matrix: NDArray[np.float32]) -> NDArray[np.int64]:
    filled = np.nan_to_num(matrix)
    return (filled[:, 0] + filled[:, 1] + 0.5 * filled[:, 3] > 1.5).astype(np.int64)


CATEGORIES = 5
SPREADING = {
    "logistic": TRAINERS["logistic"],
    "bayes": sklearn("sklearn.naive_bayes.GaussianNB"),
    "network": sklearn("sklearn.neural_network.MLPClassifier", seed=3, max_iter=20, tol=0.1),
}


@pytest.mark.parametrize("name", sorted(SPREADING))
@pytest.mark.parametrize("width", [1, 3])
def test_estimators_that_would_read_a_code_as_a_size_get_texts_spread(name: str, width: int) -> None:
    """Which category it is tells everything, and its code nothing; unseen and missing ones are scored alike."""
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(3_000, width)).astype(np.float32)
    matrix[:, 0] = rng.integers(0, CATEGORIES, len(matrix))
    labels = (np.isin(matrix[:, 0], (0, 3)) ^ (rng.random(len(matrix)) < 0.05)).astype(np.int64)
    matrix[rng.random(matrix.shape) < 0.03] = np.nan
    names = NAMES[:width]
    fitted = fit(SPREADING[name], matrix, labels, names, vocabularies={"a": CATEGORIES})
    assert roc_auc_score(labels, fitted.predict(matrix)) > 0.9
    ordinal = fit(SPREADING[name], matrix, labels, names)
    if name == "logistic":
        assert roc_auc_score(labels, ordinal.predict(matrix)) < 0.7
        assert next(iter(fitted.importance)) == "a" and set(fitted.importance) <= set(names)
    exported = export(fitted, matrix)
    assert exported.serving.runtime == "onnx" and exported.serving.parity is not None
    assert exported.serving.parity.holds
    odd = np.zeros((2, width), np.float32)
    odd[:, 0] = np.nan, CATEGORIES + 2
    served = load_bytes(exported.serving.content, "onnx", width, name="spread").predict(odd)
    assert served == pytest.approx(fitted.predict(odd), abs=1e-5)
    assert served[0] == pytest.approx(served[1])


@pytest.fixture(params=sorted(TRAINERS))
def trainer(request: pytest.FixtureRequest) -> Trainer:
    return TRAINERS[str(request.param)]


def test_it_learns(trainer: Trainer, matrix: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    fitted = fit(trainer, matrix, labels, NAMES)
    scores = fitted.predict(matrix)
    assert scores.dtype == np.float64 and scores.shape == (len(matrix),)
    assert roc_auc_score(labels, scores) > 0.9
    assert fitted.kind == trainer.kind and fitted.feature_names == NAMES
    if fitted.importance:
        assert sum(fitted.importance.values()) == pytest.approx(1) and next(iter(fitted.importance)) in ("a", "b")


def test_the_same_seed_gives_the_same_model(
    trainer: Trainer, matrix: NDArray[np.float32], labels: NDArray[np.int64]
) -> None:
    first, second = (fit(trainer, matrix, labels, NAMES) for _ in range(2))
    assert first.native == second.native and to_onnx(first) == to_onnx(second)
    assert first.predict(matrix).tobytes() == second.predict(matrix).tobytes()


def test_the_served_form_gives_its_scores(
    trainer: Trainer, matrix: NDArray[np.float32], labels: NDArray[np.int64]
) -> None:
    fitted = fit(trainer, matrix, labels, NAMES)
    exported = export(fitted, matrix)
    assert exported.serving.runtime == "onnx", [file.error for file in exported.files]
    own = [] if trainer.kind == "sklearn" else [trainer.kind]
    trees = [] if "linear" in (trainer.estimator or "") or "naive" in (trainer.estimator or "") else ["trees"]
    assert [file.runtime for file in exported.files] == ["onnx", *own, *trees]
    for file in exported.files:
        runtime = load_bytes(file.content, file.runtime, len(NAMES), name="export")
        np.testing.assert_allclose(runtime.predict(matrix), fitted.predict(matrix), atol=1e-5, rtol=0)
        assert b"pickle" not in file.content[:100] and file.content[:1] != b"\x80"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros(2_000), "all 2000 training labels are 0"),
        (np.ones(2_000, bool), "all 2000 training labels are 1"),
        (np.arange(2_000) % 3, "must be 0 or 1, and one is .*2"),
        (np.where(np.arange(2_000) == 7, np.nan, 1.0), "must be 0 or 1, and one is .*nan"),
        (np.zeros(1_999), r"2000 training rows and labels of shape \(1999,\)"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(
    trainer: Trainer, matrix: NDArray[np.float32], wrong: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fit(trainer, matrix, wrong, NAMES)


def test_no_rows_and_other_widths_are_refused(trainer: Trainer) -> None:
    with pytest.raises(DataError, match="no training rows"):
        fit(trainer, np.empty((0, 5), np.float32), np.empty(0), NAMES)
    with pytest.raises(InputError):
        fit(trainer, np.empty((3, 4), np.float32), np.array([0, 1, 0]), NAMES)


@pytest.mark.parametrize(
    ("misspelt", "message"),
    [
        (lightgbm(num_leafs=3), "'num_leafs' does not exist"),
        (lightgbm(objective="regression"), "not a binary classifier"),
        (lightgbm(learning_rate=-1), "learning_rate"),
        (xgboost(max_dept=3), "no parameter max_dept"),
        (xgboost(objective="reg:squarederror"), "no probability"),
        (xgboost(max_depth="deep"), "max_depth"),
        (sklearn("sklearn.linear_model.LogisticRegression", CC=1), "CC"),
        (sklearn("sklearn.linear_model.LogisticRegression", C=-1.0), "'C' parameter"),
        (sklearn("sklearn.linear_model.LogisticRegresion"), "does not exist"),
        (sklearn("sklearn.linear_model.LinearRegression"), "with probabilities"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    misspelt: Trainer, message: str, matrix: NDArray[np.float32], labels: NDArray[np.int64]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DefinitionError, match=message):
            fit(misspelt, matrix, labels, NAMES)


def test_the_librarys_own_names_are_accepted(matrix: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    fit(lightgbm(num_trees=2, eta=0.1, max_leaf=5), matrix, labels, NAMES)
    fit(xgboost(num_trees=2, eta=0.1, max_depth=3), matrix, labels, NAMES)
