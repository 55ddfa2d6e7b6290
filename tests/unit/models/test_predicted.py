"""Errors of predicted numbers, beside scikit-learn's, and what a report makes of them."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn_metrics

from falaj.models.encoding import fit_signature
from falaj.models.evaluation import evaluation_of, points_of
from falaj.models.explaining import Subject, explain
from falaj.models.leakage import measure_alone
from falaj.models.parts import Sides, measure_part, measure_slices
from falaj.models.plots import draw
from falaj.models.predicted import Predicted

NUMBERS = st.floats(-1e4, 1e4, allow_subnormal=False)


@given(st.integers(2, 40).flatmap(lambda rows: st.tuples(
    arrays(np.float64, rows, elements=NUMBERS), arrays(np.float64, rows, elements=NUMBERS),
    arrays(np.float64, rows, elements=st.integers(0, 3).map(float)),
)))  # fmt: skip
def test_each_metric_is_that_of_scikit_learn_with_weights(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    predictions, labels, weights = drawn
    kept = weights > 0
    assume(kept.sum() >= 2 and np.ptp(labels[kept]) > 1e-2)
    found = {
        name: values[0]
        for name, values in Predicted(predictions, labels)
        .measure(weights[None, :], ("rmse", "mae", "wape", "r2"))
        .items()
    }
    mae = sklearn_metrics.mean_absolute_error(labels, predictions, sample_weight=weights)
    assert found["mae"] == pytest.approx(mae, rel=1e-9, abs=1e-9)
    squared = sklearn_metrics.mean_squared_error(labels, predictions, sample_weight=weights)
    assert found["rmse"] == pytest.approx(np.sqrt(squared), rel=1e-9, abs=1e-9)
    r2 = sklearn_metrics.r2_score(labels, predictions, sample_weight=weights)
    assert found["r2"] == pytest.approx(r2, rel=1e-6, abs=1e-6)
    assert found["wape"] == pytest.approx(mae * weights.sum() / (np.abs(labels) * weights).sum(), rel=1e-9)


def test_what_is_not_defined_is_not_a_number() -> None:
    found = Predicted(np.array([1.0, 2.0]), np.zeros(2)).measure(np.ones((1, 2)), ("rmse", "wape", "r2"))
    assert found["rmse"][0] == pytest.approx(np.sqrt(2.5))
    assert np.isnan(found["wape"][0]) and np.isnan(found["r2"][0])


def sides(rows: int = 600, *, better: float = 0.5) -> Sides:
    rng = np.random.default_rng(1)
    labels = rng.gamma(2, 100, rows)
    noise = rng.normal(0, 30, rows)
    return Sides(labels, labels + better * noise, 0.0, labels + noise, task="regression")


def test_a_part_holds_errors_intervals_and_changes_and_no_classes() -> None:
    part = measure_part(sides(), seed=1)
    assert part.positives is None and part.lead == "rmse" and part.too_few == ""
    assert set(part.metrics) == set(part.intervals) == set(part.changes) == {"rmse", "mae", "wape", "r2"}
    interval, value = part.intervals["rmse"], part.metrics["rmse"]
    assert value is not None and interval.low < value < interval.high
    assert part.changes["rmse"].high < 0 < part.changes["r2"].low  # better: less error, more explained
    assert measure_part(sides(19), seed=1).too_few == "19 rows are too few to judge; 20 are needed"


def test_an_interval_holds_the_true_error_about_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(5), 0
    for seed in range(60):
        labels = rng.normal(0, 50, 150)
        one = Sides(labels, labels + rng.normal(0, 10, 150), 0.0, task="regression")
        interval = measure_part(one, seed=seed, names=["rmse"]).intervals["rmse"]
        held += interval.low <= 10 <= interval.high
    assert 51 <= held <= 60  # 95 % of 60 is 57; fewer than 51 happens once in a thousand times


def test_slices_of_a_regression_are_measured_alone() -> None:
    whole = sides(600)
    (sliced,) = measure_slices(whole, {"side": ["a"] * 590 + ["b"] * 10}, {}, seed=1, names=["rmse", "auc"])
    assert [(part.value, part.rows, bool(part.too_few)) for part in sliced.parts] == [
        ("a", 590, False),
        ("b", 10, True),
    ]
    assert set(sliced.parts[0].metrics) == {"rmse"}


def test_points_show_all_ends_and_count_every_row() -> None:
    one = sides(3_000)
    points = points_of(one.candidate, one.labels)
    assert sum(points.counts) == 3_000 and len(points.edges) == len(points.counts) + 1
    assert points.actual[0] == one.labels.min() and points.actual[-1] == one.labels.max()
    assert len(points.predicted) == len(points.actual) == 500


def test_its_plots_are_the_same_for_the_same_numbers() -> None:
    one = sides()
    evaluation = evaluation_of(one, measure_part(one, seed=1))
    assert evaluation.threshold is None and evaluation.curves is None
    drawn = draw(evaluation)
    assert list(drawn) == ["predicted_and_actual.png", "residuals.png"] and drawn == draw(evaluation)


def test_a_feature_that_is_the_label_is_found_in_whatever_units() -> None:
    rng = np.random.default_rng(0)
    labels = rng.gamma(2, 50, 2_000)
    rows = np.column_stack(
        [rng.random(2_000), labels, 32 - 1.8 * labels, labels + rng.normal(0, 60, 2_000), np.full(2_000, np.nan)]
    ).astype(np.float32)
    names = ["noise", "same", "fahrenheit", "near", "empty"]
    halves = (rows[:1_000], labels[:1_000]), (rows[1_000:], labels[1_000:])
    found = {one.feature: one for one in measure_alone(names, *halves, seed=0, task="regression")}
    assert {name for name, one in found.items() if one.is_label} == {"same", "fahrenheit"}
    same, near, noise = found["same"], found["near"], found["noise"]
    assert same.r2 is not None and same.low is not None and same.r2 > same.low > 0.9
    assert near.r2 is not None and 0.2 < near.r2 < 0.8 and near.low is None
    assert noise.r2 is not None and abs(noise.r2) < 0.2 and noise.auc is None


def test_an_explanation_says_what_predictions_rest_on_and_shows_the_farthest() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 2)).astype(np.float32)
    labels = 50.0 * rows[:, 1] + 300
    labels[7] += 500
    signature = fit_signature({"idle": rows[:, 0], "used": rows[:, 1]}, {"idle": "float64", "used": "float64"})
    subject = Subject(
        lambda matrix: 50.0 * matrix[:, 1].astype(np.float64) + 300.0, signature, rows, labels, "regression"
    )
    found = explain(subject, {}, seed=1)
    assert [one.feature for one in found.attributions] == ["used", "idle"]
    assert found.attributions[0].amount > 30 and found.attributions[1].amount == pytest.approx(0, abs=1e-6)
    farthest = next(one for one in found.examples if one.why == "farthest from its outcome")
    assert farthest.row == 7 and farthest.margin == pytest.approx(farthest.score, abs=1e-3)
