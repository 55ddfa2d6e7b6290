"""Metrics of scores against labels, over whole arrays and over many weightings of them at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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


def decisions(scores: Floats, labels: NDArray[Any], weights: Floats, threshold: float) -> dict[str, float]:
    """Return precision, recall, f1 and accuracy of deciding positive from the threshold on.

    Precision without a positive decision is 0: a model that never decides earns nothing.
    """
    chosen, positive = scores >= threshold, labels == 1
    true = float(weights[chosen & positive].sum())
    decided, actual = float(weights[chosen].sum()), float(weights[positive].sum())
    precision = true / decided if decided else 0.0
    recall = true / actual if actual else float("nan")
    agree = float(weights[chosen == positive].sum())
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * true / (decided + actual) if decided + actual else float("nan"),
        "accuracy": agree / float(weights.sum()),
    }


def losses(scores: Floats, labels: NDArray[Any], weights: Floats) -> dict[str, float]:
    """Return log loss, scores held 1e-15 away from 0 and 1, and the Brier score."""
    held = np.clip(scores, 1e-15, 1 - 1e-15)
    each = -np.where(labels == 1, np.log(held), np.log1p(-held))
    return {
        "log_loss": float(np.average(each, weights=weights)),
        "brier": float(np.average((scores - labels) ** 2, weights=weights)),
    }
