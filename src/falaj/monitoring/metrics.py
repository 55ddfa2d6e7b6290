"""Realised quality from (outcome, score) pairs: exact with ties, each figure with an interval."""

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]


class Estimate(msgspec.Struct, frozen=True):
    """A figure and the interval that holds the true one with the stated confidence.

    Attributes:
        value: The figure on the pairs at hand.
        lower: Lower end.
        upper: Upper end.
    """

    value: float
    lower: float
    upper: float


def proportion(hits: int, rows: int, *, confidence: float = 0.95) -> Estimate:
    """Return a share with its exact interval (Clopper and Pearson, 1934).

    Args:
        hits: At most `rows`.
        rows: At least 1.
        confidence: Probability that the interval holds the true share, at least.

    Example:
        >>> share = proportion(0, 100)
        >>> share.value, round(share.upper, 4)
        (0.0, 0.0362)
    """
    tail = (1.0 - confidence) / 2.0
    lower = 0.0 if hits == 0 else float(betaincinv(hits, rows - hits + 1, tail))
    upper = 1.0 if hits == rows else float(betaincinv(hits + 1, rows - hits, 1.0 - tail))
    return Estimate(hits / rows, lower, upper)


def auc(labels: Labels, scores: Floats, *, confidence: float = 0.95) -> Estimate:
    """Return the area under the ROC curve: P(a positive outscores a negative), a tie counting half.

    The interval is DeLong's (1988, by midranks as in Sun and Xu, 2014) on the logit scale, which stays within 0 and
    1. Where all pairs agree its variance is zero; the interval is then that of as many independent pairs as can be
    formed.

    Args:
        labels: True for a positive, (rows,); both kinds must occur.
        scores: Float64, (rows,), finite.
        confidence: Of the interval.

    Example:
        >>> auc(np.array([True, False, True, False]), np.array([0.9, 0.1, 0.4, 0.4])).value
        0.875
    """
    positive, negative = scores[labels], scores[~labels]
    p, n = positive.size, negative.size
    ranks = _midranks(np.concatenate([positive, negative]))
    above = (ranks[:p] - _midranks(positive)) / n  # per positive, the share of negatives below it
    below = 1.0 - (ranks[p:] - _midranks(negative)) / p  # per negative, the share of positives above it
    value = float(above.mean())
    if value in (0.0, 1.0):
        pairs = min(p, n)
        bound = proportion(round(value * pairs), pairs, confidence=confidence)
        return Estimate(value, bound.lower, bound.upper)
    variance = _variance(above) / p + _variance(below) / n
    spread = _quantile(confidence) * np.sqrt(variance) / (value * (1.0 - value))
    logit = np.log(value / (1.0 - value))
    return Estimate(value, _expit(logit - spread), _expit(logit + spread))


def average_precision(labels: Labels, scores: Floats) -> float:
    """Return the sum over thresholds of the gain in recall times the precision there, tied scores at once.

    This is scikit-learn's definition: no interpolation, which would be optimistic.

    Args:
        labels: True for a positive, (rows,); at least one.
        scores: Float64, (rows,), finite.

    Example:
        >>> average_precision(np.array([True, False, True]), np.array([0.9, 0.5, 0.5])).__round__(4)
        0.8333
    """
    order, last = _thresholds(scores)
    return float(_average_precision(labels[order].astype(np.float64), np.ones(labels.size), last))


def average_precision_interval(
    labels: Labels, scores: Floats, *, confidence: float = 0.95, resamples: int = 400, seed: int = 0
) -> Estimate:
    """Return the average precision with its percentile bootstrap interval, resampled within each class.

    Args:
        labels: True for a positive, (rows,); at least one.
        scores: Float64, (rows,), finite.
        confidence: Of the interval.
        resamples: How often the pairs are drawn again.
        seed: Of the draws, so that the interval can be computed again.
    """
    order, last = _thresholds(scores)
    hit = labels[order].astype(np.float64)
    rng = np.random.default_rng(seed)
    kinds = [rows for rows in (np.flatnonzero(hit), np.flatnonzero(1.0 - hit)) if rows.size]
    values = np.empty(resamples)
    for draw in range(resamples):
        weights = np.zeros(hit.size)
        for rows in kinds:
            weights[rows] = np.bincount(rng.integers(0, rows.size, rows.size), minlength=rows.size)
        values[draw] = _average_precision(hit, weights, last)
    value = float(_average_precision(hit, np.ones(hit.size), last))
    tail = (1.0 - confidence) / 2.0
    lower, upper = np.quantile(values, [tail, 1.0 - tail]).tolist()
    return Estimate(value, min(lower, value), max(upper, value))


def log_loss(labels: Labels, scores: Floats, *, confidence: float = 0.95) -> Estimate:
    """Return the mean negative log-likelihood in nats; scores are kept one float64 step away from 0 and 1.

    Args:
        labels: True for a positive, (rows,).
        scores: Probabilities of a positive, float64, (rows,).
        confidence: Of the normal interval of the mean.
    """
    step = np.finfo(np.float64).eps
    likelihood = np.where(labels, scores, 1.0 - scores)
    return _mean(-np.log(np.clip(likelihood, step, 1.0 - step)), confidence, upper=np.inf)


def brier(labels: Labels, scores: Floats, *, confidence: float = 0.95) -> Estimate:
    """Return the mean squared difference between score and outcome.

    Args:
        labels: True for a positive, (rows,).
        scores: Probabilities of a positive, float64, (rows,).
        confidence: Of the normal interval of the mean.

    Example:
        >>> brier(np.array([True, False]), np.array([0.5, 0.5])).value
        0.25
    """
    return _mean((scores - labels) ** 2, confidence, upper=1.0)


def precision_recall(
    labels: Labels, scores: Floats, *, threshold: float, confidence: float = 0.95
) -> tuple[Estimate | None, Estimate | None]:
    """Return precision and recall of the decision `score >= threshold`, each None where it has no rows.

    Example:
        >>> precision, recall = precision_recall(np.array([True, False]), np.array([0.9, 0.8]), threshold=0.5)
        >>> precision.value, recall.value
        (0.5, 1.0)
    """
    chosen = scores >= threshold
    hits, taken, positives = int(np.sum(chosen & labels)), int(chosen.sum()), int(labels.sum())
    precision = proportion(hits, taken, confidence=confidence) if taken else None
    return precision, proportion(hits, positives, confidence=confidence) if positives else None


def _midranks(values: Floats) -> Floats:
    """Return ranks from 1, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return ranks


def _thresholds(scores: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the order by falling score, and the last position of each distinct score in it."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    return order, np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


def _average_precision(hit: Floats, weights: Floats, last: NDArray[np.intp]) -> float:
    hits, taken = np.cumsum(hit * weights)[last], np.cumsum(weights)[last]
    precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
    return float(np.sum(np.diff(hits, prepend=0.0) * precision) / hits[-1])


def _mean(values: Floats, confidence: float, *, upper: float) -> Estimate:
    value = float(values.mean())
    spread = _quantile(confidence) * float(np.sqrt(_variance(values) / values.size))
    return Estimate(value, max(0.0, value - spread), min(upper, value + spread))


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) if values.size > 1 else 0.25  # the most that a share can vary


def _quantile(confidence: float) -> float:
    return float(ndtri(0.5 + confidence / 2.0))


def _expit(x: float) -> float:
    return float(1.0 / (1.0 + np.exp(-x)))
