"""Metrics of scores against labels, over whole arrays and over many weightings of them at once."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.cost import Cost

Floats = NDArray[np.float64]

CALIBRATION_BINS = 10
OF_DECISIONS = ("precision", "recall", "f1", "accuracy", "cost")
"""Of a threshold beside the scores."""

RANKING = ("auc", "average_precision")
LOSSES = ("log_loss", "brier")


class Ranking:
    """Scores sorted once, so that every resampling of the rows is a reweighting and not another sort.

    Ties share one rank: all rows of one score are one step of every curve.

    Args:
        scores: float64, (rows,).
        labels: 0 and 1, (rows,).
    """

    def __init__(self, scores: Floats, labels: NDArray[Any]) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        self._positive = np.asarray(labels, np.float64)[self._order]
        self._last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # the last row of each tie
        self.thresholds = ranked[self._last]

    def counts(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return the weight of true and of false positives at each distinct score, the greatest first.

        Args:
            weights: (weightings, rows), in the rows' own order.

        Returns:
            Two arrays (weightings, distinct scores).
        """
        ranked = weights[:, self._order]
        true = np.cumsum(ranked * self._positive, axis=1)[:, self._last]
        everything = np.cumsum(ranked, axis=1)[:, self._last]
        return true, everything - true


class Scored:
    """Labelled rows with their scores, ready to give any metric of any weighting of the rows.

    Args:
        scores: Probabilities of class 1, float64, (rows,).
        labels: 0 and 1, (rows,).
        threshold: From which score on a decision is positive.
        cost: What decisions cost; without it there is no metric `cost`.

    Example:
        >>> scored = Scored(np.array([0.9, 0.2, 0.8]), np.array([1, 0, 0]), 0.5)
        >>> scored.measure(np.ones((1, 3)), ["auc", "precision"])
        {'auc': array([1.]), 'precision': array([0.5])}
    """

    def __init__(self, scores: Floats, labels: NDArray[Any], threshold: float, cost: Cost | None = None) -> None:
        self.scores = scores
        self.labels = np.asarray(labels, np.float64)
        self.threshold = threshold
        self.cost = cost
        self._ranking = Ranking(scores, labels)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it can give."""
        known = (*RANKING, *OF_DECISIONS, *LOSSES, "ece")
        return tuple(name for name in known if name != "cost" or self.cost is not None)

    def measure(self, weights: Floats, names: Iterable[str]) -> dict[str, Floats]:
        """Return metrics of weightings; NaN for what the rows of one weighting do not define.

        Args:
            weights: (weightings, rows), zero or more.
            names: Which metrics.

        Returns:
            Metric name to its values, (weightings,).
        """
        wanted = tuple(names)
        found: dict[str, Floats] = {}
        if any(name in RANKING for name in wanted):
            true, false = self._ranking.counts(weights)
            found["auc"] = auc(true, false)
            if "average_precision" in wanted:
                found["average_precision"] = average_precision(true, false)
        if any(name in ("precision", "recall", "f1", "accuracy", "cost") for name in wanted):
            found |= self._decisions(weights)
        if any(name in LOSSES for name in wanted):
            found |= self._losses(weights)
        if "ece" in wanted:
            found["ece"] = self._calibration_error(weights)
        return {name: found[name] for name in wanted if name in found}

    def _decisions(self, weights: Floats) -> dict[str, Floats]:
        tp, fp, fn, tn = (weights @ self._cells).T
        with np.errstate(invalid="ignore", divide="ignore"):
            found = {
                # Without a positive decision it is 0: a model that never decides earns nothing.
                "precision": np.where(tp + fp > 0, tp / (tp + fp), 0.0),
                "recall": tp / (tp + fn),
                "f1": 2 * tp / (2 * tp + fp + fn),
                "accuracy": (tp + tn) / (tp + fp + fn + tn),
            }
            if self.cost is not None:
                spent = fp * self.cost.false_positive + fn * self.cost.false_negative
                spent += tp * self.cost.true_positive + tn * self.cost.true_negative
                found["cost"] = spent / (tp + fp + fn + tn)
        return found

    def _losses(self, weights: Floats) -> dict[str, Floats]:
        sums = weights @ self._lost
        with np.errstate(invalid="ignore", divide="ignore"):
            log_loss, brier = (sums / weights.sum(axis=1, keepdims=True)).T
        return {"log_loss": log_loss, "brier": brier}

    def _calibration_error(self, weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            error: Floats = np.abs(weights @ self._gaps).sum(axis=1) / weights.sum(axis=1)
        return error

    # What follows is the same for every weighting, and made once.

    @cached_property
    def _cells(self) -> Floats:
        """Whether each row is a true or false positive, or a false or true negative, (rows, 4)."""
        chosen, positive = self.scores >= self.threshold, self.labels == 1
        cells = [chosen & positive, chosen & ~positive, ~chosen & positive, ~chosen & ~positive]
        return np.stack(cells, axis=1).astype(np.float64)

    @cached_property
    def _lost(self) -> Floats:
        """Log loss, scores held 1e-15 away from 0 and 1, and squared error of each row, (rows, 2)."""
        held = np.clip(self.scores, 1e-15, 1 - 1e-15)
        logs = -np.where(self.labels == 1, np.log(held), np.log1p(-held))
        return np.stack([logs, (self.scores - self.labels) ** 2], axis=1)

    @cached_property
    def _gaps(self) -> Floats:
        """Score less label in the column of each row's bin, (rows, bins).

        Bins are of equally many rows; rows of one score share a bin.
        """
        edges = np.quantile(self.scores, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
        bins = np.searchsorted(edges, self.scores, side="right")
        gaps = np.zeros((len(self.scores), CALIBRATION_BINS))
        gaps[np.arange(len(bins)), bins] = self.scores - self.labels
        return gaps


def auc(true: Floats, false: Floats) -> Floats:
    """Return the area under the ROC curve of each weighting: the trapezoids between distinct scores.

    Args:
        true: Weight of true positives at each distinct score, (weightings, distinct scores).
        false: The same of false positives.
    """
    start = np.zeros((len(true), 1))
    steps_false = np.diff(false, axis=1, prepend=start)
    heights = true + np.concatenate([start, true[:, :-1]], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Floats = (steps_false * heights).sum(axis=1) / (2 * true[:, -1] * false[:, -1])
    return area


def average_precision(true: Floats, false: Floats) -> Floats:
    """Return the average precision of each weighting: sum of (recall step x precision), without interpolation."""
    steps_true = np.diff(true, axis=1, prepend=np.zeros((len(true), 1)))
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(true + false > 0, true / (true + false), 0.0)
        area: Floats = (steps_true * precision).sum(axis=1) / true[:, -1]
    return area
