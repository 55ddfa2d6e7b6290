"""Bootstrap: what metrics could have been on other rows of the same kind.

Rows are drawn with replacement within each class, so that no resample is without one. Every model that is measured in
one call is measured on the same resamples: the difference of two is then free of the luck that both share.
"""

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.models.metrics import Floats

MOST_RESAMPLES = 1_000
FEWEST_RESAMPLES = 200
CONFIDENCE = 0.95
_CELLS = 6_000_000
"""Rows times resamples of one call; more would hold a training run up, for ends that move in the fourth place."""
_CELLS_AT_ONCE = 1_000_000  # 8 MB: it stays in the processor's cache, or near it


class Interval(msgspec.Struct, frozen=True):
    """A bootstrap interval.

    Attributes:
        low: Lower end.
        high: Upper end.
        resamples: How many resamples had a value.
    """

    low: float
    high: float
    resamples: int


def resamples_of(rows: int) -> int:
    """Return how many resamples of so many rows are drawn.

    Example:
        >>> resamples_of(1_000), resamples_of(20_000), resamples_of(1_000_000)
        (1000, 300, 200)
    """
    return max(FEWEST_RESAMPLES, min(MOST_RESAMPLES, _CELLS // max(rows, 1)))


def bootstrap(
    labels: NDArray[np.int64],
    measure: Callable[[Floats], dict[str, Floats]],
    *,
    seed: int,
    resamples: int | None = None,
) -> dict[str, Floats]:
    """Return what is measured of many resamples of the rows.

    Args:
        labels: 0 and 1, (rows,).
        measure: From weights, (weightings, rows), to named values, (weightings,).
        seed: Of the drawing; the same seed draws the same rows.
        resamples: How many; by the number of rows where None.

    Returns:
        Name to values, (resamples,); NaN where a resample has none.
    """
    count = resamples_of(len(labels)) if resamples is None else resamples
    parts = [measure(weights) for weights in _drawn(labels, seed, count)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _drawn(labels: NDArray[np.int64], seed: int, count: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    classes = [rows for rows in (np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)) if len(rows)]
    at_once = max(1, min(count, _CELLS_AT_ONCE // max(len(labels), 1)))
    for start in range(0, count, at_once):
        some = min(at_once, count - start)
        weights = np.zeros((some, len(labels)))
        for rows in classes:
            drawn = rng.integers(0, len(rows), (some, len(rows)))
            drawn += np.arange(some)[:, None] * len(rows)
            weights[:, rows] = np.bincount(drawn.ravel(), minlength=some * len(rows)).reshape(some, len(rows))
        yield weights


def interval_of(values: Floats, *, estimate: float | None = None) -> Interval | None:
    """Return the 95 % interval of resampled values; None where none of them is a number.

    Args:
        values: (resamples,).
        estimate: The value on the rows themselves, for what resampling pushes to one side, such as a calibration
            error: the interval is then mirrored about it, and ends at zero.

    Example:
        >>> interval_of(np.array([0.5, 0.5, np.nan]))
        Interval(low=0.5, high=0.5, resamples=2)
    """
    kept = values[np.isfinite(values)]
    if len(kept) == 0:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(end) for end in np.quantile(kept, (tail, 1 - tail)))
    if estimate is not None:
        low, high = max(0.0, 2 * estimate - high), max(0.0, 2 * estimate - low)
    return Interval(low, high, len(kept))
