"""Rows: a source's Arrow table as arrays, grouped by the entities of a view."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from falaj.definitions.service_spec import ViewSpec
from falaj.features.arrow_types import ARROW_TYPES
from falaj.features.entity_key import encode_part, identity_of
from falaj.features.events import Column, Events, Int64s
from falaj.features.expression_arrow import evaluate
from falaj.features.layout import INT64_MAX, INT64_MIN
from falaj.kernel.errors import DataError

EVENT_TS, CREATED, INGEST_SEQ, INGESTED_AT = "_event_ts", "_created", "_ingest_seq", "_ingested_at"
_INT_TAG = int.from_bytes(b"int64\x00\x00\x00", "little")
_NO_ID_TAG = int.from_bytes(b"no id\x00\x00\x00", "little")


@dataclass(frozen=True, slots=True)
class EntityRows:
    """Rows of a source as a view sees them.

    Attributes:
        keys: The distinct entity keys, encoded.
        entity: Per row the position of its key in `keys`; -1 where the key is null.
        events: The rows.
    """

    keys: list[bytes]
    entity: Int64s
    events: Events


def entity_rows(view: ViewSpec, table: pa.Table) -> EntityRows:
    """Return a table's rows as a view sees them.

    Args:
        view: The view.
        table: The source's own columns, `_event_ts`, `_created` and `_ingest_seq`.

    Raises:
        DataError: A column is missing or of a type that the view was not compiled for.
    """
    seq = _int64s(_typed(view, table, INGEST_SEQ, "int64"), 0)
    events = Events(
        _int64s(_typed(view, table, EVENT_TS, "timestamp"), 0),
        _int64s(_typed(view, table, CREATED, "timestamp"), INT64_MIN),
        seq,
        _identities(view, table, seq),
        _columns(view, table),
    )
    keys, entity = _entities(view, table)
    return EntityRows(keys, entity, events)


def _columns(view: ViewSpec, table: pa.Table) -> tuple[Column, ...]:
    """Return the view's columns, those among them that are computed of each row included."""
    found = {name: _typed(view, table, name, dtype) for name, dtype in view.inputs}
    for derived in view.derived:
        computed = evaluate(derived.expression, found, table.num_rows)
        found[derived.name] = computed.combine_chunks() if isinstance(computed, pa.ChunkedArray) else computed
    return tuple(_column(found[name], dtype) for name, dtype in view.columns)


def latest_us(view: ViewSpec, table: pa.Table) -> int | None:
    """Return the greatest event time of a table, which moves the view's watermark; None when there is none.

    An event from the future, later than its own arrival, is kept and does not count: one wrong clock would otherwise
    expire the state of every entity.
    """
    times = _int64s(_typed(view, table, EVENT_TS, "timestamp"), 0)
    if INGESTED_AT in table.column_names:
        times = times[times <= _int64s(_typed(view, table, INGESTED_AT, "timestamp"), INT64_MAX)]
    return int(times.max()) if len(times) else None


def _typed(view: ViewSpec, table: pa.Table, name: str, dtype: str) -> Any:
    if name not in table.column_names:
        raise DataError(f"source {view.source!r} has no column {name!r}, which view {view.name!r} reads")
    column = table[name]
    wanted = ARROW_TYPES[dtype]
    try:
        return (column if column.type == wanted else column.cast(wanted)).combine_chunks()
    except pa.ArrowInvalid as error:
        raise DataError(
            f"source {view.source!r}: column {name!r} is {column.type}, and view {view.name!r} needs {dtype}: {error}",
            hint="run 'falaj apply', so that views are compiled for the source's present columns",
        ) from None


def _int64s(array: Any, null: int) -> Int64s:
    whole = array.cast(pa.int64())
    values: Int64s = (whole.fill_null(null) if whole.null_count else whole).to_numpy(zero_copy_only=False)
    return values


def _column(array: Any, dtype: str) -> Column:
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    if dtype == "string":
        coded = pc.dictionary_encode(array)
        return Column(_int64s(coded.indices, 0).astype(np.uint32), valid, coded.dictionary.to_pylist())
    if dtype == "float64":
        return Column((array.fill_null(0.0) if array.null_count else array).to_numpy(zero_copy_only=False), valid)
    whole = _int64s(array, 0)
    return Column(whole.astype(np.uint8) if dtype == "bool" else whole, valid)


def _identities(view: ViewSpec, table: pa.Table, seq: Int64s) -> NDArray[np.void] | None:
    if view.id_column is None:
        return None
    if view.id_column not in table.column_names:
        raise DataError(f"source {view.source!r} has no column {view.id_column!r}, its id")
    ids = table[view.id_column].combine_chunks()
    pairs = np.empty((len(seq), 2), np.int64)
    if pa.types.is_integer(ids.type):
        pairs[:, 0], pairs[:, 1] = _int64s(ids, 0), _INT_TAG
    elif len(seq):
        raw = b"".join(identity_of(value) for value in ids.to_pylist())
        pairs[:] = np.frombuffer(raw, np.int64).reshape(-1, 2)
    if ids.null_count:  # an event without an identity is like no other
        null = ids.is_null().to_numpy(zero_copy_only=False)
        pairs[null] = np.stack([seq[null], np.full(int(null.sum()), _NO_ID_TAG)], axis=1)
    return pairs.reshape(-1).view("V16")


def _entities(view: ViewSpec, table: pa.Table) -> tuple[list[bytes], Int64s]:
    entity = np.zeros(table.num_rows, np.int64)
    null = np.zeros(table.num_rows, np.bool_)
    keys = [b""]
    for name, dtype in view.keys:
        coded = pc.dictionary_encode(_typed(view, table, name, dtype))
        codes = _int64s(coded.indices, -1)
        parts = [encode_part(value, dtype, name) for value in coded.dictionary.to_pylist()]
        size = max(len(parts), 1)
        null |= codes < 0
        if keys == [b""]:  # the first part is numbered already
            keys, entity = parts or keys, np.maximum(codes, 0)
            continue
        # Numbered anew after each part, so that the product of their sizes cannot overflow
        pairs, entity = np.unique(entity * size + np.maximum(codes, 0), return_inverse=True)
        keys = [keys[pair // size] + parts[pair % size] if parts else b"" for pair in pairs.tolist()]
    entity[null] = -1
    return keys, entity
