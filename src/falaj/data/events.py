"""Events: pushed rows, checked, numbered and durable before they are acknowledged; and their way into the table."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from falaj.data import provenance
from falaj.data.columns import quarantine_table, rows_schema, source_table
from falaj.data.event_frame import EventFrame, Numbered, accepted_rows, decode_frames, rejected_rows
from falaj.data.event_row import checked_row
from falaj.data.quality import Rules
from falaj.data.reader import Logs
from falaj.definitions.source import Source
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.codec import to_msgpack
from falaj.kernel.errors import InputError
from falaj.storage.metadata.database import Database
from falaj.storage.tables.port import TableStore

WRITER = "land"
"""The name under which the tables keep landing's own growing number."""


class Accepted(msgspec.Struct, frozen=True):
    """What became of pushed events; all of it is durable.

    Attributes:
        first_seq: The number of the first accepted event; the others follow without gaps. 0 when none was accepted.
        count: How many were accepted.
        rejected: Index within the push and reasons of each event that went to quarantine.
        warnings: Reason to number of events that a warning check found.
    """

    first_seq: int
    count: int
    rejected: list[tuple[int, list[str]]]
    warnings: dict[str, int] = {}

    @property
    def last_seq(self) -> int:
        """The number of the last accepted event: a view that applied it shows the push. 0 when none was accepted."""
        return self.first_seq + self.count - 1 if self.count else 0


class Events:
    """The pushed events of all sources.

    Args:
        tables: The tables.
        logs: Gives a source's event log.
        db: The metadata database.
        clock: Says when an event came.
    """

    def __init__(self, tables: TableStore, logs: Logs, db: Database, clock: Clock) -> None:
        self._tables = tables
        self._logs = logs
        self._db = db
        self._clock = clock
        self._turn = threading.Lock()

    def accept(self, source: Source, schema: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Accepted:
        """Check events and log them; returns when they are durable. The caller has authorised `source.push`.

        Timestamps are RFC 3339 text with a zone, aware datetimes, or whole microseconds since 1970.

        Raises:
            InputError: The source takes no events; an event has an unknown field, a value of another type, or no
                timestamp. The message has the event's index and the field, and no event of the push was kept.
            DiskFull: No space is left; no event was kept.
        """
        if source.stream is None:
            raise InputError(f"source {source.name!r} takes no events", hint="declare it with stream=fj.Push()")
        if not rows:
            return Accepted(0, 0, [])
        checked = [checked_row(source, schema, index, row) for index, row in enumerate(rows)]
        columns = {name: [row.get(name) for row in checked] for name in schema}
        judged = Rules(source, schema).judge(pa.table(columns, schema=rows_schema(schema)))
        places = [place for place, rejected in enumerate(judged.rejected.to_pylist()) if rejected]
        rejected = list(zip(places, judged.reasons, strict=True))
        refused = set(places)
        at = to_us(self._clock.now())
        frames = [_frame(source, at, row, None) for place, row in enumerate(checked) if place not in refused]
        count = len(frames)
        frames += [_frame(source, at, checked[place], reasons) for place, reasons in rejected]
        first_seq = self._logs(source.name).append([to_msgpack(frame) for frame in frames])
        return Accepted(first_seq if count else 0, count, rejected, judged.warnings)

    def land(self, source: str, schema: Mapping[str, str], *, limit: int = 100_000) -> int:
        """Move logged events to the source's tables, each exactly once, and return the last number landed.

        One pass moves at most `limit` events; call it until the number stays.
        """
        with self._turn:
            landed, landing = self._landing(source)
            if landing == landed:
                landing = self._next_stop(source, landed, limit)
                if landing == landed:
                    return landed
                self._note(source, landed, landing)
            # From here on a crash is followed by the same pass: each commit bears the same number.
            frames = self._frames(source, landed, landing)
            rejected = rejected_rows(source, schema, frames)
            if rejected.num_rows:
                self._tables.append(quarantine_table(source), rejected, app=(WRITER, landing))
            accepted = accepted_rows(source, schema, frames)
            if accepted.num_rows:
                self._tables.append(source_table(source), accepted, app=(WRITER, landing))
            self._note(source, landing, landing)
            return landing

    def landed(self, source: str) -> int:
        """Return the number up to which every event of the log is in the tables."""
        return self._landing(source)[0]

    def truncate(self, source: str, applied_seq: int) -> None:
        """Let the log forget events that have landed and that every view has applied.

        Args:
            source: The source's name.
            applied_seq: The least last-applied number over the source's views.
        """
        self._logs(source).truncate_before(min(self.landed(source), applied_seq) + 1)

    def _next_stop(self, source: str, landed: int, limit: int) -> int:
        log = self._logs(source)
        end = log.next_seq() - 1
        payloads = log.read(landed + 1, limit)
        return payloads[-1][0] if len(payloads) == limit else max(end, landed)

    def _frames(self, source: str, landed: int, landing: int) -> list[Numbered]:
        payloads = self._logs(source).read(landed + 1, landing - landed)
        return decode_frames(source, [(seq, payload) for seq, payload in payloads if seq <= landing])

    def _landing(self, source: str) -> tuple[int, int]:
        with self._db.read() as connection:
            return provenance.landing(connection, source)

    def _note(self, source: str, landed: int, landing: int) -> None:
        with self._db.write() as connection:
            provenance.set_landing(connection, source, landed, landing)


def _frame(source: Source, at: int, row: dict[str, Any], reasons: list[str] | None) -> EventFrame:
    event_ts = 0 if source.timestamp is None else row[source.timestamp]
    created = None if source.created is None else row.get(source.created)
    return EventFrame(at, event_ts, created, row, reasons)
