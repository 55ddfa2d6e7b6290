"""Frozen-cell integer histograms: they add across replicas, subtract for windows, and take some two kilobytes.

The cells are fixed by a reference sample once. A later sample only adds to integer counts, so that histograms of
many workers merge exactly and in any order, and an outlier in today's traffic cannot stretch the bins that
yesterday's is compared in.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from falaj.kernel.errors import InputError

Counts = NDArray[np.int64]
"""One integer per cell of a reference."""


def add(counts: Iterable[Counts]) -> Counts:
    """Return the sum of histograms over the same reference, such as those of several workers.

    Raises:
        InputError: There are none, or they have different cells.

    Example:
        >>> add([np.array([1, 0]), np.array([2, 5])]).tolist()
        [3, 5]
    """
    parts = list(counts)
    if len({part.shape for part in parts}) != 1:
        raise InputError("histograms to add have no or different cells", hint="count them with the same reference")
    total: Counts = np.sum(np.stack(parts), axis=0, dtype=np.int64)
    return total


def subtract(later: Counts, earlier: Counts) -> Counts:
    """Return what came after the earlier count: the histogram of a window between two running totals.

    Raises:
        InputError: The cells differ, or the earlier total is not contained in the later one (a counter restarted).

    Example:
        >>> subtract(np.array([3, 5]), np.array([1, 5])).tolist()
        [2, 0]
    """
    if later.shape != earlier.shape or bool(np.any(later < earlier)):
        raise InputError(
            "the earlier histogram is not contained in the later one",
            hint="a counter restarted; begin a new window from zero",
        )
    return (later - earlier).astype(np.int64)


def unpack(counts: Iterable[int], cells: Sequence[int]) -> Counts:
    """Return stored integers as counts of the reference's cells.

    Args:
        counts: As stored.
        cells: The reference's own counts.

    Raises:
        InputError: They were counted with another reference.
    """
    array = np.asarray(list(counts), dtype=np.int64)
    if array.size != len(cells):
        raise InputError(
            f"{array.size} counts do not fit a reference of {len(cells)} cells",
            hint="the reference changed since they were counted; begin a new window",
        )
    return array
