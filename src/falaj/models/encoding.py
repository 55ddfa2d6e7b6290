"""Encoding: feature values of any type to the one float32 matrix that a model takes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.signature import InputSpec, Signature
from falaj.kernel.errors import DataError, InputError
from falaj.models.runtimes.port import Matrix

MAX_CATEGORIES = 1_000
"""Longer vocabularies give codes that no tree learns from, and make routing snapshots heavy."""

_NAN = float("nan")
_SAFE = frozenset({float, int, bool, type(None)})
_LARGEST = float(np.finfo(np.float32).max)


class Encoder:
    """The encoding of one signature, with its dictionaries built.

    The same float64 step stands before float32 here and in `encode_columns`, so that a value has the same bits in
    training and in serving.

    Args:
        signature: The model's inputs.

    Example:
        >>> country = InputSpec("country", "string", ("AE", "OM"))
        >>> encoder = Encoder(Signature((InputSpec("amount", "float64"), country)))
        >>> encoder.encode([[12.5, "OM"], [None, "XX"]]).tolist()
        [[12.5, 1.0], [nan, nan]]
    """

    def __init__(self, signature: Signature) -> None:
        _refuse_timestamps({spec.name: spec.dtype for spec in signature.inputs})
        self.signature = signature
        self.features = len(signature.inputs)
        self._codes = [(i, _codes(spec)) for i, spec in enumerate(signature.inputs) if spec.dtype == "string"]

    def encode(self, rows: Sequence[Sequence[Any]], unseen: list[tuple[int, str]] | None = None) -> Matrix:
        """Return the matrix of rows of values.

        Args:
            rows: One value per input, in the signature's order; None is missing.
            unseen: Gets the row and the input of each text that training never saw, which counts as missing.

        Returns:
            float32, C-contiguous, (rows, features).

        Raises:
            InputError: A row has another length, or a value is not of its input's type.
        """
        features = self.features
        flat: list[Any] = []
        for row in rows:
            flat += row
        if len(flat) != len(rows) * features or (len(rows) > 1 and any(len(row) != features for row in rows)):
            raise InputError(f"a row has other than {features} values", hint="give one value per input, in order")
        try:
            for column, codes in self._codes:
                texts = flat[column::features]
                coded = [codes.get(value, _NAN) for value in texts]
                flat[column::features] = coded
                if unseen is not None and _NAN in coded:
                    name = self.signature.inputs[column].name
                    pairs = zip(texts, coded, strict=True)
                    unseen += [(i, name) for i, (text, code) in enumerate(pairs) if code is _NAN and text is not None]
            if _SAFE.issuperset(map(type, flat)):  # NumPy would read the text "1.5" as a number
                wide = np.array(flat, np.float64)
            else:
                wide = np.array([_number(value) for value in flat], np.float64)
        except (TypeError, ValueError, OverflowError):
            raise self._named(rows) from None
        return _narrow(wide).reshape(len(rows), features)

    def _named(self, rows: Sequence[Sequence[Any]]) -> InputError:
        for row in rows:
            for spec, value in zip(self.signature.inputs, row, strict=True):
                try:
                    _CHECKS[spec.dtype](value)
                except (TypeError, ValueError, OverflowError):
                    return InputError(
                        f"feature {spec.name!r} is {value!r}, which is not a {spec.dtype}",
                        hint=f"give a {spec.dtype} or null",
                    )
        return InputError("a value cannot be encoded")


def fit_signature(
    columns: Mapping[str, Any],
    dtypes: Mapping[str, str],
    *,
    defaults: Mapping[str, float] | None = None,
    max_categories: int = MAX_CATEGORIES,
) -> Signature:
    """Return the signature of the columns: their order, types and, for strings, vocabularies.

    A vocabulary holds the most frequent values, sorted; a value's code is its position. Fit it on training rows.

    Args:
        columns: Feature column to its values (NumPy or Arrow), in the model's order.
        dtypes: Feature column to its type.
        defaults: Feature column to the value used when the feature store fails.
        max_categories: The longest vocabulary.

    Raises:
        DataError: There is no column, or one is a timestamp, which has no meaning as a number.

    Example:
        >>> fit_signature({"c": np.array(["b", "a", "b", None])}, {"c": "string"}).inputs[0].categories
        ('a', 'b')
    """
    if not columns:
        raise DataError("a model needs at least one feature", hint="add features to its feature service")
    _refuse_timestamps({name: dtypes[name] for name in columns})
    return Signature(
        tuple(
            InputSpec(
                name,
                dtypes[name],
                _vocabulary(values, max_categories) if dtypes[name] == "string" else (),
                None if defaults is None else defaults.get(name),
            )
            for name, values in columns.items()
        )
    )


def encode_columns(signature: Signature, columns: Mapping[str, Any]) -> Matrix:
    """Return the matrix of whole columns, bit for bit that of `Encoder.encode` on their rows.

    Args:
        signature: The model's inputs.
        columns: Feature column to its values (NumPy or Arrow); more columns than the signature's are ignored.

    Returns:
        float32, C-contiguous, (rows, features).

    Raises:
        DataError: A column is absent, or its values are not of its type.
    """
    missing = [spec.name for spec in signature.inputs if spec.name not in columns]
    if missing:
        raise DataError(f"the dataset has no column {missing[0]!r}", hint="build it again from the feature service")
    _refuse_timestamps({spec.name: spec.dtype for spec in signature.inputs})
    rows = len(columns[signature.inputs[0].name])
    matrix = np.empty((rows, len(signature.inputs)), np.float32)
    for position, spec in enumerate(signature.inputs):
        matrix[:, position] = _narrow(_column(spec, columns[spec.name]))
    return matrix


def encode_matrix(values: NDArray[Any]) -> Matrix:
    """Return numbers as the matrix that a model takes, with the bits that `Encoder.encode` gives them.

    Args:
        values: (rows, features); booleans, numbers, or objects with None for what is not known.

    Returns:
        float32, C-contiguous, (rows, features).

    Example:
        >>> encode_matrix(np.array([[1, 2]])).tolist()
        [[1.0, 2.0]]
    """
    if values.dtype == np.float32:
        clamped: Matrix = np.maximum(np.ascontiguousarray(values), np.float32(-_LARGEST))
        np.minimum(clamped, np.float32(_LARGEST), out=clamped)
        return clamped
    if values.dtype == object:
        flat = [_number(value) for value in values.reshape(-1).tolist()]
        return _narrow(np.array(flat, np.float64)).reshape(values.shape)
    return _narrow(np.array(values, np.float64, order="C"))


def _column(spec: InputSpec, values: Any) -> NDArray[np.float64]:
    array = _to_numpy(values)
    if spec.dtype == "string":
        codes = _codes(spec)
        return np.array([codes.get(value, _NAN) for value in array.tolist()], np.float64)
    try:
        if array.dtype == object:
            return np.array([_number(value) for value in array.tolist()], np.float64)
        if array.dtype.kind not in "biuf":
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"column {spec.name!r} holds {array.dtype} values that are not {spec.dtype}",
            hint="declare its type as it is, or correct the data",
        ) from None


def _narrow(wide: NDArray[np.float64]) -> Matrix:
    # Beyond float32 a value keeps its order as the largest one; a cast would give infinity, and a warning.
    np.maximum(wide, -_LARGEST, out=wide)  # two ufuncs in place: numpy.clip costs more than all the rest
    np.minimum(wide, _LARGEST, out=wide)
    return wide.astype(np.float32)


def _codes(spec: InputSpec) -> dict[Any, float]:
    return {value: float(code) for code, value in enumerate(spec.categories)}


def _vocabulary(values: Any, longest: int) -> tuple[str, ...]:
    counts = Counter(value for value in _to_numpy(values).tolist() if isinstance(value, str))
    kept = sorted(counts, key=lambda value: (-counts[value], value))[:longest]
    return tuple(sorted(kept))


def _to_numpy(values: Any) -> NDArray[Any]:
    # Arrow without importing it: a chunked array converts as it is, a plain one only when told that it may copy.
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "combine_chunks") or hasattr(values, "to_pylist"):
        return np.array(values.to_pylist(), object) if _is_text(values) else _numeric(values)
    return np.asarray(values)


def _is_text(values: Any) -> bool:
    return "string" in str(values.type)


def _numeric(values: Any) -> NDArray[Any]:
    if values.null_count and str(values.type) == "bool":
        return np.array(values.to_pylist(), object)
    chunks = values.chunks if hasattr(values, "chunks") else [values]
    parts = [chunk.to_numpy(zero_copy_only=False) for chunk in chunks]
    return np.concatenate(parts) if parts else np.empty(0, np.float64)


def _number(value: Any) -> float:
    if value is None:
        return _NAN
    if isinstance(value, str | bytes):
        raise TypeError
    return float(value)


def _text(value: Any) -> None:
    hash(value)


_CHECKS: dict[str, Any] = {"string": _text, "int64": _number, "float64": _number, "bool": _number}


def _refuse_timestamps(dtypes: Mapping[str, str]) -> None:
    for name, dtype in dtypes.items():
        if dtype == "timestamp":
            raise DataError(
                f"feature {name!r} is a timestamp, which no model can learn from as it is",
                hint="make an on-demand feature of it, such as the hour or the age in days",
            )
