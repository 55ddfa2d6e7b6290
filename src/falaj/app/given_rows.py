"""Given rows: events and entities as people hold them in Python, brought to values that JSON carries unchanged."""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from falaj.data.given_frame import is_frame, open_frame
from falaj.kernel.clock import from_us, parse_instant, rfc3339, to_us
from falaj.kernel.errors import InputError

_EVENTS = "give one event as a dict, a list of dicts, or an Arrow, pandas or Polars frame"
_ENTITIES = (
    "give {'card_id': ['c1', 'c2']}, [{'card_id': 'c1'}, {'card_id': 'c2'}], or an Arrow, pandas or Polars frame"
)
_VALUES = "give text, numbers, truth values, None or aware datetimes"
_AS_IT_IS = (str, int, bool, type(None))


def given_events(given: Any) -> Iterator[dict[str, Any]]:
    """Give events one by one; what need not be in memory is not read into it.

    Args:
        given: One event, any number of them, or a frame of them.

    Raises:
        InputError: It is none of these, or holds a value that no event could have.

    Example:
        >>> list(given_events({"id": "e1", "amount": np.float32(2)}))
        [{'id': 'e1', 'amount': 2.0}]
    """
    if isinstance(given, Mapping):
        given = [given]
    elif is_frame(given):
        given = _frame_rows(given)
    elif isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InputError(f"events cannot be a {type(given).__name__}", hint=_EVENTS)
    return _plain_rows(given, "event", _EVENTS)


def given_entities(given: Any) -> list[dict[str, Any]]:
    """Return the keys of each row that is asked about.

    Args:
        given: Key column to one value or to values of one length; or rows; or a frame.

    Raises:
        InputError: It is none of these, or holds a value that no key could have.

    Example:
        >>> given_entities({"shop": np.array([1, 2]), "till": ["a", "b"]})
        [{'shop': 1, 'till': 'a'}, {'shop': 2, 'till': 'b'}]
    """
    if is_frame(given):
        given = _frame_rows(given)
    elif isinstance(given, Mapping):
        given = _rows_of_columns(given)
    elif not isinstance(given, list | tuple):
        raise InputError(f"entities cannot be a {type(given).__name__}", hint=_ENTITIES)
    return list(_plain_rows(given, "entity", _ENTITIES))


def given_instant(at: Any) -> str:
    """Return an instant as RFC 3339 text in UTC, cut to whole microseconds.

    Args:
        at: An aware datetime, or RFC 3339 text.

    Raises:
        InputError: It has no time zone, or is no instant.

    Example:
        >>> given_instant("2026-01-31T09:30:00+04:00")
        '2026-01-31T05:30:00Z'
    """
    if isinstance(at, str):
        return rfc3339(parse_instant(at))
    if not isinstance(at, datetime):
        what = "has no time zone" if isinstance(at, np.datetime64) else f"is a {type(at).__name__}, not an instant"
        raise InputError(f"{at} {what}", hint="give an aware datetime, or text such as 2026-01-31T09:30:00Z")
    return rfc3339(from_us(to_us(at)))


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON can hold it, every value as it was meant.

    Raises:
        InputError: A datetime has no time zone, or a value is none that JSON could hold; the message names its field.
    """
    return {name: value if type(value) in _AS_IT_IS else _plain(name, value) for name, value in row.items()}


def _plain_rows(rows: Iterable[Any], what: str, hint: str) -> Iterator[dict[str, Any]]:
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(f"{what} {place} is a {type(row).__name__}", hint=hint)
        yield plain_row(row)


def _plain(name: str, value: Any) -> Any:
    if type(value) in _AS_IT_IS:
        return value
    if isinstance(value, datetime):
        if value != value:
            return None  # NaT
        if value.tzinfo is None:
            raise InputError(f"field {name!r}: {value} has no time zone", hint="give an aware datetime")
        return given_instant(value)
    if isinstance(value, np.datetime64):
        raise InputError(
            f"field {name!r}: {value!r} has no time zone", hint="say which: pandas.Timestamp(value, tz='UTC')"
        )
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            raise InputError(f"field {name!r} is {value}, which JSON cannot hold", hint="send None if it is not known")
        return float(value)
    return _converted(name, value)


def _converted(name: str, value: Any) -> Any:
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int) or (isinstance(value, np.generic) and value.dtype.kind in "iu"):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)  # that of an enumeration is its value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite() and Decimal(repr(float(value))) == value:
        return float(value)
    if isinstance(value, pa.Scalar):
        return _plain(name, value.as_py())
    if isinstance(value, list | tuple):
        return [_plain(name, each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(f"{name}.{key}", each) for key, each in value.items()}
    if type(value).__name__ == "NAType":
        return None
    raise InputError(f"field {name!r} is a {type(value).__name__}: {value!r:.80}", hint=_VALUES)


def _frame_rows(frame: Any) -> Iterator[dict[str, Any]]:
    reader = open_frame(frame)
    names = reader.schema.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"the frame has two columns {twice[0]!r}", hint="rename one")
    for batch in reader:
        columns = [_microseconds(column) for column in batch.columns]
        yield from pa.RecordBatch.from_arrays(columns, names).to_pylist()


def _microseconds(column: pa.Array) -> pa.Array:
    """Python's datetimes have no nanoseconds; they are cut as everywhere."""
    if not pa.types.is_timestamp(column.type) or column.type.unit != "ns":
        return column
    return pc.floor_temporal(column, unit="microsecond").cast(pa.timestamp("us", column.type.tz))


def _rows_of_columns(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not columns:
        return [{}]  # of a view without an entity
    lists = {name: _values(name, given) for name, given in columns.items()}
    lengths = {len(values) for values in lists.values()}
    if len(lengths) > 1:
        raise InputError(f"entity lists have lengths {sorted(lengths)}", hint="give as many values for each key")
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _values(name: str, given: Any) -> list[Any]:
    if isinstance(given, np.ndarray) and given.ndim > 1:
        raise InputError(f"entity key {name!r} has {given.ndim} dimensions", hint="give one value for each row")
    if isinstance(given, pa.Array | pa.ChunkedArray):
        values: list[Any] = given.to_pylist()
        return values
    if hasattr(given, "isna") and hasattr(given, "to_list"):  # of pandas, where NaN means that there is no value
        return [None if missing else value for value, missing in zip(given.to_list(), given.isna(), strict=True)]
    if hasattr(given, "to_list"):
        return list(given.to_list())
    if isinstance(given, np.ndarray) and given.ndim == 0:
        return [given[()]]
    # one by one: NumPy's own lists hold instants as numbers
    return list(given) if isinstance(given, list | tuple | range | np.ndarray) else [given]
