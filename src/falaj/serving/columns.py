"""Columns: the tensors of a request as entity keys, request fields or features of its rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from falaj.definitions.signature import Signature
from falaj.kernel.errors import InputError
from falaj.kernel.names import did_you_mean
from falaj.models.encoding import encode_columns, encode_matrix
from falaj.models.runtimes.port import Matrix
from falaj.serving.tensors import BYTES, DATATYPES, Tensor


def columns_of(tensors: Sequence[Tensor]) -> tuple[dict[str, list[Any]], int]:
    """Return the values of tensors that hold one value per row each, and the number of rows.

    Raises:
        InputError: A name stands twice, a tensor is wider than one value, they differ in rows, or bytes are no text.
    """
    found, rows = _by_name(tensors)
    return {name: _plain(tensor) for name, tensor in found.items()}, rows


def given_rows(signature: Signature, tensors: Sequence[Tensor]) -> list[list[Any]]:
    """Return feature values that the caller sends itself, per row in the signature's order.

    Args:
        signature: The model's inputs.
        tensors: One tensor per feature.

    Raises:
        InputError: A feature is missing, unknown or of another type.
    """
    if _is_matrix(signature, tensors):
        text = next(spec.name for spec in signature.inputs if spec.dtype == "string")
        raise _needs_own(tensors[0], text)
    found, rows = _by_name(tensors)
    _check_features(signature, found)
    columns = [_plain(found[spec.name]) for spec in signature.inputs]
    return [[column[row] for column in columns] for row in range(rows)]


def given_matrix(signature: Signature, tensors: Sequence[Tensor]) -> Matrix:
    """Return feature values that the caller sends itself as the matrix that the model takes.

    Args:
        signature: The model's inputs, none of them text.
        tensors: One tensor per feature, or a single one of shape [rows, features].

    Returns:
        float32, (rows, features); what is not known is NaN.

    Raises:
        InputError: A feature is missing, unknown or of another type.
    """
    if not _is_matrix(signature, tensors):
        found, _ = _by_name(tensors)
        _check_features(signature, found)
        return encode_columns(signature, {name: tensor.values.reshape(-1) for name, tensor in found.items()})
    tensor = tensors[0]
    if tensor.datatype == BYTES:
        raise _needs_own(tensor, "each")
    rows, width = tensor.values.shape
    if width != len(signature.inputs):
        raise InputError(
            f"input {tensor.name[:80]!r} has {width} columns, and the model takes {len(signature.inputs)}",
            hint="send the features in the order of the model's metadata",
        )
    if not rows:
        raise _no_rows()
    return encode_matrix(tensor.values)


def _is_matrix(signature: Signature, tensors: Sequence[Tensor]) -> bool:
    if len(tensors) != 1 or tensors[0].values.ndim != 2:
        return False
    return len(signature.inputs) > 1 or tensors[0].name != signature.inputs[0].name


def _by_name(tensors: Sequence[Tensor]) -> tuple[dict[str, Tensor], int]:
    found: dict[str, Tensor] = {}
    rows = -1
    for tensor in tensors:
        shape = tensor.values.shape
        if tensor.name in found:
            raise InputError(f"input {tensor.name[:80]!r} stands twice", hint="send each input once")
        if not shape or tensor.values.size != shape[0]:
            raise InputError(
                f"input {tensor.name[:80]!r}: shape {list(shape[:8])} is not one value per row",
                hint="send shape [rows]",
            )
        if rows not in (-1, shape[0]):
            raise InputError(
                f"input {tensor.name[:80]!r} has {shape[0]} rows, and others have {rows}", hint="send as many of each"
            )
        rows = shape[0]
        found[tensor.name] = tensor
    if rows < 1:
        raise _no_rows()
    return found, rows


def _check_features(signature: Signature, found: dict[str, Tensor]) -> None:
    names = [spec.name for spec in signature.inputs]
    for name in found:
        if name not in names:
            raise InputError(f"input {name[:80]!r} does not exist", hint=did_you_mean(name[:80], names))
    for spec in signature.inputs:
        if spec.name not in found:
            raise InputError(f"input {spec.name!r} ({spec.dtype}) is missing", hint="send one value per row, or null")
        datatype = found[spec.name].datatype
        if (datatype == BYTES) != (spec.dtype == "string"):
            raise InputError(
                f"input {spec.name!r} must be {spec.dtype}, got {datatype}", hint=f"send {DATATYPES[spec.dtype]}"
            )


def _plain(tensor: Tensor) -> list[Any]:
    values: list[Any] = np.ravel(tensor.values).tolist()
    if tensor.datatype != BYTES:
        return values
    try:
        return [None if value is None else value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise InputError(f"input {tensor.name[:80]!r} holds bytes that are not UTF-8: {error.reason}") from None


def _needs_own(tensor: Tensor, feature: str) -> InputError:
    return InputError(
        f"input {tensor.name[:80]!r} is a matrix, and feature {feature!r} needs a tensor of its own",
        hint="send each feature as a named tensor of shape [rows]",
    )


def _no_rows() -> InputError:
    return InputError("the request has no rows", hint="send at least one input with at least one row")
