"""The tables `predictions` and `feedback`: one row per record, readable without Falaj."""

import math
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from falaj.definitions.prediction_policy import MARK
from falaj.definitions.prediction_record import BlockRecord, FeedbackRecord, PredictionRecord, RowId

PREDICTIONS = "predictions"
FEEDBACK = "feedback"
SEQ = "_seq"
"""The place of a record in the order of compaction, over both tables: what readers keep as their cursor."""
SEGMENT = "_segment"

_NESTED = ("entities", "request", "features", "statuses", "applied_seq")
_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), float | None: pa.float64()}


def _schema(kind: type[PredictionRecord] | type[FeedbackRecord]) -> pa.Schema:
    fields = [
        pa.field(field.name, pa.string() if field.name in _NESTED else _TYPES[field.type])
        for field in msgspec.structs.fields(kind)
    ]
    return pa.schema([*fields, pa.field(SEQ, pa.int64()), pa.field(SEGMENT, pa.string())])


PREDICTION_SCHEMA = _schema(PredictionRecord)
"""The record's fields; those that hold several values are JSON text."""
FEEDBACK_SCHEMA = _schema(FeedbackRecord)

Placed = tuple[int, str, Any]
"""A record with its place and its segment."""


def prediction_rows(placed: Iterable[Placed]) -> pa.Table:
    """Return decisions as rows."""
    return _rows(placed, PREDICTION_SCHEMA)


def block_rows(first_seq: int, segment: str, block: BlockRecord) -> pa.Table:
    """Return the rows of a block, the same as `prediction_rows` makes of each `block.row(n)`, and ten times as fast.

    Args:
        first_seq: The place of its first row.
        segment: Where it stood.
        block: The block.
    """
    count = block.rows
    ids = pa.array([RowId(block.request_id, row).text for row in range(count)])
    features = np.frombuffer(block.features, "<f4").astype(np.float64).reshape(count, -1)
    rows: list[list[Any]] = features.tolist()
    for row in rows if block.redacted else ():
        for place in block.redacted:
            row[place] = {MARK: "drop"}
    encode = msgspec.json.Encoder().encode  # which makes null of NaN
    made = {
        "request_id": ids,
        "unit": ids,
        "at_us": pa.repeat(block.received_us, count),
        "features": pa.array([encode(row).decode() for row in rows]),
        "score": pa.array(np.frombuffer(block.scores, "<f8")) if block.scores else pa.nulls(count, pa.float64()),
        "defaulted": pa.repeat(False, count),  # noqa: FBT003 - a value
        "cached": pa.repeat(False, count),  # noqa: FBT003 - a value
        SEQ: pa.array(np.arange(first_seq, first_seq + count)),
        SEGMENT: pa.repeat(segment, count),
    }
    made |= dict.fromkeys(("entities", "request", "statuses", "applied_seq"), pa.repeat("{}", count))
    columns = [
        made[field.name] if field.name in made else pa.repeat(pa.scalar(getattr(block, field.name), field.type), count)
        for field in PREDICTION_SCHEMA
    ]
    return pa.table(columns, schema=PREDICTION_SCHEMA)


def feedback_rows(placed: Iterable[Placed]) -> pa.Table:
    """Return outcomes as rows."""
    return _rows(placed, FEEDBACK_SCHEMA)


def to_records(rows: pa.Table) -> list[PredictionRecord]:
    """Return the records that rows of `predictions` were made of."""
    names = [field.name for field in msgspec.structs.fields(PredictionRecord)]
    records = []
    for row in rows.select(names).to_pylist():
        for name in _NESTED:
            row[name] = _from_json(row[name])
        row["trace_id"] = row["trace_id"] or ""  # null in rows from before there was the column
        row["cached"] = bool(row["cached"])  # null where the column came later
        records.append(PredictionRecord(**row))
    return records


def _rows(placed: Iterable[Placed], schema: pa.Schema) -> pa.Table:
    items = list(placed)
    columns: dict[str, list[Any]] = {}
    for name in schema.names[:-2]:
        values = [getattr(record, name) for _, _, record in items]
        columns[name] = [_to_json(value) for value in values] if name in _NESTED else values
    columns[SEQ] = [seq for seq, _, _ in items]
    columns[SEGMENT] = [segment for _, segment, _ in items]
    return pa.table(columns, schema=schema)


def _to_json(value: Any) -> str:
    parts = value.values() if isinstance(value, dict) else value
    if any(isinstance(part, float) and not math.isfinite(part) for part in parts):
        value = _mapped(value, _wrap)
    return msgspec.json.encode(value).decode()


def _from_json(text: str) -> Any:
    value = msgspec.json.decode(text)
    return _mapped(value, _unwrap) if '{"float":' in text else value


def _wrap(part: Any) -> Any:
    """JSON has no NaN, and null is another thing: NaN poisons an aggregate, null is skipped."""
    return {"float": str(part)} if isinstance(part, float) and not math.isfinite(part) else part


def _unwrap(part: Any) -> Any:
    return float(part["float"]) if isinstance(part, dict) and list(part) == ["float"] else part


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: change(part) for key, part in value.items()}
    return [change(part) for part in value]
