"""Tensors: the inputs of the Open Inference Protocol as columns of plain values."""

from collections.abc import Sequence
from typing import Any

import msgspec

from falaj.definitions.signature import Signature
from falaj.kernel.errors import InputError, Unsupported
from falaj.kernel.names import did_you_mean

DATATYPES: dict[str, str] = {
    "string": "BYTES", "int64": "INT64", "float64": "FP64", "bool": "BOOL", "timestamp": "BYTES",
}  # fmt: skip
"""Our types as the protocol calls them."""

_MAX_DEPTH = 8
_LEAST, _GREATEST = -(1 << 63), (1 << 64) - 1
_WHOLE: frozenset[type] = frozenset({int, type(None)})
_NUMBER: frozenset[type] = frozenset({int, float, type(None)})
_TYPES: dict[str, frozenset[type]] = {
    "BOOL": frozenset({bool, type(None)}),
    "BYTES": frozenset({str, type(None)}),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"), _WHOLE),
    **dict.fromkeys(("FP16", "BF16", "FP32", "FP64"), _NUMBER),
}


class Tensor(msgspec.Struct):
    """One input.

    Attributes:
        name: Its name.
        shape: Its dimensions; the first one counts rows.
        datatype: BOOL, INT64, FP32, BYTES, ...
        data: Its values, flat in row-major order or nested.
        parameters: What the caller adds.
    """

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


def flat_values(tensor: Tensor) -> list[Any]:
    """Return a tensor's values in row-major order; null stands for a value that is not known.

    Raises:
        InputError: The values are not as many as the shape says, or not of the datatype.
        Unsupported: The values were sent in binary form.

    Example:
        >>> flat_values(Tensor("x", [2, 2], "FP32", [[1, 2], [3, 4]]))
        [1, 2, 3, 4]
    """
    name = tensor.name[:80]
    types = _TYPES.get(tensor.datatype)
    if types is None:
        raise InputError(f"input {name!r}: datatype {tensor.datatype[:80]!r} does not exist", hint="send FP64 or INT64")
    if tensor.data is None:
        raise Unsupported(f"input {name!r} has no data: binary tensors are not read here", hint="send data as JSON")
    values = _flatten(name, tensor.data)
    expected = 1
    for size in tensor.shape:
        if size < 0:
            raise InputError(f"input {name!r}: shape {tensor.shape[:8]} is negative", hint="send the true shape")
        expected *= size
    if len(values) != expected:
        raise InputError(
            f"input {name!r}: shape {tensor.shape[:8]} needs {expected} values, and there are {len(values)}",
            hint="make shape and data agree",
        )
    for position, value in enumerate(values):
        if type(value) not in types or (type(value) is int and not _LEAST <= value <= _GREATEST):
            raise InputError(
                f"input {name!r}: value {position} is {str(value)[:80]!r}, which is not {tensor.datatype}",
                hint=f"send {tensor.datatype} values",
            )
    return values


def _flatten(name: str, data: list[Any]) -> list[Any]:
    values = data
    for _ in range(_MAX_DEPTH):
        nested = sum(type(value) is list for value in values)
        if not nested:
            break
        if nested != len(values):
            raise InputError(f"input {name!r}: its data mixes values and lists", hint="send it flat or nested")
        values = [inner for value in values for inner in value]
    return values


def columns_of(tensors: Sequence[Tensor]) -> tuple[dict[str, list[Any]], int]:
    """Return the values of tensors that hold one value per row each, and the number of rows.

    Raises:
        InputError: A name stands twice, a tensor is wider than one value, or they differ in rows.
    """
    columns: dict[str, list[Any]] = {}
    rows = -1
    for tensor in tensors:
        values = flat_values(tensor)
        if tensor.name in columns:
            raise InputError(f"input {tensor.name[:80]!r} stands twice", hint="send each input once")
        if not tensor.shape or len(values) != tensor.shape[0]:
            raise InputError(
                f"input {tensor.name[:80]!r}: shape {tensor.shape[:8]} is not one value per row",
                hint="send shape [rows]",
            )
        if rows not in (-1, len(values)):
            raise InputError(
                f"input {tensor.name[:80]!r} has {len(values)} rows, and others have {rows}",
                hint="send as many of each",
            )
        rows = len(values)
        columns[tensor.name] = values
    if rows < 1:
        raise InputError("the request has no rows", hint="send at least one input with at least one row")
    return columns, rows


def given_rows(signature: Signature, tensors: Sequence[Tensor]) -> list[list[Any]]:
    """Return feature values that the caller sends itself, per row in the signature's order.

    Args:
        signature: The model's inputs.
        tensors: One tensor per feature, or a single one of shape [rows, features].

    Raises:
        InputError: A feature is missing, unknown or of another type.
    """
    names = [spec.name for spec in signature.inputs]
    width = len(names)
    if len(tensors) == 1 and len(tensors[0].shape) == 2 and (width > 1 or tensors[0].name not in names):
        return _matrix_rows(signature, tensors[0])
    columns, rows = columns_of(tensors)
    datatypes = {tensor.name: tensor.datatype for tensor in tensors}
    for name in columns:
        if name not in names:
            raise InputError(f"input {name[:80]!r} does not exist", hint=did_you_mean(name[:80], names))
    for spec in signature.inputs:
        if spec.name not in columns:
            raise InputError(f"input {spec.name!r} ({spec.dtype}) is missing", hint="send one value per row, or null")
        if (datatypes[spec.name] == "BYTES") != (spec.dtype == "string"):
            raise InputError(
                f"input {spec.name!r} must be {spec.dtype}, got {datatypes[spec.name]}",
                hint=f"send {DATATYPES[spec.dtype]}",
            )
    return [[columns[name][row] for name in names] for row in range(rows)]


def _matrix_rows(signature: Signature, tensor: Tensor) -> list[list[Any]]:
    width = len(signature.inputs)
    texts = [spec.name for spec in signature.inputs if spec.dtype == "string"]
    if texts or tensor.datatype == "BYTES":
        raise InputError(
            f"input {tensor.name[:80]!r} is a matrix, and feature {(texts or ['each'])[0]!r} needs a tensor of its own",
            hint="send each feature as a named tensor of shape [rows]",
        )
    values = flat_values(tensor)
    if tensor.shape[1] != width:
        raise InputError(f"input {tensor.name[:80]!r} has {tensor.shape[1]} columns, and the model takes {width}")
    return [values[start : start + width] for start in range(0, len(values), width)]
