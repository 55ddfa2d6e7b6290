"""Parity: how far the served artifact's scores are from those of the model that was trained."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.task import Task

TOLERANCE = 1e-5
"""Largest difference of a probability that an export may make; float32 sums of 1,000 leaves stay within 1e-6."""


def tolerance_of(reference: NDArray[Any], task: Task) -> float:
    """Return the largest difference that an export may make: of a regression the same share of the scores' range.

    Args:
        reference: The trained model's scores, (rows,).
        task: The model's.

    Example:
        >>> tolerance_of(np.array([100.0, 300.0]), "regression")
        0.002
    """
    if task == "classification" or len(reference) == 0:
        return TOLERANCE
    return float(TOLERANCE * (np.max(reference) - np.min(reference)))


class Parity(msgspec.Struct, frozen=True):
    """The difference between two sets of scores of the same rows.

    Attributes:
        max_abs: The largest absolute difference; None when a score is not a number.
        share_above: Share of rows that differ by more than the tolerance.
        rows: How many rows were compared.
        tolerance: The largest difference allowed.
    """

    max_abs: float | None
    share_above: float
    rows: int
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        """Whether every row agrees; a comparison of nothing does not hold."""
        return self.rows > 0 and self.max_abs is not None and self.max_abs <= self.tolerance


def compare(reference: NDArray[Any], exported: NDArray[Any], tolerance: float = TOLERANCE) -> Parity:
    """Compare two sets of scores.

    Args:
        reference: The trained model's scores, (rows,).
        exported: The served artifact's scores of the same rows, (rows,).
        tolerance: The largest difference allowed.

    Example:
        >>> compare(np.array([0.5, 0.2]), np.array([0.5, 0.3])).share_above
        0.5
    """
    difference = np.abs(np.asarray(reference, np.float64) - np.asarray(exported, np.float64))
    rows = len(difference)
    if rows == 0:
        return Parity(None, 0.0, 0, tolerance)
    above = float(np.mean(~(difference <= tolerance)))  # NaN counts as different
    largest = float(difference.max())
    return Parity(largest if np.isfinite(largest) else None, above, rows, tolerance)
