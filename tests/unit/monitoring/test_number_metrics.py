"""Realised errors of predicted numbers: their values beside scikit-learn's, and how often their intervals hold."""

import msgspec
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from falaj.definitions.verdict import Verdict
from falaj.kernel.codec import from_json, to_json
from falaj.monitoring.metrics import Estimate
from falaj.monitoring.number_metrics import number_metrics
from falaj.monitoring.performance import Joined, QualityPolicy, judge_floor, measure, measure_segments
from falaj.monitoring.shadows import Pairs, compare

POLICY = QualityPolicy(min_outcomes=50, task="regression")


def test_values_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    actual = rng.gamma(2, 100, 500)
    predicted = actual + rng.normal(0, 40, 500)
    found = {name: one.value for name, one in number_metrics(actual, predicted).items()}
    assert found["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(actual, predicted))
    assert found["rmse"] == pytest.approx(sklearn_metrics.root_mean_squared_error(actual, predicted))
    assert found["r2"] == pytest.approx(sklearn_metrics.r2_score(actual, predicted))
    assert found["wape"] == pytest.approx(np.abs(predicted - actual).sum() / actual.sum())


def test_intervals_hold_what_is_true_about_as_often_as_they_say() -> None:
    """Errors are normal with deviation 10, labels with 50 about 200: all four true values are known."""
    mean_size = 10 * np.sqrt(2 / np.pi)
    true = {"rmse": 10.0, "mae": mean_size, "wape": mean_size / 200, "r2": 1 - 100 / 2500}
    rng, held = np.random.default_rng(3), dict.fromkeys(true, 0)
    for _ in range(400):
        actual = rng.normal(200, 50, 300)
        found = number_metrics(actual, actual + rng.normal(0, 10, 300))
        for name, value in true.items():
            held[name] += found[name].lower <= value <= found[name].upper
    assert all(362 <= count <= 396 for count in held.values()), held  # of 400 at 95 %; 0.1 % fall outside


def test_what_is_not_defined_is_absent() -> None:
    assert number_metrics(np.empty(0), np.empty(0)) == {}
    assert set(number_metrics(np.zeros(5), np.ones(5))) == {"rmse", "mae"}
    assert set(number_metrics(np.full(5, 3.0), np.ones(5))) == {"rmse", "mae", "wape"}


@pytest.mark.parametrize("outcomes", [1, 2])
def test_what_is_kept_of_the_first_outcomes_can_be_read_again(outcomes: int) -> None:
    actual = np.where(np.arange(9) < outcomes, 3.0 + np.arange(9), np.nan)
    quality = measure(Joined(np.ones(9), actual, np.arange(9), 0, 0), now_us=9, label_delay_us=0, policy=POLICY)
    kept = from_json(to_json(quality.to_verdict("hires", 9)), Verdict, what="verdict")
    found = msgspec.convert(kept.evidence["metrics"], dict[str, Estimate])  # JSON knows no infinity
    assert set(found) == (set() if outcomes == 1 else {"rmse", "mae", "wape", "r2"})
    assert quality.labelled == outcomes


def joined(rows: int = 400, *, error: float = 10.0) -> Joined:
    rng = np.random.default_rng(1)
    actual = rng.normal(200, 50, rows)
    outcomes = np.where(np.arange(rows) < rows - 40, actual, np.nan)
    return Joined(actual + rng.normal(0, error, rows), outcomes, np.arange(rows) * 1_000, 0, 0)


def test_quality_of_a_regression_counts_outcomes_and_no_classes() -> None:
    quality = measure(joined(), now_us=400_000, label_delay_us=20_000, policy=POLICY)
    assert (quality.outcome, quality.positives, quality.labelled) == ("PASS", None, 360)
    assert quality.reason == "measured on 360 outcomes"
    assert set(quality.metrics) == {"rmse", "mae", "wape", "r2"}
    few = measure(joined(60), now_us=400_000, label_delay_us=0, policy=POLICY)
    assert (few.outcome, few.reason) == ("INCONCLUSIVE", "20 mature outcomes; 50 are needed")


def test_floors_of_errors_are_the_greatest_allowed() -> None:
    quality = measure(joined(), now_us=400_000, label_delay_us=0, policy=POLICY)
    judged = {
        bound: judge_floor(quality, {"rmse": bound}, subject="it", at_us=0).outcome for bound in (5.0, 10.0, 20.0)
    }
    assert judged == {5.0: "FAIL", 10.0: "INCONCLUSIVE", 20.0: "PASS"}
    assert judge_floor(quality, {"r2": 0.5}, subject="it", at_us=0).outcome == "PASS"


def test_an_outcome_that_is_no_class_counts_for_nothing_in_a_classification() -> None:
    """A gateway whose project has a regression takes any number, also of a decision that had classes."""
    outcomes = np.r_[np.tile([0.0, 1.0], 100), 7.0, -1.0, 0.5]
    one = Joined(np.full(203, 0.4), outcomes, np.zeros(203, np.int64), 0, 0)
    quality = measure(one, now_us=10, label_delay_us=0, policy=QualityPolicy(min_outcomes=50))
    assert (quality.labelled, quality.positives) == (200, 100)


def test_segments_are_measured_by_themselves() -> None:
    found = measure_segments(
        joined(), {"place": ["north", "south"] * 200}, now_us=400_000, label_delay_us=0, policy=POLICY
    )
    assert set(found) == {"place=north", "place=south"}
    assert all(one.outcome == "PASS" and "rmse" in one.metrics for one in found.values())


def test_a_shadow_of_a_regression_changes_no_decisions() -> None:
    rng = np.random.default_rng(2)
    actual = rng.normal(200, 50, 300)
    pairs = Pairs(
        actual + rng.normal(0, 20, 300), actual + rng.normal(0, 10, 300), actual, np.arange(300), np.arange(300)
    )
    found = compare(pairs, shadow=POLICY, live=POLICY, now_us=400, label_delay_us=0)
    assert (found.changed, found.only_shadow, found.only_live) == (None, 0, 0)
    assert found.difference is not None and found.difference.mean_size > 10
    assert found.shadow_quality.metrics["rmse"].upper < found.live_quality.metrics["rmse"].lower
