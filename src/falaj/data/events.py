"""Events: pushed rows, checked, numbered and durable before they are acknowledged; and their way into the tables."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from falaj.data import feed_position, provenance
from falaj.data.columns import quarantine_table, rows_schema, source_table
from falaj.data.event_frame import EventFrame, Numbered, accepted_rows, decode_frames, rejected_rows
from falaj.data.event_row import raw_event, read_event
from falaj.data.quality import Rules
from falaj.data.reader import Logs
from falaj.definitions.source import Push, Source
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.codec import to_msgpack
from falaj.kernel.errors import InputError
from falaj.storage.feeds import Batch, Payload
from falaj.storage.metadata.database import Database
from falaj.storage.tables.port import TableStore

_READ_EVENTS = 10_000

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


class Taken(msgspec.Struct, frozen=True):
    """What became of events that came by a feed; all of it is durable.

    Attributes:
        accepted: How many were accepted.
        refused: How many went to quarantine.
        known: How many had been taken before and were passed over.
        last_seq: The number of the last one; 0 when all were known.
    """

    accepted: int = 0
    refused: int = 0
    known: int = 0
    last_seq: int = 0

    @property
    def count(self) -> int:
        """How many payloads the feed gave."""
        return self.accepted + self.refused + self.known


class Events:
    """The events of all sources, pushed or taken from feeds.

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
        self._last_landed: dict[str, int] = {}
        self._taking = threading.Lock()
        self._taken: dict[str, dict[str, int]] = {}

    def accept(self, source: Source, schema: Mapping[str, str], events: Sequence[object]) -> Accepted:
        """Check events and log them; returns when they are durable. The caller has authorised `source.push`.

        Timestamps are RFC 3339 text with a zone, or aware datetimes. An event that is
        malformed (no object of fields, an unknown field, a value of another type, no timestamp) or that breaks a check
        goes to quarantine as it came, with the reasons; the others are accepted.

        Args:
            source: The definition.
            schema: Column to dtype.
            events: Objects of fields, or the text of such as JSON.

        Raises:
            InputError: The source takes no events.
            DiskFull: No space is left; no event was kept.
        """
        if source.stream is None:
            raise InputError(f"source {source.name!r} takes no events", hint="declare it with stream=fj.Push()")
        if not isinstance(source.stream, Push):
            raise InputError(
                f"source {source.name!r} takes no pushes: it follows {source.stream.path}",
                hint="append events to one of those files, or declare it with stream=fj.Push()",
            )
        if not events:
            return Accepted(0, 0, [])
        read = [(event, *read_event(source, schema, event)) for event in events]
        accepted, rejected, warnings = self._judge(source, schema, read)
        return self._log(source, accepted, rejected, warnings)

    def take(self, source: Source, schema: Mapping[str, str], batches: Sequence[Batch]) -> Taken:
        """Check a feed's payloads and log them, each exactly once; returns when they are durable.

        The events and where to go on after them are one append. A payload that lies before that is passed over, so a
        feed that gives something again does no harm. What is refused goes to quarantine, as by `accept`.

        Args:
            source: The definition.
            schema: Column to dtype.
            batches: What the feed gave.

        Raises:
            DiskFull: No space is left; nothing of the batches was kept, and the feed has to `seek` to `positions`.
        """
        with self._taking:
            taken = self._taken[source.name] = self.positions(source.name)
            fresh = [(b, p) for b in batches for p in b.payloads if p.position >= taken.get(b.partition, 0)]
            known = sum(len(batch.payloads) for batch in batches) - len(fresh)
            if not fresh:
                return Taken(known=known)
            texts = [payload.data.decode(errors="backslashreplace") for _, payload in fresh]
            accepted, rejected, _ = self._judge(source, schema, [(t, *read_event(source, schema, t)) for t in texts])
            good = iter(accepted)
            # In the feed's order: what a power cut leaves of an append is its beginning, and its last event must not
            # say that one was taken which is gone.
            frames = [
                _taken_frame(rejected[place] if place in rejected else next(good), batch, payload)
                for place, (batch, payload) in enumerate(fresh)
            ]
            first_seq = self.append(source.name, frames)
            self._taken[source.name] = taken | feed_position.latest_positions(frames)
            return Taken(len(accepted), len(rejected), known, first_seq + len(frames) - 1)

    def positions(self, source: str) -> dict[str, int]:
        """Return partition to where to go on, after the last event of it that is durable."""
        known = self._taken.get(source)
        if known is not None:  # whoever took last is the only one that takes
            return dict(known)
        with self._turn:  # what lands meanwhile could leave the log before it is read
            with self._db.read() as connection:
                found = feed_position.positions(connection, source)
                seq = provenance.landing(connection, source)[0] + 1
            log = self._logs(source)
            while payloads := log.read(seq, _READ_EVENTS):
                found |= feed_position.latest_positions(frame for _, frame in decode_frames(source, payloads))
                seq = payloads[-1][0] + 1
            return found

    def _judge(
        self, source: Source, schema: Mapping[str, str], read: Sequence[tuple[object, dict[str, Any], list[str]]]
    ) -> tuple[list[EventFrame], dict[int, EventFrame], dict[str, int]]:
        at = to_us(self._clock.now())
        formed = [place for place, (_, _, reasons) in enumerate(read) if not reasons]
        rows = [read[place][1] for place in formed]
        columns = {name: [row.get(name) for row in rows] for name in schema}
        judged = Rules(source, schema).judge(pa.table(columns, schema=rows_schema(schema)))
        failed = [place for place, bad in zip(formed, judged.rejected.to_pylist(), strict=True) if bad]
        reasons_of = dict(zip(failed, judged.reasons, strict=True))
        rejected = {}
        for place, (event, row, reasons) in enumerate(read):
            if reasons:
                rejected[place] = make_frame(source, at, row, reasons, raw=raw_event(event))
            elif place in reasons_of:
                rejected[place] = make_frame(source, at, row, reasons_of[place])
        accepted = [make_frame(source, at, read[place][1], None) for place in formed if place not in rejected]
        return accepted, rejected, judged.warnings

    def _log(
        self, source: Source, accepted: list[EventFrame], rejected: dict[int, EventFrame], warnings: dict[str, int]
    ) -> Accepted:
        payloads = [to_msgpack(frame) for frame in (*accepted, *rejected.values())]
        first_seq = self._logs(source.name).append(payloads)
        reasons = [(place, frame.reasons or []) for place, frame in rejected.items()]
        return Accepted(first_seq if accepted else 0, len(accepted), reasons, warnings)

    def append(self, source: str, frames: Sequence[EventFrame]) -> int:
        """Log frames that were judged elsewhere, durably, and return the first one's number."""
        return self._logs(source).append([to_msgpack(frame) for frame in frames])

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
            replays = [(frame.replays, seq, frame.reasons is None) for seq, frame in frames if frame.replays]
            positions = feed_position.latest_positions(frame for _, frame in frames)
            with self._db.write() as connection:
                provenance.note_replays(connection, source, replays)
                feed_position.set_positions(connection, source, positions)
                provenance.set_landing(connection, source, landing, landing)
            self._last_landed[source] = landing
            return landing

    def land_all(self, source: str, schema: Mapping[str, str]) -> int:
        """Move every event logged until now to the source's tables, and return the last number landed."""
        landed, head = self.landed(source), self._logs(source).next_seq() - 1
        # Not until nothing is left: while events keep coming that would be one small commit after the other, for ever.
        while landed < head and (now := self.land(source, schema)) > landed:
            landed = now
        return landed

    def landed(self, source: str) -> int:
        """Return the number up to which every event of the log is in the tables."""
        self._last_landed[source] = landed = self._landing(source)[0]
        return landed

    def last_landed(self, source: str) -> int:
        """Return what `landed` was when somebody last asked, or 0, without asking the database."""
        return self._last_landed.get(source, 0)

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


def make_frame(source: Source, at: int, row: dict[str, Any], reasons: list[str] | None, *, raw: str = "") -> EventFrame:
    """Return a frame of one event's fields.

    Args:
        source: The definition.
        at: When the event came, in microseconds since 1970.
        row: Its fields, instants in microseconds.
        reasons: Why it is rejected; None when it is not.
        raw: What it came as, where the row does not say it.
    """
    event_ts = 0 if source.timestamp is None else row.get(source.timestamp)
    created = None if source.created is None else row.get(source.created)
    return EventFrame(at, event_ts, created, row, reasons, raw)


def _taken_frame(frame: EventFrame, batch: Batch, payload: Payload) -> EventFrame:
    """Return the frame of an event with the place that it was taken from."""
    reasons = frame.reasons and [*frame.reasons, feed_position.came_from(batch.place, payload.position)]
    return msgspec.structs.replace(frame, reasons=reasons, partition=batch.partition, following=payload.following)
