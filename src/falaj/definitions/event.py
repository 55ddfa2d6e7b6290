"""Event: what happens to a source and starts a run of a pipeline."""

from typing import Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name


class Event(msgspec.Struct, metaclass=Declared, frozen=True):
    """Something that happens to a source.

    Attributes:
        kind: "rows" where rows were accepted, "file" where a file appeared in what the source follows.
        source: The source's name.
        at_least: For rows: how many since the last run that they started.
    """

    kind: Literal["rows", "file"]
    source: str
    at_least: int = 1

    def __post_init__(self) -> None:
        check_name("source", self.source)
        if self.at_least < 1:
            raise DefinitionError(f"rows({self.source!r}, at_least={self.at_least}) is below 1", hint="give 1 or more")


def rows(source: str, *, at_least: int = 1) -> Event:
    """Start a run when a source got rows, by push, by file or by what it follows.

    Args:
        source: The source's name.
        at_least: How many rows since the last run that they started.

    Raises:
        DefinitionError: The name cannot be a source's, or the number is below one.

    Example:
        >>> rows("transactions", at_least=1000).at_least
        1000
    """
    return Event("rows", source, at_least)


def file(source: str) -> Event:
    """Start a run when files appeared in what a source follows.

    Args:
        source: The name of a source with `stream=fj.Follow(...)`.

    Raises:
        DefinitionError: The name cannot be a source's.

    Example:
        >>> file("transactions").kind
        'file'
    """
    return Event("file", source)
