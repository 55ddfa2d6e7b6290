"""Predicted: labelled rows with the numbers predicted for them, and the metrics of many weightings of them at once."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.gate import REGRESSION
from falaj.models.metrics import Floats


class Predicted:
    """Labelled rows with the numbers predicted for them, ready to give any metric of any weighting of the rows.

    rmse and mae are in the label's unit. wape is the sum of the errors' sizes as a share of the sum of the labels'
    sizes: unlike the mean of shares it is defined where labels are zero, and small labels do not rule it. r2 is the
    share of the labels' variance that is explained, and below zero where their mean would have done better.

    Args:
        predictions: float64, (rows,).
        labels: Any finite numbers, (rows,).

    Example:
        >>> found = Predicted(np.array([1.0, 2.0, 6.0]), np.array([1.0, 2.0, 3.0]))
        >>> {name: values.tolist() for name, values in found.measure(np.ones((1, 3)), ["mae", "wape", "r2"]).items()}
        {'mae': [1.0], 'wape': [0.5], 'r2': [-3.5]}
    """

    def __init__(self, predictions: Floats, labels: NDArray[Any]) -> None:
        self._labels = np.asarray(labels, np.float64)
        self._errors = np.asarray(predictions, np.float64) - self._labels

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it can give."""
        return REGRESSION

    def measure(self, weights: Floats, names: Iterable[str]) -> dict[str, Floats]:
        """Return metrics of weightings; NaN for what the rows of one weighting do not define.

        Args:
            weights: (weightings, rows), zero or more.
            names: Which metrics.

        Returns:
            Metric name to its values, (weightings,).
        """
        rows = weights.sum(axis=1)
        squares, sizes, labels, centred, centred_squares = (weights @ self._parts).T
        with np.errstate(invalid="ignore", divide="ignore"):
            varied = centred_squares - centred**2 / rows
            found = {
                "rmse": np.sqrt(squares / rows),
                "mae": sizes / rows,
                "wape": np.where(labels > 0, sizes / labels, np.nan),
                # Of labels that are all the same nothing varies but the last digits of sums.
                "r2": np.where(varied > 1e-12 * centred_squares, 1 - squares / varied, np.nan),
            }
        return {name: found[name] for name in names if name in found}

    @cached_property
    def _parts(self) -> Floats:
        """Squared error, its size, the label's size, and the label less the mean, with its square, (rows, 5)."""
        centred = self._labels - self._labels.mean()  # so that the squares of great labels do not swallow their spread
        parts = [self._errors**2, np.abs(self._errors), np.abs(self._labels), centred, centred**2]
        return np.stack(parts, axis=1)
