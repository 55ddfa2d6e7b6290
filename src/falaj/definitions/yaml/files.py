"""Files: what a project's YAML files declare, and which definition a name means in them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from falaj.definitions.on_demand import OnDemandView
from falaj.definitions.project import KINDS, Definition, Definitions
from falaj.definitions.yaml.code import FindModule, on_demand_constructor
from falaj.definitions.yaml.constructor import Constructor, constructor
from falaj.definitions.yaml.node import Fields, Items, Node, Place, Scalar, shown
from falaj.definitions.yaml.text import read_nodes
from falaj.definitions.yaml.value import Values
from falaj.kernel.errors import DefinitionError, ProjectError
from falaj.kernel.names import did_you_mean

MARK = "falaj"
"""The field by which a YAML file says that it is of Falaj; its value is the version of this form."""
VERSION = "1"
LISTS: dict[str, type] = dict(zip(Definitions.__struct_fields__, KINDS, strict=True))
"""What stands at the top of a file, and the class of the definitions in it."""
_PRIVATE = "x-"
_MARKED = re.compile(rb"^(?:\xef\xbb\xbf)?falaj *:", re.MULTILINE)
_UNMARKED = re.compile(rb"^(?:feature_views|feature_services|on_demand_views) *:", re.MULTILINE)


def is_marked(raw: bytes) -> bool:
    """Whether a YAML file says that it is of Falaj: other tools have theirs in the same folders.

    Example:
        >>> is_marked(b"falaj: 1"), is_marked(b"services: {}")
        (True, False)
    """
    return _MARKED.search(raw) is not None


def lacks_mark(raw: bytes) -> bool:
    """Whether a YAML file has what only Falaj's have, and does not say so."""
    return _MARKED.search(raw) is None and _UNMARKED.search(raw) is not None


class YamlFiles:
    """The definitions of a project's YAML files. Each is made when it is first asked for.

    Args:
        files: Name and content of each.
        find_module: Runs a Python file of the project.

    Raises:
        ProjectError: A file is not YAML.
        DefinitionError: A file has a field that there is not, or two definitions of one kind and name.
    """

    def __init__(self, files: Iterable[tuple[str, bytes]], find_module: FindModule) -> None:
        self._constructors: dict[str, Constructor] = {
            kind: on_demand_constructor(find_module) if cls is OnDemandView else constructor(cls)
            for cls, kind in KINDS.items()
        }
        self._nodes: dict[tuple[str, str], Fields] = {}
        self._made: dict[tuple[str, str], Any] = {}
        self._making: list[tuple[str, str]] = []
        self._python: Mapping[str, Mapping[str, Definition]] | None = None
        self._values = Values(self._resolve)
        for name, raw in files:
            self._add_documents(read_nodes(raw, name))

    def definition(self, kind: str, name: str) -> Definition:
        """Return a definition that stands in YAML, as do all that it refers to.

        Raises:
            DefinitionError: There is none, or it does not make sense.
        """
        if (kind, name) not in self._nodes:
            known = [other for found, other in self._nodes if found == kind]
            raise DefinitionError(
                f"no YAML file defines {kind.replace('_', ' ')} {name!r}", hint=did_you_mean(name, known)
            )
        made: Definition = self._make(kind, name)
        return made

    def definitions(self, python: Definitions) -> list[tuple[str, Definition]]:
        """Return all definitions with their places.

        Args:
            python: What the project's Python files declare, to which YAML may refer.

        Raises:
            DefinitionError: One does not make sense.
        """
        self._python = python.by_kind()
        return [(str(node.place), self._make(*key)) for key, node in self._nodes.items()]

    def _add_documents(self, documents: list[Node]) -> None:
        for number, document in enumerate(documents):
            if isinstance(document, Scalar) and not document.text and number:
                continue  # an empty document after the last `---`
            if not isinstance(document, Fields):
                raise DefinitionError(f"{document.place}: {shown(document)} stands where lists of definitions belong")
            mark = document.fields.get(MARK)
            if mark is not None and not (isinstance(mark.value, Scalar) and mark.value.text == VERSION):
                raise ProjectError(
                    f"{mark.value.place}: {MARK} is {shown(mark.value)}, and this release knows {VERSION}",
                    hint=f"write '{MARK}: {VERSION}', or install the release that it was written for",
                )
            for field, (place, value) in document.fields.items():
                if field in LISTS:
                    self._add_list(field, value)
                elif field != MARK and not field.startswith(_PRIVATE):
                    hint = did_you_mean(field, LISTS)
                    raise DefinitionError(f"{place}: a file of definitions has no field {field!r}", hint=hint)

    def _add_list(self, field: str, listed: Node) -> None:
        if isinstance(listed, Scalar) and listed.plain and not listed.text:
            return  # `sources:` with nothing below it
        if not isinstance(listed, Items):
            raise DefinitionError(
                f"{listed.place}: {field} is {shown(listed)}", hint="write a list: '- name: ...' for each"
            )
        kind = KINDS[LISTS[field]]
        for node in listed.values:
            name = node.fields.get("name") if isinstance(node, Fields) else None
            if not isinstance(node, Fields) or name is None or not isinstance(name.value, Scalar):
                raise DefinitionError(
                    f"{node.place}: {kind.replace('_', ' ')} has no name", hint="begin it with '- name: ...'"
                )
            key = (kind, name.value.text)
            if key in self._nodes:
                raise DefinitionError(
                    f"{node.place}: {kind.replace('_', ' ')} {key[1]!r} is defined twice, first in "
                    f"{self._nodes[key].place}",
                    hint="rename one",
                )
            self._nodes[key] = node

    def _make(self, kind: str, name: str) -> Any:
        key = (kind, name)
        if key in self._making:
            raise DefinitionError(
                f"{self._nodes[key].place}: {kind.replace('_', ' ')} {name!r} needs itself", hint="break the circle"
            )
        if key not in self._made:
            self._making.append(key)
            try:
                node = self._nodes[key]
                self._made[key] = self._values.make(self._constructors[kind], node, f"{kind.replace('_', ' ')} {name}")
            finally:
                self._making.pop()
        return self._made[key]

    def _resolve(self, kinds: tuple[str, ...], written: str, place: Place) -> Any:
        prefix, _, rest = written.rpartition(":")
        asked = (prefix,) if prefix in kinds else kinds
        name = rest if prefix in kinds else written
        python = self._python or {}
        found = [kind for kind in asked if (kind, name) in self._nodes or name in python.get(kind, {})]
        if len(found) == 1:
            kind = found[0]
            return self._make(kind, name) if (kind, name) in self._nodes else python[kind][name]
        words = " or ".join(kind.replace("_", " ") for kind in asked)
        if found:
            raise DefinitionError(
                f"{place}: {written!r} could be {' or '.join(found)}",
                hint=f"write {found[0]}:{name} or {found[1]}:{name}",
            )
        known = {other for kind, other in self._nodes if kind in asked}
        known |= {other for kind in asked for other in python.get(kind, {})}
        hint = did_you_mean(name, known)
        if self._python is None:  # Python's own definitions are known when all of its files have run, and not before
            hint = "what fj.ref names must stand in YAML with all that it refers to"
        raise DefinitionError(f"{place}: {words} {written!r} does not exist", hint=hint)
