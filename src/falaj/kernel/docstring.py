"""Docstrings, read where a program tells people what its own classes say of their attributes."""

import inspect
import re


def attributes_of(kind: type) -> dict[str, str]:
    """Return what a class's docstring says of each attribute.

    Example:
        >>> from falaj.kernel.settings import CostSettings
        >>> attributes_of(CostSettings)["currency"]
        'Shown beside every amount.'
    """
    found: dict[str, str] = {}
    inside, name = False, ""
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        match = re.fullmatch(r"    (\w+): (.+)", line)
        if line in ("Attributes:", "Args:"):
            inside = True
        elif inside and match:
            name = match[1]
            found[name] = match[2]
        elif inside and name and line.startswith("        "):
            found[name] += " " + line.strip()
        elif line.strip():
            inside = False
    return found
