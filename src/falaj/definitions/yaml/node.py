"""Node: a part of a YAML file, with the place where it stands."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec


class Place(NamedTuple):
    """Where something stands in a file.

    Attributes:
        file: The file's name.
        line: From 1.
        column: From 1.
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return it as editors and compilers write it.

        Example:
            >>> str(Place("fraud.yaml", 3, 7))
            'fraud.yaml:3:7'
        """
        return f"{self.file}:{self.line}:{self.column}"


class Scalar(msgspec.Struct, frozen=True):
    """One value, as it is written; what it means depends on what is expected there.

    Attributes:
        place: Where it stands.
        text: The text, without quotes.
        plain: Whether it has no quotes, so that it may be a number, true, false or null.
        block: Whether it is a block of lines (`|`), whose first line is the one below its place.
    """

    place: Place
    text: str
    plain: bool
    block: bool = False
    size: int = 1


class Items(msgspec.Struct, frozen=True):
    """A list.

    Attributes:
        place: Where it begins.
        values: What it holds.
        size: The number of nodes in it, with those that aliases repeat.
    """

    place: Place
    values: "tuple[Node, ...]"
    size: int


class Field(NamedTuple):
    """A value and the place of its name."""

    place: Place
    value: "Node"


class Fields(msgspec.Struct, frozen=True):
    """A mapping.

    Attributes:
        place: Where it begins.
        fields: By name, in the order of the file.
        size: The number of nodes in it, with those that aliases repeat.
    """

    place: Place
    fields: "Mapping[str, Field]"
    size: int


Node = Scalar | Items | Fields


def shown(node: Node) -> str:
    """Return what a node is, for a message."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Fields):
        return "a mapping"
    if node.plain and not node.text:
        return "nothing"
    text = repr(node.text) if len(node.text) <= 60 else f"{node.text[:57]!r}..."
    return text if node.plain else f"the text {text}"
