"""Declared: what a project's files make, whose values are of their types from the first moment."""

import sys
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import msgspec

from falaj.kernel.errors import DefinitionError, FalajError
from falaj.kernel.names import did_you_mean

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "True or False", type(None): "None"}
_LISTED = (list, tuple)


class Declared(msgspec.StructMeta):
    """The class of the classes of which a project's files make values: it checks the types of their fields.

    A value of another type than its field's is refused where it is made, so that the error names the line of the file
    and the field, and not what the value met later. What is read back was checked by its decoder.

    Raises:
        DefinitionError: A field is unknown, or its value is of another type.

    Example:
        >>> class Watch(msgspec.Struct, metaclass=Declared, frozen=True):
        ...     floor: float
        >>> try:
        ...     Watch("0.2")
        ... except DefinitionError as error:
        ...     print(error, "|", error.hint)
        watch: floor is '0.2' | give a number
    """

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Make a value.

        Args:
            args: Its first fields.
            named: Fields by name.
        """
        try:
            made = super().__call__(*args, **named)
        except FalajError:
            raise
        except (TypeError, ValueError, AttributeError):  # a check of the class met a value of another type
            _refuse_unknown(self, named)
            _check(self, {**dict(zip(self.__struct_fields__, args, strict=False)), **named})
            raise
        _check(self, {name: getattr(made, name) for name in self.__struct_fields__})
        return made


def _noun(kind: type) -> str:
    # Imported where an error is worded: its `inspect` would be a tenth of what `import falaj` takes.
    from falaj.definitions.yaml.constructor import noun

    return noun(kind)


def _refuse_unknown(kind: type, named: Mapping[str, Any]) -> None:
    for name in named:
        if name not in _annotations(kind):
            raise DefinitionError(
                f"{_noun(kind)}: there is no field {name!r}", hint=did_you_mean(name, _annotations(kind))
            )


def _whose(kind: type, values: Mapping[str, Any]) -> str:
    name = values.get("name")
    what = _noun(kind).replace("_", " ")
    return f"{what} {name!r}" if isinstance(name, str) else what


@cache
def _annotations(kind: type) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def _check(kind: type, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        found = _misfit(value, _annotations(kind)[name], name)
        if found is not None:
            path, part, annotation = found
            raise DefinitionError(f"{_whose(kind, values)}: {path} is {part!r:.200}", hint=_advice(part, annotation))


def _misfit(value: Any, annotation: Any, path: str) -> tuple[str, Any, Any] | None:
    """Return where the smallest part is that is of another type, the part and its type; None where all fits."""
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        parts: list[tuple[Any, Any, str]] = []
        if origin in (dict, Mapping) and isinstance(value, dict):
            parts = [(part, arguments[1], f"{path}[{key!r}]") for key, part in value.items()]
        elif origin in (*_LISTED, Sequence) and isinstance(value, _LISTED):
            parts = [(part, arguments[0], f"{path}[{at}]") for at, part in enumerate(value)]
        below = (_misfit(*part) for part in parts)
        return next((one for one in below if one is not None), (path, value, annotation))
    return None


def _advice(value: Any, annotation: Any) -> str:
    kinds = _kinds(annotation)
    choices = [one for kind in kinds if typing.get_origin(kind) is Literal for one in typing.get_args(kind)]
    if choices and isinstance(value, str):
        return did_you_mean(value, map(str, choices))
    words = [", ".join(repr(choice) for choice in choices)] if choices else []
    for kind in kinds:
        if typing.get_origin(kind) is not Literal:
            words += _words(kind)
    return f"give {' or '.join(dict.fromkeys(words))}"


def _kinds(annotation: Any) -> list[Any]:
    """Return the types of a union; the type alone where it is none."""
    arguments = typing.get_args(annotation)
    united = len(arguments) > 1 and annotation == typing.Union[arguments]  # noqa: UP007
    return [*arguments] if united else [annotation]


def _words(kind: Any) -> list[str]:
    from falaj.definitions.yaml.constructor import constructors_of

    origin = typing.get_origin(kind) or kind
    if kind in _WORDS:
        return [_WORDS[kind]]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [_name(kind, made) for made in constructors_of(kind)]
    if origin in (dict, Mapping):
        return ["a dict"]
    return ["a list"] if origin in (*_LISTED, Sequence) else [getattr(kind, "__name__", str(kind))]


def _name(kind: type, made: str) -> str:
    """Return what a project's file calls a constructor."""
    face = sys.modules["falaj"]
    module = kind.__module__
    for prefix, room in (("fj", face), *((f"fj.{name}", found) for name, found in vars(face).items())):
        for name in (made, kind.__name__):
            found = vars(room).get(name) if getattr(room, "__name__", "") in ("falaj", module) else None
            if callable(found) and found.__module__ == module:
                return f"{prefix}.{name}(...)"
    return made
