"""Windows: aggregates over a slice of one column of a record; the functions that `reader_code` calls."""

import math
import struct
from collections.abc import Sequence

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
        return math.nan
    # The distance to the mean point is the root of the sum of squared deviations, in C and without overflow.
    return math.dist(moved, (mean,) * n) / math.sqrt(n - 1)
