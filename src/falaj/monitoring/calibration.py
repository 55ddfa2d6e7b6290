"""Calibration: how often the scores of a sample came true, by the cells of the score."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.monitoring.column_values import as_numbers
from falaj.monitoring.numeric_reference import NumericReference

Floats = NDArray[np.float64]


class Calibration(msgspec.Struct, frozen=True):
    """The positives in each cell of the score, over rows that the model was not trained on.

    Attributes:
        rows: Rows per bin of the score, from the least score up.
        positives: Positives per bin.
        edges: Lower edge of each bin.
        threshold: From which score on a decision is positive; one of the edges, or None.
    """

    rows: tuple[int, ...]
    positives: tuple[int, ...]
    edges: tuple[float, ...]
    threshold: float | None = None

    @classmethod
    def fit(
        cls, cells: NumericReference, scores: Any, outcomes: NDArray[np.bool_], *, threshold: float | None = None
    ) -> "Calibration":
        """Count the positives.

        Args:
            cells: Of the score.
            scores: (rows,).
            outcomes: Whether each row was a positive, (rows,).
            threshold: As the cells were fitted with.

        Example:
            >>> cells = NumericReference.fit([0.1, 0.1, 0.9])
            >>> Calibration.fit(cells, [0.1, 0.1, 0.9], np.array([False, True, True])).positives
            (1, 1)
        """
        inside = slice(1, 1 + len(cells.edges))
        numbers, _ = as_numbers(scores)
        positives = cells.count(numbers[outcomes])[inside]
        rows = np.asarray(cells.counts, dtype=np.int64)[inside]
        return cls(tuple(rows.tolist()), tuple(positives.tolist()), cells.edges, threshold)

    @property
    def chosen(self) -> NDArray[np.bool_]:
        """Whether each bin's decisions are positive, (bins,); by 0.5 without a threshold."""
        threshold = np.float32(0.5 if self.threshold is None else self.threshold)
        return np.asarray(self.edges, dtype=np.float32) >= threshold


def isotonic(positives: Floats, rows: Floats) -> Floats:
    """Return each bin's probability of a positive: the nearest to the shares that never falls as the score grows.

    Pool-adjacent-violators, Ayer et al., "An empirical distribution function for sampling with incomplete
    information", 1955.

    Args:
        positives: Per bin.
        rows: Per bin; an empty bin has the probability of its neighbours.

    Example:
        >>> isotonic(np.array([1.0, 0.0, 4.0]), np.array([2.0, 2.0, 4.0])).tolist()
        [0.25, 0.25, 1.0]
    """
    blocks: list[tuple[float, float, int]] = []  # positives, rows, bins
    for hits, number in zip(positives.tolist(), rows.tolist(), strict=True):
        block = (hits, number, 1)
        while blocks and (not block[1] or not blocks[-1][1] or block[0] * blocks[-1][1] <= blocks[-1][0] * block[1]):
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    values = [hits / number if number else 0.0 for hits, number, _ in blocks]
    return np.repeat(np.asarray(values), [bins for _, _, bins in blocks])
