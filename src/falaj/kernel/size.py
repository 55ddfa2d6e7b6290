"""Sizes as people write them: "512MiB", "4GiB"."""

import re

from falaj.kernel.errors import DefinitionError

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_PATTERN = re.compile(r"(\d{1,12})(B|KiB|MiB|GiB|TiB)")


def size_bytes(text: str, *, field: str = "size") -> int:
    """Return the size in bytes.

    Args:
        text: A whole number above zero and a unit (B, KiB, MiB, GiB, TiB), without a space.
        field: The name used in the error.

    Raises:
        DefinitionError: The text is not such a size.

    Example:
        >>> size_bytes("4GiB") == 4 << 30
        True
    """
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[1]) == 0:
        raise DefinitionError(
            f"{field} = {text!r} is not a size", hint="write a whole number and a unit, like '512MiB' or '4GiB'"
        )
    return int(match[1]) * _UNITS[match[2]]


def format_size(size: int) -> str:
    """Return a size in the largest unit that it fills.

    Example:
        >>> format_size(4 << 30), format_size(1536 << 20)
        ('4GiB', '1536MiB')
    """
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return f"{size}B"
