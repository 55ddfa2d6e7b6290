"""Columns as they come (a list, NumPy or Arrow) as the numbers or the names that are counted."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def as_numbers(values: Any) -> tuple[NDArray[np.float32], int]:
    """Return a column as float32, NaN for null and for what is no number, and how many are null.

    Args:
        values: Numbers or booleans, with None for null.

    Example:
        >>> numbers, nulls = as_numbers([1, None, "x"])
        >>> numbers.tolist(), nulls
        ([1.0, nan, nan], 1)
    """
    nulls = 0
    if isinstance(values, pa.Array | pa.ChunkedArray):
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            nulls = values.null_count
            whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
            values = whole.to_numpy(zero_copy_only=False)
        else:
            values = np.asarray(values.to_pylist(), dtype=object)
    array = np.asarray(values).ravel()
    with np.errstate(over="ignore"):  # beyond float32 is beyond every bin
        if array.dtype.kind in "biuf":
            return array.astype(np.float32), nulls
        listed = array.tolist()
        numbers = np.array([_number(value) for value in listed], dtype=np.float64)
        return numbers.astype(np.float32), sum(value is None for value in listed)


def as_names(values: Any) -> pa.StringArray:
    """Return a column as the names of its categories, null for None and NaN.

    Args:
        values: Text, numbers or booleans; equal values of different types have one name, such as 3 and 3.0.

    Example:
        >>> as_names([3.0, True, None]).to_pylist()
        ['3', 'true', None]
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        if pa.types.is_string(values.type):
            return values
        values = values.to_pylist()
    listed = np.asarray(values, dtype=object).ravel().tolist()
    try:
        return pa.array(listed, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        return pa.array([None if v is None or v != v else _encodable(category_name(v)) for v in listed], pa.string())


def category_name(value: object) -> str:
    """Return one text for equal values of different types: 3 and 3.0 are the same category."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def is_strings(values: Any) -> bool:
    """Return whether a column holds text; one with any text among other values does."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
    sample = np.asarray(values)
    if sample.dtype.kind in "biuf":
        return False
    return sample.dtype.kind in "US" or any(isinstance(value, str | bytes) for value in sample.ravel())


def _encodable(name: str) -> str:
    """Return text that UTF-8 can hold; a lone surrogate is written out."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _number(value: object) -> float:
    try:
        return float("nan") if value is None else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
    except OverflowError:  # an integer of more than 308 digits
        return float("inf") if value > 0 else float("-inf")  # type: ignore[operator]
