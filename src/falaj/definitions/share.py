"""Share: a part of rows, as people write it."""

import re

from falaj.kernel.errors import DefinitionError


def share_of(value: str | float, what: str) -> float:
    """Return a share of rows, written as a number or a percentage.

    Args:
        value: Such as 0.2 or "20%".
        what: Whose, for the error.

    Raises:
        DefinitionError: The text is no percentage.

    Example:
        >>> share_of("20%", "split test")
        0.2
    """
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)%", value)
        if match is None:
            raise DefinitionError(f"{what} share {value!r} is not a percentage", hint="write '20%'")
        return float(match[1]) / 100
    return float(value)
