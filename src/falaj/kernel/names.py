"""What things may be called."""

import difflib
import re
from collections.abc import Iterable

from falaj.kernel.errors import DefinitionError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_DASHED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def check_name(kind: str, name: str) -> str:
    """Return the name if it may be used for a definition, a column or a feature.

    Raises:
        DefinitionError: It is not letters, digits and underscores, or is longer than 63 characters,
            or holds the double underscore that joins a view to its feature.

    Example:
        >>> check_name("entity", "card")
        'card'
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or "__" in name.strip("_"):
        raise DefinitionError(
            f"{kind} name {name!r} cannot be used",
            hint="use letters, digits and single underscores, start with a letter, 63 characters at most",
        )
    return name


def check_actor_name(name: str) -> str:
    """Return the name if an actor or a team may bear it (dots and dashes are allowed).

    Raises:
        DefinitionError: It may not.
    """
    if not _DASHED.fullmatch(name):
        raise DefinitionError(
            f"actor name {name!r} cannot be used", hint="use letters, digits, dots, dashes and underscores"
        )
    return name


def alike(names: Iterable[str]) -> tuple[str, str] | None:
    """Return two different names that only capital letters tell apart, which most SQL engines do not; None without.

    Example:
        >>> alike(["amount", "card", "Amount"]), alike(["amount", "amount"])
        (('amount', 'Amount'), None)
    """
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(name.lower(), name)
        if other != name:
            return other, name
    return None


_SHOWN = 12


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the closest known name, or lists what there is.

    Example:
        >>> did_you_mean("frod", ["fraud", "churn"])
        "did you mean 'fraud'?"
    """
    choices = sorted(set(known))
    close = difflib.get_close_matches(name, choices, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    more = f" and {len(choices) - _SHOWN} more" if len(choices) > _SHOWN else ""
    return f"known: {', '.join(choices[:_SHOWN])}{more}" if choices else "there are none yet"
