"""Extra: libraries that are installed only where they are used."""

import importlib
from typing import Any

from falaj.kernel.errors import ExtraMissing


def library(name: str, extra: str) -> Any:
    """Return a module of an extra.

    Args:
        name: The module.
        extra: What brings it.

    Raises:
        ExtraMissing: It is not installed; the hint is the line that installs it.

    Example:
        >>> library("json", "spark").loads("[1]")
        [1]
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExtraMissing(
            f"{name.partition('.')[0]} is not installed, or lacks something: {error}",
            hint=f"pip install 'falaj[{extra}]'",
        ) from None
