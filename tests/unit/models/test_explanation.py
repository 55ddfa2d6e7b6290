"""Explanation: TreeSHAP from the boosters themselves, shap for all others, permutation where shap is missing."""

import itertools
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from falaj.definitions.signature import InputSpec, Signature
from falaj.definitions.trainer import Trainer, lightgbm, sklearn, xgboost
from falaj.models.cards import render_gate
from falaj.models.explaining import Subject, explain
from falaj.models.findings import Findings
from falaj.models.gates import judge
from falaj.models.metrics import Floats
from falaj.models.runtimes.lightgbm import LightgbmRuntime
from falaj.models.runtimes.port import Matrix
from falaj.models.shapley import margins, shapley_values
from falaj.models.training.fit import fit
from unit.models.rows import Rows
from unit.models.test_gates import CANDIDATE, WHOLE, with_

LOGISTIC = sklearn("sklearn.linear_model.LogisticRegression")
FOREST = sklearn("sklearn.ensemble.RandomForestClassifier", n_estimators=10, max_depth=4)


def subject_of(rows: Rows, trainer: Trainer) -> tuple[Subject, dict[str, bytes]]:
    fitted = fit(trainer, rows.matrix, rows.labels, rows.names)
    files = {} if fitted.native is None else {fitted.kind: fitted.native}
    return Subject(fitted.predict, rows.signature, rows.matrix, rows.labels), files


@pytest.mark.parametrize(
    ("trainer", "method", "rows"),
    [
        (lightgbm(num_trees=20), "treeshap", 600),
        (xgboost(num_trees=20), "treeshap", 600),
        (LOGISTIC, "shap", 200),
        (FOREST, "shap", 200),
    ],
)
def test_what_decides_comes_first_points_its_way_and_adds_up(
    noise: Rows, trainer: Trainer, method: str, rows: int
) -> None:
    subject, files = subject_of(noise, trainer)
    found = explain(subject, files, seed=0)
    assert (found.method, found.rows, found.note) == (method, rows, "")
    assert [one.feature for one in found.attributions[:2]] == ["x1", "x0"]
    assert all((one.direction or 0) > 0.5 for one in found.attributions[:2])
    assert found == explain(subject, files, seed=0)
    whys = [one.why for one in found.examples]
    assert whys == ["the highest score", "just positive", "just negative", "the lowest score"]
    assert found.base is not None
    for one in found.examples:
        assert {part.feature for part in one.contributions} == set(noise.names)
        assert one.margin == pytest.approx(found.base + sum(part.amount for part in one.contributions))
        score = 1 / (1 + np.exp(-one.margin))
        assert score == pytest.approx(np.clip(one.score, 1e-4, 1 - 1e-4), abs=1e-5)
        assert one.score == pytest.approx(float(subject.predict(noise.matrix[one.row : one.row + 1])[0]), abs=1e-6)
        assert one.label == noise.labels[one.row]


def test_contributions_add_up_to_the_log_odds(noise: Rows) -> None:
    fitted = fit(lightgbm(num_trees=20), noise.matrix, noise.labels, noise.names)
    assert fitted.native is not None
    added = LightgbmRuntime(fitted.native, 4).contributions(noise.matrix)
    scores = fitted.predict(noise.matrix)
    np.testing.assert_allclose(added.sum(axis=1), np.log(scores / (1 - scores)), atol=1e-9)


def test_of_calibrated_trees_it_says_that_log_odds_are_those_before(noise: Rows) -> None:
    subject, files = subject_of(noise, lightgbm(num_trees=5))
    squeezed = Subject(lambda rows: subject.predict(rows) / 2, noise.signature, noise.matrix, noise.labels)
    assert "before calibration" in explain(squeezed, files, seed=0).note
    assert explain(subject, files, seed=0).note == ""


def linear(rows: Matrix) -> Floats:
    found: Floats = 3.0 * rows[:, 0] - 2.0 * rows[:, 1] + 0.0 * rows[:, 2]
    return found


def test_of_a_line_shap_gives_each_inputs_own_part(noise: Rows) -> None:
    rows, background = noise.matrix[:30], noise.matrix[30:80]
    values, base = shapley_values(
        linear, rows, background, task="regression", seed=0, clock=itertools.count().__next__, within_s=1e9
    )
    wanted = (rows - background.mean(axis=0)) * np.array([3.0, -2.0, 0.0, 0.0])
    np.testing.assert_allclose(values, wanted, atol=1e-4)
    np.testing.assert_allclose(values.sum(axis=1) + base, linear(rows), atol=1e-4)


def test_a_regression_adds_up_to_what_is_predicted(noise: Rows) -> None:
    subject = Subject(linear, noise.signature, noise.matrix, linear(noise.matrix) + 1.0, "regression", 0.0)
    found = explain(subject, {}, seed=0)
    assert [one.why for one in found.examples] == ["the highest score", "the lowest score", "farthest from its outcome"]
    assert all(one.margin == pytest.approx(one.score, abs=1e-4) for one in found.examples)


@pytest.mark.parametrize(
    ("trainer", "own"),
    [
        (lightgbm(num_trees=20), True),
        (xgboost(num_trees=20), True),
        (lightgbm(num_trees=20, objective="poisson"), False),
        (xgboost(num_trees=20, objective="reg:gamma"), False),
    ],
)
def test_of_trees_that_sum_logarithms_it_says_so(noise: Rows, trainer: Trainer, own: bool) -> None:
    labels = np.exp(noise.matrix[:, 0]) + 1_000.0
    fitted = fit(trainer, noise.matrix, labels, noise.names, task="regression")
    subject = Subject(fitted.predict, noise.signature, noise.matrix, labels, "regression", 0.0)
    found = explain(subject, {fitted.kind: fitted.native or b""}, seed=0)
    assert found.method == "treeshap"
    assert ("logarithm of the prediction" in found.note) is not own


def test_a_model_that_answers_slowly_is_explained_on_the_rows_that_are_reached(noise: Rows) -> None:
    ticks = itertools.count(0, 20)
    found = explain(Subject(linear, noise.signature, noise.matrix, noise.labels, "regression"), {}, seed=0,
                    clock=lambda: float(next(ticks)))  # fmt: skip
    assert 0 < found.rows < 30 and len(found.examples) == 3  # those that people ask about come first


def test_certain_scores_have_margins_that_end() -> None:
    assert np.isfinite(margins(np.array([0.0, 1.0]), "classification")).all()


@pytest.fixture
def without_shap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine where the extra was not installed."""
    monkeypatch.setitem(sys.modules, "shap", None)
    yield


@pytest.mark.usefixtures("without_shap")
def test_without_the_extra_the_report_says_so_and_trees_need_none(noise: Rows) -> None:
    subject, files = subject_of(noise, LOGISTIC)
    found = explain(subject, files, seed=0)
    assert (found.method, found.rows, found.examples) == ("permutation", 600, ())
    assert [one.feature for one in found.attributions[:2]] == ["x1", "x0"]
    assert "pip install 'falaj[explain]'" in found.note
    report = judge([], with_(CANDIDATE, findings=Findings(WHOLE, explanation=found)), at_us=0)
    pages = render_gate(report)
    assert "falaj[explain]" in pages["gate.html"] and "falaj[explain]" in pages["gate.md"]
    assert not [check for check in report.checks if "shap" in check.reason]
    assert explain(*subject_of(noise, lightgbm(num_trees=5)), seed=0).method == "treeshap"


@pytest.mark.usefixtures("without_shap")
def test_of_one_class_permutation_tells_nothing(noise: Rows) -> None:
    subject = Subject(linear, noise.signature, noise.matrix, noise.labels * 0)
    assert explain(subject, {}, seed=0).attributions == ()


def test_a_report_shows_overall_parts_and_single_rows(noise: Rows) -> None:
    texts = Signature((InputSpec("x<0", "float64"), InputSpec("country", "string", ("AE", "OM"))))
    matrix = np.column_stack([noise.matrix[:, 0], np.tile([0, 1, np.nan], 200)]).astype(np.float32)

    def scores(rows: Matrix) -> Floats:
        found: Floats = 1 / (1 + np.exp(-rows[:, 0] - np.nan_to_num(rows[:, 1])))
        return found

    found = explain(Subject(scores, texts, matrix, noise.labels), {}, seed=0)
    assert {part.value for one in found.examples for part in one.contributions} >= {"OM"}
    report = judge([], with_(CANDIDATE, findings=Findings(WHOLE, explanation=found)), at_us=0)
    pages = render_gate(report)
    assert "x&lt;0" in pages["gate.html"] and "x<0" not in pages["gate.html"]
    for page in pages.values():
        assert "The highest score" in page and "country" in page and "SHAP" in page


def test_a_thousand_rows_of_trees_are_enough(noise: Rows) -> None:
    subject, files = subject_of(noise, lightgbm(num_trees=5))
    many = Subject(subject.predict, noise.signature, np.tile(noise.matrix, (4, 1)), np.tile(noise.labels, 4))
    assert explain(many, files, seed=0).rows == 1_000
