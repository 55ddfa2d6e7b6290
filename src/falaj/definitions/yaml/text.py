"""Text: YAML as nodes with places, within bounds, and with nothing of it executed or guessed at."""

from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from falaj.definitions.yaml.node import Field, Fields, Items, Node, Place, Scalar
from falaj.kernel.errors import DefinitionError, ProjectError

MOST_BYTES = 1 << 20
DEEPEST = 32
MOST_NODES = 100_000
"""Bounds of a file. Repeated by aliases, a node counts each time: ten lines could stand for a billion otherwise."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_nodes(raw: bytes, file: str, *, loader: Any = _LOADER) -> list[Node]:
    """Return the root of each document of a YAML file.

    Only the grammar is the library's. Values keep their text, because YAML 1.1 takes `no` for false, `012` for ten and
    a date for a date; and tags, by which YAML may build any object, are refused.

    Args:
        raw: The file's bytes.
        file: Its name, for messages.
        loader: The library's scanner, in C where there is one.

    Raises:
        ProjectError: It is not YAML in UTF-8, or beyond the bounds.
        DefinitionError: It has a tag, a duplicate key, a key that is no text, or an alias without an anchor.
    """
    if len(raw) > MOST_BYTES:
        raise ProjectError(
            f"{file} has more than {MOST_BYTES:,} bytes", hint="spread the definitions over several files"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProjectError(f"{file} is not UTF-8: byte {error.start} is {raw[error.start]:#x}") from None
    try:
        return list(_Composer(file, yaml.parse(text, Loader=loader)).roots())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        tab = "\t" in (error.problem or "") or "'\\t'" in (error.problem or "")
        hint = "indent with spaces" if tab else "check indentation, colons and quotes"
        raise ProjectError(f"{place}: not YAML: {error.problem or error.context}", hint=hint) from None
    except yaml.YAMLError as error:
        raise ProjectError(f"{file}: not YAML: {str(error).splitlines()[0]}", hint="remove what is no text") from None


class _Composer:
    """Nodes from the library's events."""

    def __init__(self, file: str, events: Iterator[Any]) -> None:
        self._file = file
        self._events = events
        self._anchors: dict[str, Node] = {}

    def roots(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors.clear()
                yield self._node(next(self._events), 1)

    def _node(self, event: Any, depth: int) -> Node:
        place = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise DefinitionError(
                    f"{place}: *{event.anchor} has no anchor &{event.anchor} before it",
                    hint="quote a text that has a *",
                )
            return self._anchors[event.anchor]
        if event.tag is not None:
            raise DefinitionError(f"{place}: tag {_short(event.tag)} is not allowed", hint="quote a text that has a !")
        if depth > DEEPEST:
            raise ProjectError(f"{place}: nested deeper than {DEEPEST} levels", hint="definitions need no such depth")
        if isinstance(event, yaml.ScalarEvent):
            node: Node = Scalar(place, event.value, plain=not event.style, block=event.style in ("|", ">"))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._items(place, depth)
        else:
            node = self._fields(place, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _items(self, place: Place, depth: int) -> Items:
        values, size = [], 1
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._node(event, depth + 1))
            size = self._grown(size, values[-1], place)
        return Items(place, tuple(values), size)

    def _fields(self, place: Place, depth: int) -> Fields:
        fields: dict[str, Field] = {}
        size = 1
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            at = self._place(event)
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                raise DefinitionError(f"{at}: a name must be a plain text", hint="write 'name: value'")
            name = event.value
            if name in fields:
                raise DefinitionError(
                    f"{at}: {_short(name)!r} stands twice, first in line {fields[name].place.line}", hint="remove one"
                )
            if name == "<<" and not event.style:
                raise DefinitionError(
                    f"{at}: merge keys are not of YAML 1.2", hint="write the fields out; an alias stands for a value"
                )
            if event.anchor is not None:
                self._anchors[event.anchor] = Scalar(at, name, plain=not event.style)
            fields[name] = Field(at, self._node(next(self._events), depth + 1))
            size = self._grown(size, fields[name].value, place)
        return Fields(place, fields, size)

    def _grown(self, size: int, node: Node, place: Place) -> int:
        if size + node.size > MOST_NODES:
            self._refuse_size(place)
        return size + node.size

    def _refuse_size(self, place: Place) -> NoReturn:
        raise ProjectError(
            f"{place}: more than {MOST_NODES:,} values, counted with those that aliases repeat", hint="repeat less"
        )

    def _place(self, event: Any) -> Place:
        return Place(self._file, event.start_mark.line + 1, event.start_mark.column + 1)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
