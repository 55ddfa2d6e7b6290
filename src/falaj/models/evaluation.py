"""Evaluation: what a model's scores are worth on labelled rows, with the uncertainty that stays."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.cost import Cost
from falaj.definitions.task import Task
from falaj.kernel.errors import DataError
from falaj.models.bootstrap import Interval
from falaj.models.metrics import CALIBRATION_BINS, Floats, Ranking, Scored
from falaj.models.parts import Part, Sides

CURVE_POINTS = 200
POINTS = 500
RESIDUAL_BINS = 40


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


class Points(msgspec.Struct, frozen=True):
    """What the plots of a regression draw.

    Attributes:
        predicted: Of some test rows.
        actual: Of the same.
        edges: Of the bins of the residuals, predicted less actual; one more than bins.
        counts: All test rows by bin of their residual.
    """

    predicted: tuple[float, ...]
    actual: tuple[float, ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Evaluation(msgspec.Struct, frozen=True):
    """All that is reported of one set of rows.

    Attributes:
        metrics: Metric name to value; NaN where the rows have one class only.
        intervals: 95 % bootstrap intervals of the metrics.
        threshold: The score from which a decision is positive, chosen on training rows; None of a regression.
        curves: What plots draw; None of a regression.
        points: What plots of a regression draw.
    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    threshold: float | None
    curves: Curves | None
    points: Points | None = None


def evaluate(
    scores: NDArray[Any],
    labels: NDArray[Any],
    weights: NDArray[Any] | None = None,
    *,
    threshold: float = 0.5,
    cost: Cost | None = None,
) -> dict[str, float]:
    """Return the metrics of scores.

    Args:
        scores: Probabilities of class 1, (rows,).
        labels: 0 and 1, (rows,).
        weights: Each row's weight, (rows,); 1 for all by default.
        threshold: From which score on a decision is positive. Choose it on training rows, by `best_threshold`.
        cost: What decisions cost; without it there is no metric `cost`.

    Returns:
        auc, average_precision, precision, recall, f1, accuracy, log_loss, brier, ece, rows, positives and threshold;
        NaN for what one class alone does not define.

    Raises:
        DataError: There are no rows, the lengths differ, a label is not 0 or 1, or a score is not a number.

    Example:
        >>> found = evaluate(np.array([0.9, 0.2, 0.8]), np.array([1, 0, 0]))
        >>> found["auc"], found["precision"], found["positives"]
        (1.0, 0.5, 1.0)
    """
    checked, known, weight = checked_rows(scores, labels, weights)
    scored = Scored(checked, known, threshold, cost)
    found = scored.measure(weight[None, :], scored.metrics)
    return {
        **{name: float(values[0]) for name, values in found.items()},
        "rows": float(len(checked)),
        "positives": float(known.sum()),
        "threshold": float(threshold),
    }


def evaluation_of(sides: Sides, part: Part) -> Evaluation:
    """Return what cards show: metrics, intervals and curves.

    Args:
        sides: The scores of the test rows.
        part: What was measured on all of them.
    """
    metrics = {name: float("nan") if value is None else value for name, value in part.metrics.items()}
    if part.positives is None:
        metrics |= {"rows": float(part.rows)}
        return Evaluation(metrics, part.intervals, None, None, points_of(sides.candidate, sides.labels))
    metrics |= {"rows": float(part.rows), "positives": float(part.positives), "threshold": float(sides.threshold)}
    return Evaluation(metrics, part.intervals, float(sides.threshold), curves_of(sides.candidate, sides.labels))


def best_threshold(scores: NDArray[Any], labels: NDArray[Any], cost: Cost | None = None) -> float:
    """Return the score from which deciding positive gives the best F1, or costs least.

    Apply it to training rows, never to test rows.

    Args:
        scores: Probabilities of class 1, (rows,).
        labels: 0 and 1, (rows,).
        cost: What decisions cost; by F1 without it.

    Returns:
        The greatest such score; halfway to the next lower one, so that rounding moves no row across. 1 where it is best
        to decide positive about no row that is known, as near as makes no difference.

    Raises:
        DataError: As `evaluate`.

    Example:
        >>> best_threshold(np.array([0.9, 0.7, 0.3, 0.1]), np.array([1, 1, 0, 0]))
        0.5
        >>> best_threshold(np.array([0.9, 0.7, 0.3, 0.1]), np.array([1, 0, 1, 0]), Cost(1, 100))
        0.2
    """
    scores, labels, weights = checked_rows(scores, labels)
    ranking = Ranking(scores, labels)
    true, false = (count[0] for count in ranking.counts(weights[None, :]))
    thresholds = ranking.thresholds
    if cost is None:
        worth = 2 * true / (true + false + true[-1]) if true[-1] else true
    else:
        saved = cost.false_negative - cost.true_positive, cost.false_positive - cost.true_negative
        worth = true * saved[0] - false * saved[1]
        if worth.max() <= 0:
            return float((max(thresholds[0], 1.0) + thresholds[0]) / 2) if thresholds[0] < 1 else 1.0
    best = int(np.argmax(worth))
    below = thresholds[best + 1] if best + 1 < len(thresholds) else 0.0
    return float((thresholds[best] + below) / 2)


def curves_of(scores: Floats, labels: NDArray[np.int64]) -> Curves:
    """Return the points of the ROC, precision-recall and calibration curves.

    Args:
        scores: Probabilities of class 1, (rows,).
        labels: 0 and 1, (rows,).
    """
    true, false = (count[0] for count in Ranking(scores, labels).counts(np.ones((1, len(scores)))))
    # Evenly along both axes: of rare positives all lie among the highest of very many scores.
    even = np.linspace(0, 1, CURVE_POINTS // 2)
    kept = np.unique(np.concatenate([np.searchsorted(one, even * one[-1]) for one in (true, false)]))
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


def points_of(predictions: Floats, labels: NDArray[Any]) -> Points:
    """Return some predictions beside what came true, evenly spaced by it, and how far off all are.

    Args:
        predictions: (rows,).
        labels: Any numbers, (rows,).
    """
    order = np.argsort(labels, kind="stable")
    kept = order[np.unique(np.linspace(0, len(order) - 1, min(POINTS, len(order))).astype(int))]
    residuals = predictions - labels
    low, high = np.quantile(residuals, (0.005, 0.995))  # a few that are far off would leave one bar of all others
    counts, edges = np.histogram(np.clip(residuals, low, high), RESIDUAL_BINS)
    return Points(
        _numbers(predictions[kept]),
        _numbers(np.asarray(labels, np.float64)[kept]),
        _numbers(edges),
        tuple(counts.tolist()),
    )


def _numbers(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in np.nan_to_num(values))


def checked_rows(
    scores: NDArray[Any],
    labels: NDArray[Any],
    weights: NDArray[Any] | None = None,
    task: Task = "classification",
) -> tuple[Floats, NDArray[Any], Floats]:
    """Return scores, labels and weights as numbers that metrics can be made of.

    Raises:
        DataError: There are no rows, the lengths differ, a label is not of the task, or a score is not a number.
    """
    values, known = np.asarray(scores, np.float64), np.asarray(labels)
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    if values.ndim != 1 or values.shape != known.shape or values.shape != weight.shape:
        raise DataError(f"scores {values.shape}, labels {known.shape} and weights {weight.shape} differ in shape")
    if len(values) == 0:
        raise DataError("there are no rows to evaluate", hint="widen the split, or wait for labels")
    if task == "classification" and not np.isin(known, (0, 1)).all():
        raise DataError("labels must be 0 or 1", hint="exclude rows whose label is unknown")
    if not np.isfinite(values).all():
        raise DataError("a score is not a number", hint="look for infinite feature values")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
        raise DataError("weights must be zero or more, and not all zero")
    return values, known.astype(np.int64 if task == "classification" else np.float64), weight
