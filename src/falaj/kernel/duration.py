"""Lengths of time as people write them: "500ms", "10m", "24h", "7d"."""

import re

from falaj.kernel.errors import DefinitionError

SECOND_US = 1_000_000
_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": SECOND_US,
    "m": 60 * SECOND_US,
    "h": 3_600 * SECOND_US,
    "d": 86_400 * SECOND_US,
    "w": 7 * 86_400 * SECOND_US,
}
_PATTERN = re.compile(r"(\d{1,18})(us|ms|s|m|h|d|w)")
_LONGEST_US = 100 * 366 * _UNITS_US["d"]


def duration_us(text: str, *, field: str = "duration") -> int:
    """Return the length in whole microseconds.

    Args:
        text: A whole number and a unit (us, ms, s, m, h, d, w), without a space.
        field: The name used in the error.

    Raises:
        DefinitionError: The text is not such a length, or one of more than a century.

    Example:
        >>> duration_us("24h") == 24 * 3600 * SECOND_US
        True
    """
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise DefinitionError(
            f"{field} = {text!r} is not a duration", hint="write a whole number and a unit, like '500ms', '10m' or '7d'"
        )
    length_us = int(match[1]) * _UNITS_US[match[2]]
    if length_us > _LONGEST_US:
        raise DefinitionError(f"{field} = {text!r} is longer than a century", hint="give a shorter one")
    return length_us


def positive_duration_us(text: str, *, field: str = "duration") -> int:
    """Return the length in whole microseconds, refusing zero.

    Raises:
        DefinitionError: The text is not a length, or is zero.
    """
    value = duration_us(text, field=field)
    if value == 0:
        raise DefinitionError(f"{field} = {text!r} must be longer than zero", hint="give at least '1us'")
    return value


def format_duration(microseconds: int) -> str:
    """Return the length in the largest unit that divides it.

    Example:
        >>> format_duration(duration_us("48h"))
        '2d'
    """
    for unit in ("w", "d", "h", "m", "s", "ms"):
        if microseconds and microseconds % _UNITS_US[unit] == 0:
            return f"{microseconds // _UNITS_US[unit]}{unit}"
    return f"{microseconds}us"
