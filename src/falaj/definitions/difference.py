"""Difference: what two descriptions of one definition do not have in common, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

MOST_LINES = 20
_LONGEST = 60
_AROUND = 15


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one line for each field that was added, removed or changed.

    Args:
        old: As `describe` gives it.
        new: The same of the definition as it is now.

    Example:
        >>> old = {"features": {"spend": {"function": "sum", "window": "14d"}, "gone": {"function": "count"}}}
        >>> new = {"features": {"spend": {"function": "sum", "window": "10d"}, "most": {"function": "max"}}}
        >>> differences(old, new)
        ("~ features.spend.window: '14d' -> '10d'", '- features.gone', '+ features.most')
    """
    lines = list(_lines("", old, new))
    more = len(lines) - MOST_LINES
    return (*lines[:MOST_LINES], f"and {more} more") if more > 0 else tuple(lines)


def _lines(path: str, old: Any, new: Any) -> Iterator[str]:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        if old != new:
            yield f"~ {path}: {' -> '.join(_changed_parts(repr(old), repr(new)))}"
        return
    for key in (*old, *(key for key in new if key not in old)):
        below = f"{path}.{key}" if path else str(key)
        if key not in new:
            yield f"- {below}"
        elif key not in old:
            yield f"+ {below}"
        else:
            yield from _lines(below, old[key], new[key])


def _changed_parts(old: str, new: str) -> tuple[str, str]:
    """Return both texts, long ones from shortly before to shortly after what differs."""
    before = _alike(old, new)
    after = _alike(old[before:][::-1], new[before:][::-1])
    return _part(old, before, after), _part(new, before, after)


def _alike(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _part(text: str, before: int, after: int) -> str:
    if len(text) <= _LONGEST:
        return text
    first, last = max(before - _AROUND, 0), min(len(text) - after + _AROUND, len(text))
    last = min(last, first + _LONGEST)
    return f"{'...' if first else ''}{text[first:last]}{'...' if last < len(text) else ''}"
