"""EventFrame: one pushed event as the log keeps it, and frames as rows of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from falaj.data.columns import (
    CREATED,
    DIGEST,
    EVENT_TS,
    FILE,
    INGEST_SEQ,
    INGESTED_AT,
    INSTANT,
    RAW,
    REASONS,
    STREAM,
    quarantine_schema,
    rows_schema,
    stored_schema,
)
from falaj.data.event_row import row_text
from falaj.kernel.errors import CorruptionError, DataError


class EventFrame(msgspec.Struct, frozen=True, array_like=True):
    """One event.

    Attributes:
        at: When it came, in microseconds since 1970.
        event_ts: When it happened; None for a rejected one that does not say.
        created: When it became known; None where the source does not say.
        row: Column to value, instants in microseconds.
        reasons: Why it was rejected; None for an accepted one.
        raw: What a rejected one came as; empty where its row says it.
        replays: The number of the quarantined row of which this is a replay; 0 for an event that is new.
        file: Where that row came from, and
        digest: of what content; empty for a pushed event.
        partition: The partition of a feed that it was taken from; empty for an event that did not come by a feed.
        following: Where to go on in that partition after it.
    """

    at: int
    event_ts: int | None
    created: int | None
    row: dict[str, Any]
    reasons: list[str] | None = None
    raw: str = ""
    replays: int = 0
    file: str = ""
    digest: str = ""
    partition: str = ""
    following: int = 0


_DECODER = msgspec.msgpack.Decoder(EventFrame)

Numbered = tuple[int, EventFrame]


def decode_frames(source: str, payloads: Sequence[tuple[int, bytes]]) -> list[Numbered]:
    """Return the frames with their numbers.

    Raises:
        CorruptionError: A payload is not an event.
    """
    try:
        return [(seq, _DECODER.decode(payload)) for seq, payload in payloads]
    except msgspec.DecodeError as error:
        raise CorruptionError(
            f"the event log of source {source!r} holds what is no event between {payloads[0][0]} and "
            f"{payloads[-1][0]}: {error}",
            hint="restore the log from a backup",
        ) from None


def accepted_rows(source: str, schema: Mapping[str, str], frames: Sequence[Numbered]) -> pa.Table:
    """Return the accepted events as the source's table has them."""
    return _rows(source, schema, [numbered for numbered in frames if numbered[1].reasons is None])


def rejected_rows(source: str, schema: Mapping[str, str], frames: Sequence[Numbered]) -> pa.Table:
    """Return the rejected events as the quarantine table has them."""
    rejected = [numbered for numbered in frames if numbered[1].reasons is not None]
    rows = _rows(source, schema, rejected)
    reasons = pa.array([frame.reasons for _, frame in rejected], pa.list_(pa.string()))
    raw = pa.array([frame.raw or row_text(schema, frame.row) for _, frame in rejected], pa.string())
    return rows.append_column(REASONS, reasons).append_column(RAW, raw).select(quarantine_schema(schema).names)


def _rows(source: str, schema: Mapping[str, str], frames: Sequence[Numbered]) -> pa.Table:
    columns = []
    for field in rows_schema(schema):
        try:
            columns.append(pa.array([frame.row.get(field.name) for _, frame in frames], field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(
                f"source {source!r}: column {field.name!r} is {schema[field.name]} and the log has events of another "
                f"type: {error}",
                hint="give a column of another type another name",
            ) from None
    columns += [
        pa.array([frame.event_ts for _, frame in frames], INSTANT),
        pa.array([frame.created for _, frame in frames], INSTANT),
        pa.array([seq for seq, _ in frames], pa.int64()),
        pa.array([frame.file or STREAM for _, frame in frames], pa.string()),
        pa.array([frame.digest or f"log/{source}" for _, frame in frames], pa.string()),
        pa.array([frame.at for _, frame in frames], INSTANT),
    ]
    names = [*schema, EVENT_TS, CREATED, INGEST_SEQ, FILE, DIGEST, INGESTED_AT]
    return pa.table(dict(zip(names, columns, strict=True)), schema=stored_schema(schema))
