"""Plain values to bytes and back: JSON for people and HTTP, MessagePack for logs and stores."""

from typing import Any, TypeVar

import msgspec

from falaj.kernel.errors import InputError

T = TypeVar("T")

_CANONICAL = msgspec.json.Encoder(order="deterministic")


def canonical_json(value: object) -> bytes:
    """Return JSON with sorted keys and no spaces, the same bytes for the same value everywhere.

    Example:
        >>> canonical_json({"b": 1, "a": (1, 2)})
        b'{"a":[1,2],"b":1}'
    """
    return _CANONICAL.encode(value)


def to_json(value: object, *, indent: int = 0) -> str:
    """Return JSON text, indented for people where `indent` is above zero."""
    raw = msgspec.json.encode(value)
    return (msgspec.json.format(raw, indent=indent) if indent else raw).decode()


def from_json(
    raw: bytes | str, kind: type[T], *, what: str = "body", hint: str = "send JSON of the documented shape"
) -> T:
    """Return the value that the JSON holds, checked against its type.

    Args:
        raw: The JSON.
        kind: Its type.
        what: What it is, for the message.
        hint: What to send instead, for whoever sent something else.

    Raises:
        InputError: It is not JSON, or not of that shape; the message names the field.

    Example:
        >>> from_json(b"[1, 2]", list[int])
        [1, 2]
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{what}: {error}", hint=hint) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InputError(f"{what} is not JSON: {error}", hint=hint) from None
    except RecursionError:
        raise InputError(f"{what} is nested too deeply", hint=hint) from None


def to_msgpack(value: object) -> bytes:
    """Return MessagePack bytes."""
    return msgspec.msgpack.encode(value)


def from_msgpack(raw: bytes | memoryview, kind: type[T]) -> T:
    """Return the value that the MessagePack bytes hold.

    Raises:
        msgspec.DecodeError: They are not of that shape.
    """
    return msgspec.msgpack.decode(raw, type=kind)


def to_builtins(value: object) -> Any:
    """Return the value as dicts, lists, numbers and strings."""
    return msgspec.to_builtins(value)


def convert(value: object, kind: type[T], *, what: str = "value") -> T:
    """Return builtins as a typed value.

    Raises:
        InputError: They are not of that shape; the message names the field.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{what}: {error}") from None
