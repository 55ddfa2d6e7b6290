"""The types a column, key or feature may have."""

from typing import Literal, get_args

from falaj.kernel.errors import DefinitionError

Dtype = Literal["string", "int64", "float64", "bool", "timestamp"]
DTYPES: tuple[str, ...] = get_args(Dtype)
NUMERIC: tuple[str, ...] = ("int64", "float64", "bool")


def check_dtype(field: str, dtype: str) -> None:
    """Refuse a type that does not exist.

    Raises:
        DefinitionError: It is none of string, int64, float64, bool, timestamp.
    """
    if dtype not in DTYPES:
        raise DefinitionError(f"{field}: dtype {dtype!r} does not exist", hint=f"use one of {', '.join(DTYPES)}")
