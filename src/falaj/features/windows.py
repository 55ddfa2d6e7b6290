"""Windows: aggregates over a slice of one column of a record; the functions that `reader_code` calls."""

import math
import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

# struct is three times as fast as a memoryview's tolist, and faster than NumPy up to some hundred values
_unpack = struct.unpack_from
_half = struct.Struct("<I").unpack_from
_halves = struct.Struct("<II").unpack_from


def add_up(values: Sequence[float]) -> float:
    """Return the sum of floats, rounded once; infinities and NaN as addition has them.

    Example:
        >>> add_up((0.1,) * 10), add_up((math.inf, -math.inf))
        (1.0, nan)
    """
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return sum(values)


def floats(raw: memoryview, at: int, first: int, last: int) -> tuple[float, ...]:
    """Return values of a float column.

    Args:
        raw: The record.
        at: The word at which the column's values begin; as for the functions below.
        first: The first value wanted, of those that are not null.
        last: The one after the last.
    """
    return _unpack(f"<{last - first}d", raw, 8 * (at + first))


def ints(raw: memoryview, at: int, first: int, last: int) -> tuple[int, ...]:
    """Return values of a column of whole numbers or timestamps."""
    return _unpack(f"<{last - first}q", raw, 8 * (at + first))


def bools(raw: memoryview, at: int, first: int, last: int) -> tuple[bool, ...]:
    """Return values of a bool column."""
    return tuple(map(bool, raw[8 * at + first : 8 * at + last]))


def text(raw: memoryview, at: int, offsets_at: int, texts_at: int, place: int) -> str:
    """Return one value of a string column.

    Args:
        raw: The record.
        at: The word at which the column's codes begin.
        offsets_at: The word at which the offsets of its distinct texts begin.
        texts_at: The word at which the texts begin.
        place: Which value.
    """
    start, end = _halves(raw, 8 * offsets_at + 4 * _half(raw, 8 * at + 4 * place)[0])
    return str(raw[8 * texts_at + start : 8 * texts_at + end], "utf-8")


def texts(raw: memoryview, at: int, offsets_at: int, texts_at: int, first: int, last: int) -> tuple[str, ...]:
    """Return values of a string column."""
    return tuple(text(raw, at, offsets_at, texts_at, place) for place in range(first, last))


def bounds(raw: memoryview, counts_at: int, start: int, end: int) -> tuple[int, int]:
    """Return which values, of those that are not null, belong to a span of events.

    Args:
        raw: The record.
        counts_at: The word at which the column's counts begin.
        start: The first event.
        end: The one after the last.
    """
    at = 8 * counts_at
    first: int = _half(raw, at + 4 * start)[0]
    last: int = _half(raw, at + 4 * end)[0]
    return first, last


def whole(total: int) -> int | None:
    """Return a sum of whole numbers, or None where it does not fit 64 bits, as offline."""
    return total if -(1 << 63) <= total < 1 << 63 else None


def lowest(values: tuple[float, ...], flags: int) -> float:
    """Return the smallest; NaN if there is one, which only a column with flags can hold."""
    return math.nan if flags and any(v != v for v in values) else min(values)


def highest(values: tuple[float, ...], flags: int) -> float:
    """Return the greatest; NaN if there is one, which only a column with flags can hold."""
    return math.nan if flags and any(v != v for v in values) else max(values)


def spread(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation; None for fewer than two values.

    Example:
        >>> spread((1.0, 3.0)), spread((1.0,))
        (1.4142135623730951, None)
    """
    n = len(values)
    if n < 2:
        return None
    # From one of the values on: far from zero, the mean itself would be too coarse to measure distances from.
    base = values[-1]
    moved = [value - base for value in values]
    mean = add_up(moved) / n
    if not math.isfinite(mean):
        if not all(map(math.isfinite, values)):
            return math.nan
        deviation = spread([value / 4 for value in values])  # they were too far apart to be added up
        return deviation and 4 * deviation
    # The distance to the mean point is the root of the sum of squared deviations, in C and without overflow.
    return math.dist(moved, (mean,) * n) / math.sqrt(n - 1)


def variance(values: Sequence[float]) -> float | None:
    """Return the sample variance; None for fewer than two values.

    Example:
        >>> variance((1.0, 3.0)), variance((1.0,))
        (2.0, None)
    """
    n = len(values)
    if n < 2:
        return None
    base = values[-1]  # as in `spread`
    moved = [value - base for value in values]
    mean = add_up(moved) / n
    if not math.isfinite(mean):
        return math.inf if all(map(math.isfinite, values)) else math.nan
    return add_up([(value - mean) * (value - mean) for value in moved]) / (n - 1)


def quantile(values: Sequence[float], q: float, flags: int = 1) -> float | None:
    """Return a quantile, interpolated linearly; NaN where one is among the values, None where there are none.

    Args:
        values: Numbers, in any order.
        q: Which, from 0 to 1.
        flags: Not 0 where the values may hold NaN.

    Example:
        >>> quantile((4, 1, 2), 0.75)
        3.0
    """
    if not values:
        return None
    if flags and any(v != v for v in values):
        return math.nan
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    below = int(place)
    low, high = float(ordered[below]), float(ordered[min(below + (place > below), len(ordered) - 1)])
    if low == high:
        return low
    share = place - below
    gap = high - low
    # Where the distance does not fit, or is infinite, the two are weighed instead.
    return low + gap * share if math.isfinite(gap) else low * (1 - share) + high * share


def distinct(values: Sequence[float]) -> int:
    """Return how many distinct values there are; NaN is one of them.

    Example:
        >>> distinct((0.0, -0.0, math.nan, math.nan))
        2
    """
    found = set(values)
    nans = sum(1 for value in found if value != value)
    return len(found) - nans + (nans > 0)


def distinct_texts(raw: memoryview, at: int, first: int, last: int) -> int:
    """Return how many distinct texts there are among a string column's values, by their codes."""
    return len(set(_unpack(f"<{last - first}I", raw, 8 * at + 4 * first)))


def last_chosen(raw: memoryview, counts_at: int, events: int, before: int) -> int:
    """Return the last event before a place whose value in a column is not null; -1 where there is none.

    Args:
        raw: The record.
        counts_at: The word at which the column's counts begin; 0 where nothing is null.
        events: How many events the record has.
        before: The place.
    """
    if not counts_at:
        return before - 1
    counts = raw[8 * counts_at : 8 * counts_at + 4 * (events + 1)].cast("I")
    number = counts[before]
    return bisect_right(counts, number - 1) - 1 if number else -1


def first_chosen(raw: memoryview, counts_at: int, events: int, start: int) -> int:
    """Return the first event from a place on whose value in a column is not null; `events` where there is none."""
    if not counts_at:
        return start
    counts = raw[8 * counts_at : 8 * counts_at + 4 * (events + 1)].cast("I")
    number = counts[start]
    return bisect_right(counts, number) - 1 if number < counts[events] else events


def chosen(raw: memoryview, counts_at: int, events: int, span: tuple[int, int], n: int) -> Sequence[int]:
    """Return the last n events of a span whose value in a column is not null, the oldest first."""
    start, end = span
    if not counts_at:
        return range(max(start, end - n), end)
    found: list[int] = []
    while len(found) < n:
        end = last_chosen(raw, counts_at, events, end)
        if end < start:
            break
        found.append(end)
    return found[::-1]


def listed(raw: memoryview, counts_at: int, places: Sequence[int], value: Callable[[int], Any]) -> list[Any] | None:
    """Return a column's values in some events, null where it is; None where there are no events.

    Args:
        raw: The record.
        counts_at: The word at which the column's counts begin; 0 where nothing is null.
        places: The events.
        value: Gives one of the values that are not null.
    """
    if not places:
        return None
    if not counts_at:
        return [value(place) for place in places]
    spans = [bounds(raw, counts_at, place, place + 1) for place in places]
    return [value(first) if last > first else None for first, last in spans]
