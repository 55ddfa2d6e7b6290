"""Intervals of means of what rows gain or lose, each at most 1, that hold where hardly any row gains or loses.

A bootstrap draws from what was seen: of no error at all it draws none, and finds an interval of no width. For gains and
losses of whole rows these are Wilson's score interval of a share, and Tango's (1998, "Equivalence test and confidence
interval for the difference in proportions for the paired-sample design") of a difference between pairs. Where each of
many rows loses a little, as in a ranking, the mean varies less than that of whole rows does; how much less is learnt
from the rows, and believed the more, the more of them carry the loss.
"""

import math
from statistics import NormalDist

import numpy as np

from falaj.models.bootstrap import CONFIDENCE
from falaj.models.metrics import Floats

_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
_UNSEEN = _Z * _Z
"""As many rows as Wilson's interval allows for where none was seen."""

_HALVINGS = 60


def mean_between(values: Floats) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a mean.

    Args:
        values: Between 0 and 1, (rows,); independent of each other.

    Returns:
        Wilson's interval where they are all 0 or 1; 0 and 1 where there are no rows.

    Example:
        >>> low, high = mean_between(np.zeros(10))
        >>> low, round(high, 4)
        (0.0, 0.2775)
    """
    if len(values) == 0:
        return 0.0, 1.0
    mean = float(values.mean())
    whole = mean * (1 - mean)
    ratio = 1.0 if whole <= 0 else float(values.var()) / whole
    count = len(values) / _believed(ratio, values)
    middle = (mean + _Z * _Z / (2 * count)) / (1 + _Z * _Z / count)
    half = _Z / (1 + _Z * _Z / count) * math.sqrt(max(whole, 0.0) / count + _Z * _Z / (4 * count * count))
    return min(mean, max(0.0, middle - half)), max(mean, min(1.0, middle + half))


def change_between(changes: Floats, *, whole: bool = False) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a mean of changes.

    Args:
        changes: Between -1 and 1, (rows,); independent of each other.
        whole: Whether rows that are not seen may change by 1, though all that are seen change by less.

    Returns:
        Tango's interval where they are all -1, 0 or 1; -1 and 1 where there are no rows.

    Example:
        >>> [round(end, 3) for end in change_between(np.zeros(100))]  # no row changed, and yet one of 30 might
        [-0.037, 0.037]
    """
    if len(changes) == 0:
        return -1.0, 1.0
    gained, lost = float(np.maximum(changes, 0).sum()), float(np.maximum(-changes, 0).sum())
    moved = gained + lost
    ratio = 1.0 if moved <= 0 else float((changes**2).sum()) / moved
    believed = _believed(ratio, np.abs(changes), whole=whole)
    gained, lost, count = gained / believed, lost / believed, len(changes) / believed
    mean = (gained - lost) / count
    return _reached(gained, lost, count, mean, -1.0), _reached(gained, lost, count, mean, 1.0)


def _believed(ratio: float, losses: Floats, *, whole: bool = False) -> float:
    """Return how much of the variance of whole rows to reckon with: all of it where nothing was seen.

    What is not seen is taken to be as large as the largest that was, and the more surely so, the more rows lose at all.
    """
    squares, losing = float((losses**2).sum()), int(np.count_nonzero(losses))
    if squares <= 0:
        return 1.0
    carriers = float(losses.sum()) ** 2 / squares  # Kish: of equal losses, how many there are
    largest = 1.0 if whole else (losing * float(losses.max()) + _UNSEEN) / (losing + _UNSEEN)
    return (carriers * min(ratio, 1.0) + _UNSEEN * largest) / (carriers + _UNSEEN)


def _reached(gained: float, lost: float, count: float, mean: float, end: float) -> float:
    """Return the difference farthest towards an end that the score test does not reject."""
    kept, refused = mean, end
    for _ in range(_HALVINGS):
        middle = (kept + refused) / 2
        if _score(gained, lost, count, middle) <= _Z:
            kept = middle
        else:
            refused = middle
    return kept


def _score(gained: float, lost: float, count: float, difference: float) -> float:
    """Return how many standard errors the seen difference is from another, under which the error is reckoned."""
    a = 2 * count
    b = -gained - lost + (2 * count - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    losing = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = count * (2 * losing + difference * (1 - difference))
    off = abs(gained - lost - count * difference)
    if variance <= 0:
        return 0.0 if off < 1e-12 * count else math.inf
    return off / math.sqrt(variance)
