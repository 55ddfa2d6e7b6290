from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st

from falaj.definitions.cost import Cost
from falaj.definitions.gate import HIGHER_IS_BETTER, REGRESSION
from falaj.kernel.errors import DataError
from falaj.models.bootstrap import Interval
from falaj.models.evaluation import best_threshold, curves_of, evaluate
from falaj.models.parts import Sides, measure_part

ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]), st.booleans(), st.integers(1, 4)),
    min_size=2,
    max_size=60,
).filter(lambda rows: len({row[1] for row in rows}) == 2)


@given(ROWS)
def test_equals_scikit_learn(rows: Any) -> None:
    scores, labels, weights = (np.array([row[i] for row in rows]) for i in range(3))
    found = evaluate(scores, labels, weights, threshold=0.5)
    decided = scores >= 0.5
    expected = {
        "auc": reference.roc_auc_score(labels, scores, sample_weight=weights),
        "average_precision": reference.average_precision_score(labels, scores, sample_weight=weights),
        "precision": reference.precision_score(labels, decided, sample_weight=weights, zero_division=0),
        "recall": reference.recall_score(labels, decided, sample_weight=weights),
        "f1": reference.f1_score(labels, decided, sample_weight=weights),
        "accuracy": reference.accuracy_score(labels, decided, sample_weight=weights),
        "brier": reference.brier_score_loss(labels, scores, sample_weight=weights),
        "log_loss": reference.log_loss(labels, np.clip(scores, 1e-15, 1 - 1e-15), sample_weight=weights),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    assert found["rows"] == len(rows) and found["positives"] == labels.sum()


def test_every_metric_that_a_gate_may_name_is_there() -> None:
    of_scores = set(HIGHER_IS_BETTER) - set(REGRESSION)
    assert of_scores <= set(evaluate(np.array([0.1, 0.9]), np.array([0, 1]), cost=Cost(1, 5)))
    assert "cost" not in evaluate(np.array([0.1, 0.9]), np.array([0, 1]))


def test_one_class_defines_no_ranking() -> None:
    found = evaluate(np.array([0.1, 0.9]), np.array([0, 0]))
    assert np.isnan(found["auc"]) and np.isnan(found["average_precision"]) and np.isnan(found["recall"])
    assert found["accuracy"] == 0.5
    part = measure_part(Sides(np.array([0, 0]), np.array([0.1, 0.9]), 0.5), seed=0)
    assert part.metrics["auc"] is None and part.intervals == {}


def test_a_model_that_never_decides_has_no_precision() -> None:
    found = evaluate(np.array([0.1, 0.2]), np.array([0, 1]))
    assert (found["precision"], found["recall"], found["f1"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("scores", "labels", "weights", "message"),
    [
        ([], [], None, "no rows"),
        ([0.5], [0, 1], None, "differ in shape"),
        ([0.5, 0.5], [0, 2], None, "0 or 1"),
        ([0.5, np.nan], [0, 1], None, "not a number"),
        ([0.5, np.inf], [0, 1], None, "not a number"),
        ([0.5, 0.5], [0, 1], [1, -1], "weights"),
        ([0.5, 0.5], [0, 1], [0, 0], "weights"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(scores: Any, labels: Any, weights: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(np.array(scores), np.array(labels), None if weights is None else np.array(weights))


@given(ROWS)
def test_no_threshold_has_a_better_f1_than_the_best(rows: Any) -> None:
    scores, labels = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    best = evaluate(scores, labels, threshold=best_threshold(scores, labels))["f1"]
    assert best >= max(evaluate(scores, labels, threshold=score)["f1"] for score in scores) - 1e-12


def intervals(scores: Any, labels: Any, *, seed: int) -> dict[str, Interval]:
    return measure_part(Sides(labels.astype(np.int64), scores, 0.5), seed=seed).intervals


def test_intervals_hold_the_value_follow_the_seed_and_cover() -> None:
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        labels = rng.random(400) < 0.3
        scores = 1 / (1 + np.exp(-rng.normal(labels * 1.5)))
        found = intervals(scores, labels, seed=seed)
        covered += found["auc"].low <= 0.8556 <= found["auc"].high  # P(N(1.5, 1) > N(0, 1))
    assert covered >= 34  # 95 % of 40 is 38; 34 or fewer have a chance of 2 %
    assert intervals(scores, labels, seed=1) == intervals(scores, labels, seed=1)
    assert intervals(scores, labels, seed=1) != intervals(scores, labels, seed=2)


def test_intervals_are_those_of_drawing_rows_one_by_one() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random(300) < 0.2
    scores = np.round(rng.normal(labels * 1.0), 1)  # with ties
    ones, zeros = np.flatnonzero(labels), np.flatnonzero(~labels)
    drawn = [np.concatenate([rng.choice(ones, len(ones)), rng.choice(zeros, len(zeros))]) for _ in range(600)]
    direct = [reference.average_precision_score(labels[rows], scores[rows]) for rows in drawn]
    found = intervals(scores, labels, seed=0)["average_precision"]
    assert (found.low, found.high) == pytest.approx(np.quantile(direct, (0.025, 0.975)), abs=0.02)


def test_curves_end_where_all_rows_are_positive() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(5_000) < 0.2
    curves = curves_of(rng.random(5_000), labels.astype(np.int64))
    assert (curves.false_positive_rate[0], curves.true_positive_rate[0]) == (0.0, 0.0)
    assert (curves.false_positive_rate[-1], curves.true_positive_rate[-1], curves.recall[-1]) == (1.0, 1.0, 1.0)
    assert curves.precision[-1] == pytest.approx(labels.mean())
    assert len(curves.mean_score) == 10 and np.mean(curves.observed_share) == pytest.approx(labels.mean())
    assert len(curves.recall) <= 200
