"""Intervals of shares and of their differences, by Wilson's score, which holds for few rows and for shares near 0 or 1.

Newcombe (1998), "Interval estimation for the difference between independent proportions", method 10.
"""

import math
from statistics import NormalDist

import msgspec

from falaj.models.bootstrap import CONFIDENCE


class Share(msgspec.Struct, frozen=True):
    """A share with its interval.

    Attributes:
        value: The share.
        low: Lower end.
        high: Upper end.
        count: Of how many rows.
    """

    value: float
    low: float
    high: float
    count: int


def share(hits: int, count: int, confidence: float = CONFIDENCE) -> Share:
    """Return the share of hits with its Wilson interval.

    Args:
        hits: How many.
        count: Of how many; at least one.
        confidence: How often the interval holds the truth.

    Example:
        >>> found = share(0, 10)
        >>> found.low, round(found.high, 3)
        (0.0, 0.278)
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    value = hits / count
    middle = (value + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(value * (1 - value) / count + z * z / (4 * count * count))
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == count else min(1.0, middle + half)
    return Share(value, low, high, count)


def rows_for(bound: float, confidence: float = CONFIDENCE) -> int:
    """Return of how many rows none has to be a hit for the share to lie below a bound, by its interval.

    Args:
        bound: Above 0, below 1.
        confidence: How often the interval holds the truth.

    Example:
        >>> rows_for(0.01), share(0, 381).high <= 0.01 < share(0, 380).high
        (381, True)
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    return math.ceil(z * z * (1 / bound - 1))


def difference(one: tuple[int, int], other: tuple[int, int], confidence: float = CONFIDENCE) -> Share:
    """Return the difference of two independent shares with its interval.

    Args:
        one: Hits and rows of the first.
        other: Hits and rows of the second, which is taken away.
        confidence: How often the interval holds the truth.

    Example:
        >>> found = difference((56, 70), (48, 80))
        >>> round(found.value, 4), round(found.low, 4), round(found.high, 4)
        (0.2, 0.0524, 0.3339)
    """
    first, second = share(*one, confidence), share(*other, confidence)
    value = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Share(value, value - below, value + above, one[1] + other[1])
