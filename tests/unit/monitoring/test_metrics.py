"""Realised metrics: equal to their naive definitions and to scikit-learn, ties included; intervals that cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk

from falaj.monitoring.metrics import (
    auc,
    average_precision,
    average_precision_interval,
    brier,
    log_loss,
    precision_recall,
    proportion,
)

Pairs = tuple[NDArray[np.bool_], NDArray[np.float64]]
scores = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))


@st.composite
def pairs(draw: st.DrawFn) -> Pairs:
    """Both classes, with many ties."""
    rows = draw(st.lists(st.tuples(st.booleans(), scores), min_size=0, max_size=40))
    rows += [(True, draw(scores)), (False, draw(scores))]
    return np.array([label for label, _ in rows]), np.array([score for _, score in rows])


def naive_auc(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    difference = scores[labels][:, None] - scores[~labels][None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def naive_average_precision(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= threshold
        recall = (chosen & labels).sum() / labels.sum()
        total += (recall - recall_before) * (chosen & labels).sum() / chosen.sum()
        recall_before = recall
    return float(total)


@settings(max_examples=150, deadline=None)
@given(pairs())
def test_ranking_metrics_equal_their_definitions_and_scikit_learn(sample: Pairs) -> None:
    labels, scores = sample
    assert auc(*sample).value == pytest.approx(naive_auc(*sample), abs=1e-12)
    assert auc(*sample).value == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)
    assert average_precision(*sample) == pytest.approx(naive_average_precision(*sample), abs=1e-12)
    assert average_precision(*sample) == pytest.approx(sk.average_precision_score(labels, scores), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(pairs(), scores)
def test_threshold_metrics_equal_scikit_learn(sample: Pairs, threshold: float) -> None:
    labels, scores = sample
    precision, recall = precision_recall(labels, scores, threshold=threshold)
    chosen = scores >= threshold
    assert recall is not None
    assert recall.value == pytest.approx(sk.recall_score(labels, chosen))
    assert (precision is None) == (not chosen.any())
    if precision is not None:
        assert precision.value == pytest.approx(sk.precision_score(labels, chosen))
    assert log_loss(labels, scores).value == pytest.approx(sk.log_loss(labels, scores), rel=1e-9, abs=1e-12)
    assert brier(labels, scores).value == pytest.approx(sk.brier_score_loss(labels, scores), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_every_interval_holds_its_figure(sample: Pairs) -> None:
    precision, recall = precision_recall(*sample, threshold=0.5)
    ap = average_precision_interval(*sample, resamples=20)
    for estimate in (auc(*sample), log_loss(*sample), brier(*sample), ap, precision, recall):
        if estimate is not None:
            assert estimate.lower <= estimate.value + 1e-12
            assert estimate.value <= estimate.upper + 1e-12
            assert estimate.lower >= 0.0


def test_deviation_of_auc_is_delongs_by_the_naive_double_sum() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(200) < 0.3
    scores = np.round(rng.normal(labels * 1.0, 1.0), 1)
    difference = scores[labels][:, None] - scores[~labels][None, :]
    wins = (difference > 0) + 0.5 * (difference == 0)
    variance = wins.mean(axis=1).var(ddof=1) / wins.shape[0] + wins.mean(axis=0).var(ddof=1) / wins.shape[1]
    estimate = auc(labels, scores)
    spread = 1.959963984540054 * np.sqrt(variance) / (estimate.value * (1 - estimate.value))
    logit = np.log(estimate.value / (1 - estimate.value))
    assert np.log(estimate.upper / (1 - estimate.upper)) == pytest.approx(logit + spread)
    assert np.log(estimate.lower / (1 - estimate.lower)) == pytest.approx(logit - spread)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Asymptotic intervals at 30 positives in 300 rows; a true 93 % would pass below once in a million."""
    rng, runs, truth = np.random.default_rng(2), 400, float(stats.norm.cdf(1 / np.sqrt(2)))
    labels = np.arange(300) < 30
    covered = mean_covered = 0
    for _ in range(runs):
        estimate = auc(labels, rng.normal(labels * 1.0, 1.0))
        covered += estimate.lower <= truth <= estimate.upper
        uniform = brier(labels, rng.random(300))  # E[(s - y)^2] = 1/3 for a uniform score, whatever the outcome
        mean_covered += uniform.lower <= 1 / 3 <= uniform.upper
    least = stats.binom.ppf(1e-6, runs, 0.93)
    assert covered >= least
    assert mean_covered >= least


def test_proportion_is_exact() -> None:
    for hits, rows in [(0, 10), (3, 10), (10, 10), (50, 1000)]:
        expected = stats.binomtest(hits, rows).proportion_ci(method="exact")
        estimate = proportion(hits, rows)
        assert (estimate.lower, estimate.upper) == pytest.approx((expected.low, expected.high))


def test_perfect_ranking_has_an_interval_too() -> None:
    labels = np.arange(100) < 20
    perfect = auc(labels, labels.astype(np.float64))
    assert (perfect.value, perfect.upper) == (1.0, 1.0)
    assert perfect.lower == pytest.approx(proportion(20, 20).lower)
    reverse = auc(labels, -labels.astype(np.float64))
    assert (reverse.value, reverse.lower) == (0.0, 0.0)
    assert 0.0 < reverse.upper < 0.2


def test_bootstrap_is_repeatable_and_near_the_normal_spread() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random(2000) < 0.1
    scores = rng.normal(labels * 1.5, 1.0)
    interval = average_precision_interval(labels, scores, seed=4)
    assert interval == average_precision_interval(labels, scores, seed=4)
    assert 0.02 < interval.upper - interval.lower < 0.2
    assert interval.value == average_precision(labels, scores)
