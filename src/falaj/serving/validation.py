"""Validation: a request against a version's signature, before anything is fetched."""

from collections.abc import Callable
from typing import Any

from falaj.definitions.routing_table import Variant
from falaj.kernel.clock import parse_instant
from falaj.kernel.errors import InputError
from falaj.kernel.names import did_you_mean

_INT64 = 1 << 63

_EXPECTED = {
    "string": "text",
    "int64": "a whole number",
    "float64": "a number",
    "bool": "true or false",
    "timestamp": "an RFC 3339 timestamp",
}

_KINDS: dict[type, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null", list: "a list",
    dict: "an object",
}  # fmt: skip


class FieldGroup:
    """The fields that one part of a request must have, all of them and no others.

    Args:
        part: "entities" or "request"; named in errors.
        fields: Name and type of each; null stands for a value that is not known.

    Example:
        >>> group = FieldGroup("request", (("amount", "float64"),))
        >>> group.check({"amount": 12}, "instance 0")
        >>> try:
        ...     group.check({"amount": "12"}, "instance 0")
        ... except InputError as error:
        ...     print(error)
        instance 0: request field 'amount' must be float64, got '12' (text)
    """

    def __init__(self, part: str, fields: tuple[tuple[str, str], ...]) -> None:
        self.fields = fields
        self._part = part
        self._names = frozenset(name for name, _ in fields)
        self._checks = [(name, dtype, *_TYPES[dtype]) for name, dtype in fields]

    def check(self, values: dict[str, Any], where: str) -> None:
        """Return if the values are what the signature says.

        Args:
            values: By field name.
            where: Which instance of the request, for the error; may be empty.

        Raises:
            InputError: A field is missing, unknown or of another type; the message names it.
        """
        if values.keys() != self._names:
            raise self._other_names(values, where)
        for name, dtype, types, fits in self._checks:
            value = values[name]
            if type(value) in types:
                if fits is not None and not fits(value):
                    raise self._other_type(where, name, dtype, value)
            elif value is not None:
                raise self._other_type(where, name, dtype, value)

    def _other_names(self, values: dict[str, Any], where: str) -> InputError:
        for name, dtype in self.fields:
            if name not in values:
                return InputError(
                    f"{_at(where)}{self._part} field {name!r} ({dtype}) is missing",
                    hint=f"send {_EXPECTED[dtype]}, or null if it is not known",
                )
        unknown = next(name for name in values if name not in self._names)
        return InputError(
            f"{_at(where)}{self._part} field {str(unknown)[:80]!r} does not exist",
            hint=did_you_mean(str(unknown)[:80], self._names) if self._names else f"send no {self._part}",
        )

    def _other_type(self, where: str, name: str, dtype: str, value: object) -> InputError:
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return InputError(
            f"{_at(where)}{self._part} field {name!r} must be {dtype}, got {shown} ({_kind(value)})",
            hint=f"send {_EXPECTED[dtype]}, or null if it is not known",
        )


def groups_of(variant: Variant) -> tuple[FieldGroup, FieldGroup]:
    """Return what the entities and the request of a variant must hold.

    A bare model has no feature service: its features are sent as request fields.
    """
    if variant.service is None:
        features = tuple((spec.name, spec.dtype) for spec in variant.signature.inputs)
        return FieldGroup("entities", ()), FieldGroup("request", features)
    fields = tuple((field.name, field.dtype) for field in variant.service.request)
    return FieldGroup("entities", variant.service.entity_keys), FieldGroup("request", fields)


def _fits_int64(value: int) -> bool:
    return -_INT64 <= value < _INT64


def _fits_float64(value: float) -> bool:
    # No log format holds a longer whole number; written with a point or an exponent it is a float and passes.
    return type(value) is float or _fits_int64(int(value))


def _is_text(value: str) -> bool:
    return value.isprintable() or _encodes(value)


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_timestamp(value: str) -> bool:
    try:
        parse_instant(value)
    except InputError:
        return False
    return True


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _at(where: str) -> str:
    return f"{where}: " if where else ""


_TYPES: dict[str, tuple[tuple[type, ...], Callable[[Any], bool] | None]] = {
    "string": ((str,), _is_text),
    "int64": ((int,), _fits_int64),
    "float64": ((float, int), _fits_float64),
    "bool": ((bool,), None),
    "timestamp": ((str,), _is_timestamp),
}
