"""Evaluation: what a model's scores are worth on labelled rows, with the uncertainty that stays."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.kernel.errors import DataError
from falaj.models.metrics import Floats, Ranking, auc, average_precision, decisions, losses

RESAMPLES = 1_000
CONFIDENCE = 0.95
CURVE_POINTS = 200
CALIBRATION_BINS = 10
_CELLS_AT_ONCE = 4_000_000  # 32 MB at a time, however many rows there are


class Interval(msgspec.Struct, frozen=True):
    """A percentile bootstrap interval.

    Attributes:
        low: Lower end.
        high: Upper end.
        resamples: How many resamples had both classes, and so a value.
    """

    low: float
    high: float
    resamples: int


class Curves(msgspec.Struct, frozen=True):
    """Points to draw, each axis a tuple of the same length as its other.

    Attributes:
        false_positive_rate: Of the ROC curve.
        true_positive_rate: Of the ROC curve.
        recall: Of the precision-recall curve.
        precision: Of the precision-recall curve.
        mean_score: Of the calibration curve, per bin of equally many rows.
        observed_share: Of the calibration curve: the share of positives in the bin.
    """

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    mean_score: tuple[float, ...]
    observed_share: tuple[float, ...]


class Evaluation(msgspec.Struct, frozen=True):
    """All that is reported of one set of rows.

    Attributes:
        metrics: Metric name to value; NaN where the rows have one class only.
        intervals: 95 % intervals of auc and average_precision.
        threshold: The score from which a decision is positive, chosen on training rows.
        curves: What plots draw.
    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    threshold: float
    curves: Curves


def evaluate(
    scores: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any] | None = None, *, threshold: float = 0.5
) -> dict[str, float]:
    """Return the metrics of scores.

    Args:
        scores: Probabilities of class 1, (rows,).
        labels: 0 and 1, (rows,).
        weights: Each row's weight, (rows,); 1 for all by default.
        threshold: From which score on a decision is positive. Choose it on training rows, by `best_threshold`.

    Returns:
        auc, average_precision, precision, recall, f1, accuracy, log_loss, brier, rows, positives and threshold; NaN
        for what one class alone does not define.

    Raises:
        DataError: There are no rows, the lengths differ, a label is not 0 or 1, or a score is not a number.

    Example:
        >>> found = evaluate(np.array([0.9, 0.2, 0.8]), np.array([1, 0, 0]))
        >>> found["auc"], found["precision"], found["positives"]
        (1.0, 0.5, 1.0)
    """
    scores, labels, weights = _checked(scores, labels, weights)
    true, false = Ranking(scores, labels).counts(weights[None, :])
    return {
        "auc": float(auc(true, false)[0]),
        "average_precision": float(average_precision(true, false)[0]),
        **decisions(scores, labels, weights, threshold),
        **losses(scores, labels, weights),
        "rows": float(len(scores)),
        "positives": float(labels.sum()),
        "threshold": float(threshold),
    }


def evaluate_fully(
    scores: NDArray[Any], labels: NDArray[Any], *, threshold: float = 0.5, seed: int = 0, resamples: int = RESAMPLES
) -> Evaluation:
    """Return metrics, intervals and curves.

    Args:
        scores: Probabilities of class 1, (rows,).
        labels: 0 and 1, (rows,).
        threshold: From which score on a decision is positive.
        seed: Of the bootstrap.
        resamples: Of the bootstrap.

    Raises:
        DataError: As `evaluate`.
    """
    metrics = evaluate(scores, labels, threshold=threshold)
    checked, known, _ = _checked(scores, labels, None)
    return Evaluation(
        metrics,
        intervals(checked, known, seed=seed, resamples=resamples),
        float(threshold),
        _curves(checked, known),
    )


def best_threshold(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the score from which deciding positive gives the best F1; apply it to training rows, never to test rows.

    Args:
        scores: Probabilities of class 1, (rows,).
        labels: 0 and 1, (rows,).

    Returns:
        The greatest such score; halfway to the next lower one, so that rounding moves no row across.

    Raises:
        DataError: As `evaluate`.

    Example:
        >>> best_threshold(np.array([0.9, 0.7, 0.3, 0.1]), np.array([1, 1, 0, 0]))
        0.5
    """
    scores, labels, weights = _checked(scores, labels, None)
    ranking = Ranking(scores, labels)
    true, false = (count[0] for count in ranking.counts(weights[None, :]))
    f1 = 2 * true / (true + false + true[-1]) if true[-1] else true
    best = int(np.argmax(f1))
    thresholds = ranking.thresholds
    below = thresholds[best + 1] if best + 1 < len(thresholds) else 0.0
    return float((thresholds[best] + below) / 2)


def intervals(
    scores: NDArray[Any], labels: NDArray[Any], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """Return 95 % percentile bootstrap intervals of auc and average_precision.

    Rows are taken as independent: where one customer has many, the truth is wider.

    Args:
        scores: Probabilities of class 1, (rows,).
        labels: 0 and 1, (rows,).
        seed: Of the resampling.
        resamples: How many.

    Returns:
        Empty when the rows have one class only.
    """
    scores, labels, _ = _checked(scores, labels, None)
    rng = np.random.default_rng(seed)
    positives, negatives = _groups(scores, labels)
    cells = np.concatenate([positives, negatives]) / len(scores)
    found: dict[str, list[Floats]] = {"auc": [], "average_precision": []}
    at_once = max(1, min(resamples, _CELLS_AT_ONCE // len(cells)))
    for start in range(0, resamples, at_once):
        drawn = rng.multinomial(len(scores), cells, min(at_once, resamples - start)).astype(np.float64)
        true, false = (np.cumsum(part, axis=1) for part in np.split(drawn, 2, axis=1))
        found["auc"].append(auc(true, false))
        found["average_precision"].append(average_precision(true, false))
    tail = (1 - CONFIDENCE) / 2
    result = {}
    for name, parts in found.items():
        values = np.concatenate(parts)
        values = values[np.isfinite(values)]
        if len(values):
            low, high = np.quantile(values, (tail, 1 - tail))
            result[name] = Interval(float(low), float(high), len(values))
    return result if "auc" in result else {}


def _groups(scores: Floats, labels: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the positives and negatives of each group of scores, the greatest first.

    Negatives between two positives are one group: their order changes neither metric, and drawing rows with
    replacement is drawing group sizes from a multinomial. With one fraud in a hundred that is fifty times less work.
    """
    true, false = (count[0] for count in Ranking(scores, labels).counts(np.ones((1, len(scores)))))
    positives, negatives = np.diff(true, prepend=0.0), np.diff(false, prepend=0.0)
    starts = np.flatnonzero((positives > 0) | (np.append(1.0, positives[:-1]) > 0))
    return np.add.reduceat(positives, starts), np.add.reduceat(negatives, starts)


def _curves(scores: Floats, labels: NDArray[np.int64]) -> Curves:
    true, false = (count[0] for count in Ranking(scores, labels).counts(np.ones((1, len(scores)))))
    kept = np.unique(np.linspace(0, len(true) - 1, min(CURVE_POINTS, len(true))).astype(int))
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, fall_out, precision = true / true[-1], false / false[-1], true / (true + false)
    bins = [part for part in np.array_split(np.argsort(scores, kind="stable"), CALIBRATION_BINS) if len(part)]
    return Curves(
        (0.0, *_numbers(fall_out[kept])),
        (0.0, *_numbers(recall[kept])),
        _numbers(recall[kept]),
        _numbers(precision[kept]),
        _numbers(np.array([scores[part].mean() for part in bins])),
        _numbers(np.array([labels[part].mean() for part in bins])),
    )


def _numbers(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in np.nan_to_num(values))


def _checked(
    scores: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any] | None
) -> tuple[Floats, NDArray[np.int64], Floats]:
    values, known = np.asarray(scores, np.float64), np.asarray(labels)
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    if values.ndim != 1 or values.shape != known.shape or values.shape != weight.shape:
        raise DataError(f"scores {values.shape}, labels {known.shape} and weights {weight.shape} differ in shape")
    if len(values) == 0:
        raise DataError("there are no rows to evaluate", hint="widen the split, or wait for labels")
    if not np.isin(known, (0, 1)).all():
        raise DataError("labels must be 0 or 1", hint="exclude rows whose label is unknown")
    if not np.isfinite(values).all():
        raise DataError("a score is not a number", hint="look for infinite feature values")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
        raise DataError("weights must be zero or more, and not all zero")
    return values, known.astype(np.int64), weight
