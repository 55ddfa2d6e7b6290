"""Convert: a file's values to the types of its source, value by value where a whole column will not go."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from falaj.data.columns import ARROW_TYPES, INSTANT
from falaj.data.csv_file import NULLS
from falaj.kernel.clock import to_us

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}(\.0*)?")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_INT64 = range(-(2**63), 2**63)
_DAY_US = 86_400_000_000
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_UNIT_FROM = ((10**17, "ns"), (10**14, "us"), (10**11, "ms"), (0, "s"))
"""The least size of an epoch number in each unit: seconds up to the year 5138, nanoseconds from 1973 on."""

Converted = tuple[pa.Array, pa.BooleanArray | None]


def convert_rows(
    schema: Mapping[str, str], rows: pa.RecordBatch, *, text: bool
) -> tuple[pa.Table, dict[str, pa.BooleanArray]]:
    """Return the rows in the source's types, and for some columns which rows were not of the type (null there).

    Args:
        schema: Column to dtype.
        rows: The columns as the file has them.
        text: Whether all values are text that stands for others, as in CSV.
    """
    columns, unreadable = {}, {}
    for name, dtype in schema.items():
        values, bad = convert_column(rows.column(name), dtype, text=text)
        columns[name] = values
        if bad is not None:
            unreadable[name] = bad
    return pa.table(columns), unreadable


def convert_column(column: pa.Array, dtype: str, *, text: bool) -> Converted:
    """Return the values in the type, and which of the non-null ones are not of it, or None when all are.

    Timestamps without a zone are UTC, finer ones than microseconds are cut down, whole numbers count from 1970 in
    seconds, milliseconds, microseconds or nanoseconds, as their size tells.

    Example:
        >>> convert_column(pa.array(["1.5", "NA", "x"]), "float64", text=True)[1].to_pylist()
        [False, False, True]
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), ARROW_TYPES[dtype]), None
    if dtype == "string":
        return column.cast(pa.string()), None
    if text or (dtype == "timestamp" and _is_text(column.type)):
        column = pc.utf8_trim_whitespace(column.cast(pa.string()))
        column = pc.if_else(pc.is_in(column, value_set=pa.array(NULLS)), pa.scalar(None, pa.string()), column)
        return _first_that_fits(column, dtype, _FROM_TEXT[dtype])
    if dtype == "timestamp" and pa.types.is_integer(column.type):
        return _first_that_fits(column, dtype, (_epoch_numbers,))
    if dtype == "timestamp":
        return _instants(column)
    return _first_that_fits(column, dtype, (lambda values: values.cast(ARROW_TYPES[dtype]),))


def epoch_us(number: int) -> int:
    """Return microseconds since 1970 for an epoch number whose size tells its unit.

    Example:
        >>> epoch_us(1_522_540_831), epoch_us(1_522_540_831_000)
        (1522540831000000, 1522540831000000)
    """
    unit = next(unit for least, unit in _UNIT_FROM if abs(number) >= least)
    return number * 10**6 // _PER_SECOND[unit]


def _first_that_fits(column: pa.Array, dtype: str, ways: tuple[Callable[[pa.Array], pa.Array], ...]) -> Converted:
    for way in ways:
        try:
            return way(column), None
        except pa.ArrowInvalid:
            continue
    return _one_by_one(column, dtype)


def _one_by_one(column: pa.Array, dtype: str) -> Converted:
    encoded = column.dictionary_encode()
    values: list[Any] = []
    bad: list[bool] = []
    for value in encoded.dictionary.to_pylist():
        try:
            values.append(_ONE[dtype](value))
            bad.append(False)
        except (ValueError, OverflowError):
            values.append(None)
            bad.append(True)
    converted = pa.array(values, ARROW_TYPES[dtype]).take(encoded.indices)
    return converted, pc.fill_null(pa.array(bad, pa.bool_()).take(encoded.indices), pa.scalar(value=False))


def _instants(column: pa.Array) -> Converted:
    numbers, times = column, 1
    if pa.types.is_date32(column.type):
        numbers, times = column.cast(pa.int32()), _DAY_US
    elif pa.types.is_date64(column.type):
        times = 1000
    elif column.type.unit == "ns":
        return _floor_divide(column.cast(pa.int64()), 1000).cast(INSTANT), None
    else:
        times = 10**6 // _PER_SECOND[column.type.unit]
    numbers = numbers.cast(pa.int64())
    most = _INT64[-1] // times
    far = pc.fill_null(pc.or_(pc.greater(numbers, most), pc.less(numbers, -most)), pa.scalar(value=False))
    us = pc.multiply(pc.if_else(far, pa.scalar(None, pa.int64()), numbers), times)
    return us.cast(INSTANT), (far if pc.any(far).as_py() else None)


def _epoch_numbers(column: pa.Array) -> pa.Array:
    numbers = column.cast(pa.int64())
    size = pc.abs_checked(numbers)
    us = numbers
    for unit, least, most in (("s", 0, 10**11 - 1), ("ms", 10**11, 10**14 - 1), ("ns", 10**17, 2**63 - 1)):
        here = pc.and_(pc.greater_equal(size, least), pc.less_equal(size, most))
        only = pc.if_else(here, numbers, 0)  # else the others would overflow
        scaled = _floor_divide(only, 1000) if unit == "ns" else pc.multiply(only, 10**6 // _PER_SECOND[unit])
        us = pc.if_else(here, scaled, us)
    return us.cast(INSTANT)


def _floor_divide(numbers: pa.Array, by: int) -> pa.Array:
    quotient = pc.divide(numbers, by)  # towards zero: 1 ns before 1970 would become 1970
    return pc.if_else(pc.less(pc.subtract(numbers, pc.multiply(quotient, by)), 0), pc.subtract(quotient, 1), quotient)


def _decimal_integers(column: pa.Array) -> pa.Array:
    if not pc.all(pc.match_substring_regex(column, "^[+-]?[0-9]+$"), min_count=0).as_py():
        raise pa.ArrowInvalid("not all are decimal digits")  # the cast would take hexadecimal ones
    return column.cast(pa.int64())


def _cut_to_us(column: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(column, r"(\.[0-9]{6})[0-9]+", r"\1")


def _one_int(value: Any) -> int:
    if isinstance(value, str):
        if not _WHOLE.fullmatch(value):
            raise ValueError(value)
        value = value.partition(".")[0]
    number = int(value)
    if (number != value and not isinstance(value, str)) or number not in _INT64:
        raise ValueError(value)
    return number


def _one_float(value: Any) -> float:
    if isinstance(value, str) and not _FLOAT.fullmatch(value):
        raise ValueError(value)
    return float(value)


def _one_bool(value: Any) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
    if known is None:
        raise ValueError(value)
    return known


def _one_instant(value: Any) -> int:
    if isinstance(value, int) or _INTEGER.fullmatch(value):
        us = epoch_us(int(value))
        if us not in _INT64:
            raise ValueError(value)
        return us
    instant = datetime.fromisoformat(value.upper())
    return to_us(instant if instant.tzinfo else instant.replace(tzinfo=UTC))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


_FROM_TEXT: dict[str, tuple[Callable[[pa.Array], pa.Array], ...]] = {
    "int64": (_decimal_integers,),
    "float64": (lambda column: column.cast(pa.float64()),),
    "bool": (lambda column: column.cast(pa.bool_()),),
    "timestamp": (
        lambda column: _epoch_numbers(_decimal_integers(column)),
        lambda column: column.cast(pa.timestamp("us")).cast(INSTANT),
        lambda column: column.cast(INSTANT),
        lambda column: _cut_to_us(column).cast(pa.timestamp("us")).cast(INSTANT),
        lambda column: _cut_to_us(column).cast(INSTANT),
    ),
}
_ONE: dict[str, Callable[[Any], Any]] = {
    "int64": _one_int,
    "float64": _one_float,
    "bool": _one_bool,
    "timestamp": _one_instant,
}
