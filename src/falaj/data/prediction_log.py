"""Prediction log: the segments that gateways write, and how far each has been moved into tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.definitions.prediction_record import BlockRecord, EnsembleRecord, LogRecord
from falaj.kernel.codec import canonical_json
from falaj.kernel.errors import CorruptionError, NotFound
from falaj.storage.disk import flush_folder
from falaj.storage.eventlog.segments import FINISHED, OPEN, read_segment
from falaj.storage.metadata.schema import metadata

FRAME_BYTES = 8
"""What a segment adds to each record: its length and checksum."""

_ROW_BYTES = 300
"""What a decision's record takes beside its features: identifiers, names and numbers."""

_UNPACKED = 3
"""How much longer packed features get when they are numbers of their own."""

PREDICTION_SEGMENT = sa.Table(
    "prediction_segment",
    metadata,
    sa.Column("segment", sa.String, primary_key=True),
    sa.Column("compacted", sa.BigInteger, nullable=False),
)

PREDICTION_BATCH = sa.Table(
    "prediction_batch",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("first_seq", sa.BigInteger, nullable=False),
    sa.Column("records", sa.BigInteger, nullable=False),
    sa.Column("parts", sa.Text, nullable=False),
)
"""At most two rows: the last batch that is DONE, and one that is PENDING."""


class Part(msgspec.Struct, frozen=True):
    """A stretch of one segment, from the offset `begin` to the offset `end`."""

    segment: str
    begin: int
    end: int


class Batch(msgspec.Struct, frozen=True):
    """What one compaction moves: noted before, so that a repeat after a crash moves the same.

    Attributes:
        number: 1, 2, 3, …: the tables' app number.
        first_seq: The place of its first record.
        records: How many decisions and outcomes.
        parts: Where they are.
    """

    number: int
    first_seq: int
    records: int
    parts: list[Part]


_DECODER = msgspec.msgpack.Decoder(LogRecord)


def decode(segment: str, payload: bytes) -> Any:
    """Return the record.

    Raises:
        CorruptionError: The payload is none; the message names the segment.
    """
    try:
        record = _DECODER.decode(payload)
        if isinstance(record, BlockRecord):
            record.check()
        return record
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptionError(
            f"prediction log segment {segment!r} holds what is no record: {error}",
            hint="move the segment away and keep it; it is not used as it is",
        ) from None


def list_segments(folder: Path) -> list[str]:
    """Return the names of all segments, without their endings, oldest first."""
    return sorted({path.stem for path in folder.glob("*") if path.suffix in (OPEN, FINISHED)})


def read_part(folder: Path, segment: str, begin: int) -> tuple[list[bytes], int]:
    """Return the whole records of a segment from an offset on, and where they end; a growing one may be finished.

    Raises:
        NotFound: There is no such segment.
        CorruptionError: It is damaged.
    """
    for ending in (OPEN, FINISHED):
        try:
            return read_segment(folder / f"{segment}{ending}", begin)
        except NotFound:
            continue
    return read_segment(folder / f"{segment}{OPEN}", begin)


def records_of(folder: Path, parts: list[Part]) -> Iterator[tuple[str, Any]]:
    """Give the records of the parts with their segments, each member's decision on its own.

    A segment may be shorter than it was when its part was noted: a power cut takes what its writer had not flushed.

    Raises:
        CorruptionError: A segment is damaged.
    """
    for part in parts:
        at = part.begin
        for payload in read_part(folder, part.segment, part.begin)[0]:
            if at >= part.end:
                break
            at += FRAME_BYTES + len(payload)
            record = decode(part.segment, payload)
            if isinstance(record, EnsembleRecord):
                yield part.segment, record.decision
                for member in record.members:
                    yield part.segment, member
            else:
                yield part.segment, record


class Extent(msgspec.Struct):
    """How much is moved, or would be.

    Attributes:
        records: Decisions and outcomes.
        size_bytes: What they take, each row of a block as a record of its own.
    """

    records: int = 0
    size_bytes: int = 0

    def add(self, payload: bytes, record: Any) -> None:
        """Count one record of the log."""
        if isinstance(record, BlockRecord):
            self.records += record.rows
            self.size_bytes += record.rows * _ROW_BYTES + len(payload) * _UNPACKED
        elif isinstance(record, EnsembleRecord):
            self.records += 1 + len(record.members)
            self.size_bytes += FRAME_BYTES + len(payload)
        else:
            self.records += 1
            self.size_bytes += FRAME_BYTES + len(payload)


def measure(segment: str, payloads: list[bytes], begin: int, extent: Extent, most_bytes: int) -> int:
    """Count the records of a segment up to a bound, and return the offset where the counted ones end.

    Args:
        segment: Its name.
        payloads: Its whole records from the offset `begin` on.
        begin: That offset.
        extent: What is counted already; at least one record is counted on top.
        most_bytes: Where to stop: a segment of blocks holds far more than its size says.

    Raises:
        CorruptionError: A payload is no record.
    """
    end = begin
    for payload in payloads:
        extent.add(payload, decode(segment, payload))
        end += FRAME_BYTES + len(payload)
        if extent.size_bytes >= most_bytes:
            break
    return end


def compacted(connection: sa.Connection) -> dict[str, int]:
    """Return segment to the offset up to which it is in the tables."""
    rows = connection.execute(sa.select(PREDICTION_SEGMENT.c.segment, PREDICTION_SEGMENT.c.compacted))
    return {row.segment: row.compacted for row in rows}


def last_batch(connection: sa.Connection, state: str) -> Batch | None:
    """Return the last batch in a state, PENDING or DONE."""
    query = sa.select(PREDICTION_BATCH).where(PREDICTION_BATCH.c.state == state)
    row = connection.execute(query.order_by(PREDICTION_BATCH.c.number.desc()).limit(1)).first()
    if row is None:
        return None
    return Batch(row.number, row.first_seq, row.records, msgspec.json.decode(row.parts, type=list[Part]))


def begin_batch(connection: sa.Connection, records: int, parts: list[Part]) -> Batch | None:
    """Note what is about to be moved, or return None when another process has moved or is moving some of it."""
    done = compacted(connection)
    if last_batch(connection, "PENDING") is not None or any(done.get(part.segment, 0) != part.begin for part in parts):
        return None
    last = last_batch(connection, "DONE") or Batch(0, 1, 0, [])
    batch = Batch(last.number + 1, last.first_seq + last.records, records, parts)
    values = {"number": batch.number, "state": "PENDING", "first_seq": batch.first_seq, "records": records}
    connection.execute(PREDICTION_BATCH.insert().values(values | {"parts": canonical_json(parts).decode()}))
    return batch


def finish_batch(connection: sa.Connection, batch: Batch) -> bool:
    """Note that it was moved; return False when another process has noted that before."""
    number, state = PREDICTION_BATCH.c.number, PREDICTION_BATCH.c.state
    mine = PREDICTION_BATCH.update().where((number == batch.number) & (state == "PENDING"))
    if connection.execute(mine.values(state="DONE")).rowcount == 0:
        return False  # and the offsets may have gone on since: they must not be set back
    for part in batch.parts:
        row = PREDICTION_SEGMENT.c.segment == part.segment
        change = PREDICTION_SEGMENT.update().where(row).values(compacted=part.end)
        if connection.execute(change).rowcount == 0:
            connection.execute(PREDICTION_SEGMENT.insert().values(segment=part.segment, compacted=part.end))
    connection.execute(PREDICTION_BATCH.delete().where(number < batch.number))
    return True


def remove_compacted(connection: sa.Connection, folder: Path) -> list[str]:
    """Remove the finished segments whose every record is in the tables, and return their names.

    The last segment of each writer stays: the next one's number follows from it, and a number that came again would
    be taken for one that is compacted already.
    """
    done = compacted(connection)
    last = {name.rpartition("-")[0]: name for name in list_segments(folder)}
    removed = []
    for path in sorted(folder.glob(f"*{FINISHED}")):
        if path.stem not in last.values() and done.get(path.stem, 0) >= path.stat().st_size:
            path.unlink()
            removed.append(path.stem)
    if removed:
        flush_folder(folder)
        connection.execute(PREDICTION_SEGMENT.delete().where(PREDICTION_SEGMENT.c.segment.in_(removed)))
    return removed
