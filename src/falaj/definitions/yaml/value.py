"""Value: what a node means where a type is expected."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec

from falaj.definitions.yaml.constructor import Constructor
from falaj.definitions.yaml.form import Form, form_of
from falaj.definitions.yaml.node import Fields, Items, Node, Place, Scalar, shown
from falaj.definitions.yaml.scalar import core_value, is_null
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import did_you_mean

Resolve = Callable[[tuple[str, ...], str, Place], Any]
"""From kinds and a name to the definition that is meant, or a DefinitionError that names the place."""


class Values:
    """Values from nodes.

    Args:
        resolve: Finds the definition that a name means.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    def read(self, node: Node, annotation: Any, path: str) -> Any:
        """Return the value that a node means.

        Args:
            node: What is written.
            annotation: The type expected.
            path: The field, for messages, such as `sources.transactions.checks`.

        Raises:
            DefinitionError: It means none; the message says where it stands.
        """
        if annotation is Scalar and isinstance(node, Scalar):
            return node  # whoever takes it needs to know where it stands
        form = form_of(annotation)
        if isinstance(node, Scalar):
            return self._scalar(node, form, path)
        if isinstance(node, Items) and form.item is not None:
            return form.container(
                self.read(value, form.item, f"{path}[{number}]") for number, value in enumerate(node.values)
            )
        if isinstance(node, Fields) and form.parts:
            return self._part(node, form, path)
        if isinstance(node, Fields) and form.value is not None:
            return {name: self.read(field.value, form.value, f"{path}.{name}") for name, field in node.fields.items()}
        return _converted(node, form, path)

    def make(self, constructor: Constructor, node: Fields, path: str) -> Any:
        """Return what a constructor makes of a mapping of its parameters.

        Raises:
            DefinitionError: A parameter is unknown, missing or wrong.
        """
        known = constructor.parameters
        for name, field in node.fields.items():
            if name not in known and constructor.more is None:
                raise DefinitionError(f"{field.place}: {path} has no field {name!r}", hint=did_you_mean(name, known))
        for name, parameter in known.items():
            if parameter.required and name not in node.fields:
                raise DefinitionError(f"{node.place}: {path} needs {name!r}", hint=f"add '{name}: ...'")
        given = {
            name: self.read(
                field.value, known[name].annotation if name in known else constructor.more, f"{path}.{name}"
            )
            for name, field in node.fields.items()
        }
        return _made(constructor, given, node.place, node)

    def _part(self, node: Fields, form: Form, path: str) -> Any:
        named = next(iter(node.fields), "")
        if len(node.fields) != 1 or named not in form.parts:
            direct = form.direct(path.rpartition(".")[2])
            if direct is not None:
                return self.make(direct, node, path)
            if len(node.fields) == 1:
                place = node.fields[named].place
                raise DefinitionError(f"{place}: {path} knows no {named!r}", hint=did_you_mean(named, form.parts))
            raise DefinitionError(f"{node.place}: {path} has {len(node.fields)} fields", hint=f"name {form.expected()}")
        constructor, inner = form.parts[named], node.fields[named].value
        below = f"{path}.{named}"
        if isinstance(inner, Fields) and constructor.parameters:
            return self.make(constructor, inner, below)
        if isinstance(inner, Scalar) and is_null(inner):
            return self.make(constructor, Fields(inner.place, {}, 1), below)
        return self._short(constructor, inner, below)

    def _short(self, constructor: Constructor, node: Node, path: str) -> Any:
        parameter = constructor.short
        if parameter is None:
            hint = f"write a mapping of {', '.join(constructor.parameters)}" if constructor.parameters else "write {}"
            if isinstance(node, Fields) and not node.fields:
                return _made(constructor, {}, node.place, node)
            raise DefinitionError(f"{node.place}: {path} is {shown(node)}", hint=hint)
        value = self.read(node, parameter.annotation, path)
        return _made(constructor, {parameter.name: value}, node.place, node)

    def _scalar(self, node: Scalar, form: Form, path: str) -> Any:
        if is_null(node) and (form.null or form.anything):
            return None
        if is_null(node):
            raise DefinitionError(f"{node.place}: {path} is empty", hint=f"give {form.expected()}, or leave it out")
        if form.references:
            return self._resolve(form.references, node.text, node.place)
        if form.parts:
            return self._named(node, form, path)
        if form.choices and node.text in form.choices:
            return node.text
        if form.scalars == (str,) and not form.choices:
            return node.text
        value = core_value(node)
        if _is_one(value, form):
            return value
        if str in form.scalars:
            return node.text
        return _converted(node, form, path)

    def _named(self, node: Scalar, form: Form, path: str) -> Any:
        if node.text in form.parts:
            return self.make(form.parts[node.text], Fields(node.place, {}, 1), path)
        said = form.said()
        if said is not None:
            return self._short(said, node, path)
        if str in form.scalars:
            return node.text
        hint = did_you_mean(node.text, form.parts)
        raise DefinitionError(f"{node.place}: {path} is {shown(node)}", hint=hint)


def _is_one(value: object, form: Form) -> bool:
    if value in form.choices and not isinstance(value, bool):
        return True
    if isinstance(value, bool):
        return bool in form.scalars
    if isinstance(value, int):  # written as a whole number it stays one, as in Python
        return int in form.scalars or float in form.scalars
    return isinstance(value, float) and float in form.scalars


def _converted(node: Node, form: Form, path: str) -> Any:
    if form.anything:
        return _plain(node)
    if form.other is not None:
        try:
            return msgspec.convert(_plain(node), form.other)
        except msgspec.ValidationError as error:
            raise DefinitionError(f"{node.place}: {path}: {error}") from None
    return _refuse(node, form, path)


def _refuse(node: Node, form: Form, path: str) -> NoReturn:
    if isinstance(node, Scalar) and form.choices and not form.scalars:
        choices = [str(choice) for choice in form.choices]
        raise DefinitionError(f"{node.place}: {path} is {shown(node)}", hint=did_you_mean(node.text, choices))
    how = ""
    if isinstance(node, Scalar) and {int, float} & {*form.scalars}:
        how = "" if node.plain else ", without quotes"
        how = ", without underscores" if "_" in node.text else how
    raise DefinitionError(f"{node.place}: {path} is {shown(node)}", hint=f"give {form.expected()}{how}")


def _plain(node: Node) -> Any:
    if isinstance(node, Scalar):
        return core_value(node)
    if isinstance(node, Items):
        return [_plain(value) for value in node.values]
    return {name: _plain(field.value) for name, field in node.fields.items()}


def _made(constructor: Constructor, given: Mapping[str, Any], place: Place, node: Node) -> Any:
    try:
        return constructor.make(**given)
    except DefinitionError as error:
        at = _blamed(node, error.message) or place
        hint = f"in Python's words: {error.hint}" if "fj." in error.hint else error.hint
        raise DefinitionError(f"{at}: {error.message}", hint=hint) from None


def _blamed(node: Node, message: str) -> Place | None:
    """Return the place of the field that the message names with its value; of several, the one whose value is last.

    A definition's own name stands in every message about it, and is blamed for none.
    """
    if not isinstance(node, Fields):
        return None
    said = {
        message.rfind(field.value.text): field.value.place
        for name, field in node.fields.items()
        if name != "name"
        and isinstance(field.value, Scalar)
        and field.value.text
        and re.search(rf"\b{re.escape(name)}\b", message)
    }
    return said[max(said)] if said and max(said) >= 0 else None
