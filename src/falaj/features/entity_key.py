"""Entity keys: typed values to bytes that no other key shares."""

import hashlib
import struct
from collections.abc import Mapping
from typing import Any

from falaj.definitions.service_spec import ViewSpec
from falaj.features.layout import INT64_MAX, INT64_MIN
from falaj.kernel.errors import InputError

_INT = struct.Struct(">cq")
_LENGTH = struct.Struct(">cI")


def encode_part(value: Any, dtype: str, column: str) -> bytes:
    """Return one key part as bytes: its type, its length where that varies, its value.

    Raises:
        InputError: The value is not of the type; "1" is not 1, and neither is true.

    Example:
        >>> encode_part("12", "string", "a") + encode_part("3", "string", "b")
        b's\\x00\\x00\\x00\\x0212s\\x00\\x00\\x00\\x013'
    """
    if dtype == "string" and isinstance(value, str):
        try:
            raw = value.encode()
        except UnicodeEncodeError:
            raise InputError(f"entity key {column!r} is not valid text", hint="send UTF-8") from None
        return _LENGTH.pack(b"s", len(raw)) + raw
    if dtype == "int64" and isinstance(value, int) and not isinstance(value, bool):
        if INT64_MIN <= value <= INT64_MAX:
            return _INT.pack(b"i", value)
        raise InputError(f"entity key {column!r}: {value} does not fit 64 bits", hint="send a smaller whole number")
    kind = "text" if dtype == "string" else "a whole number"
    raise InputError(
        f"entity key {column!r} is {value!r}, of type {type(value).__name__}", hint=f"send {kind}: its type is {dtype}"
    )


def encode_key(view: ViewSpec, entity: Mapping[str, Any]) -> bytes | None:
    """Return an entity's key in a view as bytes; None when a part is null, which matches nothing.

    Raises:
        InputError: A part is missing or of another type.
    """
    parts = []
    null = False
    for column, dtype in view.keys:
        if column not in entity:
            raise InputError(
                f"entity key {column!r} is missing, and view {view.name!r} needs it",
                hint=f"send it as {dtype}, or as null",
            )
        value = entity[column]
        if value is None:
            null = True
        else:
            parts.append(encode_part(value, dtype, column))
    return None if null else b"".join(parts)


def decode_key(view: ViewSpec, key: bytes) -> dict[str, Any]:
    """Return the keys of an entity, by column.

    Args:
        view: The view.
        key: What `encode_key` returned.

    Example:
        >>> view = ViewSpec("v", "00" * 32, "tx", (("a", "string"), ("b", "int64")), (), (), None, False, 0, False)
        >>> decode_key(view, encode_key(view, {"a": "x", "b": -1}) or b"")
        {'a': 'x', 'b': -1}
    """
    entity: dict[str, Any] = {}
    for column, dtype in view.keys:
        if dtype == "int64":
            entity[column], key = _INT.unpack_from(key)[1], key[_INT.size :]
        else:
            end = _LENGTH.size + _LENGTH.unpack_from(key)[1]
            entity[column], key = key[_LENGTH.size : end].decode(), key[end:]
    return entity


_SHORT = 64


class KeyEncoder:
    """Encodes entity keys for one view, as `record_key(view.namespace, encode_key(view, entity))` would, but faster.

    Args:
        view: The view.
    """

    __slots__ = ("_dtype", "_heads", "_prefix", "_single", "_view")

    def __init__(self, view: ViewSpec) -> None:
        self._view = view
        self._prefix = record_key(view.namespace, b"")
        self._single, self._dtype = view.keys[0] if len(view.keys) == 1 else ("", "")
        self._heads = [self._prefix + _LENGTH.pack(b"s", length) for length in range(_SHORT)]

    def __call__(self, entity: Mapping[str, Any]) -> bytes | None:
        """Return where the entity's record is kept; None when a part of its key is null.

        Raises:
            InputError: A part is missing or of another type.
        """
        value = entity.get(self._single)
        if self._dtype == "string" and type(value) is str and len(value) < _SHORT and value.isascii():
            return self._heads[len(value)] + value.encode()
        if self._dtype == "int64" and type(value) is int and INT64_MIN <= value <= INT64_MAX:
            return self._prefix + _INT.pack(b"i", value)
        key = encode_key(self._view, entity)
        return None if key is None else self._prefix + key


def record_key(namespace: bytes, key: bytes) -> bytes:
    """Return where the online store keeps an entity's record."""
    return namespace + b"r" + key


def identity_key(namespace: bytes, identity: bytes) -> bytes:
    """Return where the online store keeps which entity an event belongs to."""
    return namespace + b"i" + identity


def progress_key(namespace: bytes) -> bytes:
    """Return where the online store keeps how far a view has got."""
    return namespace + b"a"


def entity_part(key: bytes) -> bytes:
    """Return what the records of one entity in all views have in common, of any key of the online store.

    Example:
        >>> entity_part(record_key(b"12345678", b"card")) == entity_part(record_key(b"abcdefgh", b"card"))
        True
    """
    return key[_NAMESPACE_BYTES + 1 :] if key[_NAMESPACE_BYTES : _NAMESPACE_BYTES + 1] == b"r" else key


_NAMESPACE_BYTES = 8


def identity_of(value: Any) -> bytes:
    """Return the sixteen bytes that stand for an event's id.

    Example:
        >>> identity_of(7) == identity_of("7"), len(identity_of("7"))
        (False, 16)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return _INT_IDENTITY.pack(value, b"int64")
    tagged = f"{type(value).__name__}:{value}"
    return hashlib.blake2b(tagged.encode("utf-8", "surrogatepass"), digest_size=16).digest()


_INT_IDENTITY = struct.Struct("<q8s")
