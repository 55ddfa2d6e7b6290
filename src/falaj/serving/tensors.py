"""Tensors: named NumPy arrays of the Open Inference Protocol's types, made from JSON values or from raw bytes and back.

Every protocol's codec ends here: JSON and the binary extension over HTTP, and the raw contents of gRPC.
"""

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from falaj.kernel.errors import InputError, Unsupported

BYTES = "BYTES"
BF16 = "BF16"

NUMPY: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8), "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"), "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8), "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
}  # fmt: skip
"""The types of one width; beside them are BYTES, and BF16, which is held as float32."""

DATATYPES: dict[str, str] = {
    "string": "BYTES", "int64": "INT64", "float64": "FP64", "bool": "BOOL", "timestamp": "BYTES",
}  # fmt: skip
"""Our types as the protocol calls them."""

MAX_DIMENSIONS = 32
_MAX_DEPTH = 8
_MAX_SIZE = 1 << 40
_LENGTH = struct.Struct("<I")
_JSON_TYPES: dict[str, frozenset[type]] = {
    "b": frozenset({bool}), "u": frozenset({int}), "i": frozenset({int}), "f": frozenset({int, float}),
}  # fmt: skip


class Tensor(NamedTuple):
    """One named tensor.

    Attributes:
        name: Its name.
        datatype: BOOL, INT64, FP32, BYTES, …
        values: In its shape. Of the datatype's NumPy type; float32 for BF16; objects for BYTES, each `bytes`. A tensor
            that came as JSON with null in it is objects too, None where a value is not known.
    """

    name: str
    datatype: str
    values: NDArray[Any]


def from_values(name: str, datatype: str, shape: Sequence[int], data: list[Any]) -> Tensor:
    """Return the tensor of JSON values.

    Args:
        name: Its name.
        datatype: What the values must be.
        shape: Its dimensions.
        data: Flat in row-major order, or nested; null stands for a value that is not known.

    Raises:
        InputError: The values are not as many as the shape says, or not of the datatype.
        Unsupported: It is BF16, for which JSON has no form.

    Example:
        >>> from_values("x", "INT32", [2, 2], [[1, 2], [3, 4]]).values.tolist()
        [[1, 2], [3, 4]]
    """
    expected = _size(name, datatype, shape)
    if datatype == BF16:
        raise Unsupported(f"input {name[:80]!r}: BF16 has no JSON form", hint="send FP32, or BF16 as a binary tensor")
    values = _flatten(name, data)
    _check_count(name, shape, expected, len(values))
    if None in values:
        known = [value for value in values if value is not None]
        array = np.full(expected, None, object)
        array[[i for i, value in enumerate(values) if value is not None]] = _convert(name, datatype, known).tolist()
    else:
        array = _convert(name, datatype, values)
    return Tensor(name, datatype, _shaped(name, array, shape))


def from_array(name: str, datatype: str, shape: Sequence[int], array: NDArray[Any]) -> Tensor:
    """Return the tensor of values that a codec has put into the datatype's NumPy type already.

    Args:
        name: Its name.
        datatype: What the values are.
        shape: Its dimensions.
        array: (values,), in row-major order.

    Raises:
        InputError: The values are not as many as the shape says.
    """
    _check_count(name, shape, _size(name, datatype, shape), len(array))
    return Tensor(name, datatype, _shaped(name, array, shape))


def from_bytes(name: str, datatype: str, shape: Sequence[int], raw: memoryview) -> Tensor:
    """Return the tensor of raw bytes, without a copy where the memory allows it.

    Args:
        name: Its name.
        datatype: What the bytes are: little-endian numbers, or for BYTES each element behind its length in 4 bytes.
        shape: Its dimensions.
        raw: As many bytes as these need.

    Raises:
        InputError: The bytes are not as many, or not of the datatype.

    Example:
        >>> from_bytes("x", "INT16", [2], memoryview(bytes([1, 0, 2, 0]))).values.tolist()
        [1, 2]
    """
    expected = _size(name, datatype, shape)
    if datatype == BYTES:
        return Tensor(name, datatype, _shaped(name, _elements(name, raw, expected), shape))
    kind = np.dtype("<u2") if datatype == BF16 else NUMPY[datatype]
    if len(raw) != expected * kind.itemsize:
        raise InputError(
            f"input {name[:80]!r}: {datatype} of shape {list(shape[:8])} needs {expected * kind.itemsize} bytes, "
            f"and there are {len(raw)}",
            hint="make shape, datatype and binary_data_size agree",
        )
    if kind.kind == "b" and np.frombuffer(raw, np.uint8).max(initial=0) > 1:
        raise InputError(f"input {name[:80]!r}: a BOOL is neither 0 nor 1", hint="send one byte each, 0 or 1")
    array = np.frombuffer(raw, kind)
    if datatype == BF16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return Tensor(name, datatype, _shaped(name, np.require(array, requirements="A"), shape))


def to_values(tensor: Tensor) -> list[Any]:
    """Return a tensor's values in row-major order, as JSON has them; a number that is not finite becomes null there.

    Raises:
        Unsupported: An element of BYTES is not UTF-8.
    """
    flat = tensor.values.reshape(-1).tolist()
    if tensor.datatype != BYTES:
        return flat
    try:
        return [None if value is None else value.decode() for value in flat]
    except UnicodeDecodeError:
        raise Unsupported(
            f"output {tensor.name!r} holds bytes that are no text", hint="ask for it with binary_data"
        ) from None


def to_bytes(tensor: Tensor) -> bytes:
    """Return a tensor's raw bytes, as `from_bytes` takes them.

    Example:
        >>> to_bytes(Tensor("x", "BYTES", np.array([b"ab"], object)))
        b'\\x02\\x00\\x00\\x00ab'
    """
    if tensor.datatype == BYTES:
        return b"".join(_LENGTH.pack(len(value)) + value for value in tensor.values.reshape(-1).tolist())
    if tensor.datatype == BF16:
        return (tensor.values.astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    return tensor.values.astype(NUMPY[tensor.datatype], copy=False).tobytes()


def _size(name: str, datatype: str, shape: Sequence[int]) -> int:
    """Return how many values a shape has; refuse shapes and datatypes that do not exist."""
    if datatype not in NUMPY and datatype not in (BYTES, BF16):
        raise InputError(
            f"input {name[:80]!r}: datatype {datatype[:80]!r} does not exist", hint=f"known: {', '.join(NUMPY)}, BYTES"
        )
    if len(shape) > MAX_DIMENSIONS:
        raise InputError(f"input {name[:80]!r} has {len(shape)} dimensions", hint=f"send {MAX_DIMENSIONS} at most")
    if any(size < 0 for size in shape):
        raise InputError(f"input {name[:80]!r}: shape {list(shape[:8])} is negative", hint="send the true shape")
    if any(size > _MAX_SIZE for size in shape):
        raise InputError(f"input {name[:80]!r}: shape is far too large", hint="send the true shape")
    return math.prod(shape)


def _check_count(name: str, shape: Sequence[int], expected: int, values: int) -> None:
    if values != expected:
        raise InputError(
            f"input {name[:80]!r}: shape {list(shape[:8])} needs {expected} values, and there are {values}",
            hint="make shape and data agree",
        )


def _shaped(name: str, array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    try:
        return array.reshape(shape)
    except ValueError:  # no values, and other dimensions that no memory could have
        raise InputError(f"input {name[:80]!r}: no array has shape {list(shape[:8])}") from None


def _flatten(name: str, data: list[Any]) -> list[Any]:
    values = data
    for _ in range(_MAX_DEPTH):
        nested = sum(type(value) is list for value in values)
        if not nested:
            break
        if nested != len(values):
            raise InputError(f"input {name[:80]!r}: its data mixes values and lists", hint="send it flat or nested")
        values = [inner for value in values for inner in value]
    return values


def _convert(name: str, datatype: str, values: list[Any]) -> NDArray[Any]:
    if datatype == BYTES:
        return _texts(name, values)
    kind = NUMPY[datatype]
    types = _JSON_TYPES[kind.kind]
    if not types.issuperset(map(type, values)):
        raise _misfit(name, datatype, values, lambda value: type(value) in types)
    if kind.kind in "iu":
        bounds = np.iinfo(kind)
        least, greatest = int(bounds.min), int(bounds.max)
        if values and not least <= min(values) <= max(values) <= greatest:
            raise _misfit(name, datatype, values, lambda value: least <= value <= greatest)
    elif kind.kind == "f":
        greatest_float = float(np.finfo(kind).max)
        if values and not -greatest_float <= min(values) <= max(values) <= greatest_float:
            raise _misfit(name, datatype, values, lambda value: -greatest_float <= value <= greatest_float)
    return np.array(values, kind)


def _texts(name: str, values: list[Any]) -> NDArray[Any]:
    array = np.empty(len(values), object)
    try:
        array[:] = [str.encode(value) for value in values]
    except (TypeError, UnicodeEncodeError):
        raise _misfit(name, BYTES, values, _is_text) from None
    return array


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _misfit(name: str, datatype: str, values: list[Any], fits: Any) -> InputError:
    position, value = next((i, value) for i, value in enumerate(values) if not fits(value))
    shown = ascii(value) if isinstance(value, str) else str(value)
    return InputError(
        f"input {name[:80]!r}: value {position} is {shown[:80]}, which is not {datatype}",
        hint=f"send {datatype} values",
    )


def _elements(name: str, raw: memoryview, expected: int) -> NDArray[Any]:
    if expected * _LENGTH.size > len(raw):
        raise InputError(
            f"input {name[:80]!r}: {expected} elements of BYTES need more than {len(raw)} bytes",
            hint="put each element's length before it, in 4 bytes, little-endian",
        )
    array = np.empty(expected, object)
    at, end = 0, len(raw)
    for position in range(expected):
        if at + _LENGTH.size > end:
            break
        begin = at + _LENGTH.size
        at = begin + _LENGTH.unpack_from(raw, at)[0]
        if at > end:
            break
        array[position] = bytes(raw[begin:at])
    else:
        if at == end:
            return array
    raise InputError(
        f"input {name[:80]!r}: its bytes are not {expected} elements of BYTES",
        hint="put each element's length before it, in 4 bytes, little-endian",
    )
