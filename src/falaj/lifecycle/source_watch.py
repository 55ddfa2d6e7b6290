"""Watching sources: an alert while rows stop coming, or come with more faults than is allowed."""

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from falaj.data.columns import INGEST_SEQ, INGESTED_AT, REASONS, quarantine_table, source_table
from falaj.data.quality import Rules
from falaj.definitions.source import Source
from falaj.kernel.clock import to_us
from falaj.lifecycle.each import for_each
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring import alerts
from falaj.monitoring.source_quality import QUALITY, Share, judge_freshness, judge_rows
from falaj.monitoring.verdicts import latest_verdicts

_EVERY_S = 10.0
_NO_ROWS = -1


class SourceWatching:
    """Reconciler: looks now and then at the sources that say how they are watched.

    Args:
        rooms: The project.
    """

    name = "source_watching"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._next = 0.0
        self._arrived: dict[str, tuple[int | None, int | None]] = {}

    def run_pass(self, now: datetime) -> bool:
        """Look when it is time; a source that cannot be read keeps no other waiting."""
        if self._rooms.clock.monotonic() < self._next:
            return False
        self._next = self._rooms.clock.monotonic() + _EVERY_S
        watched = [source for source in self._rooms.definitions.sources.values() if source.watch is not None]
        return for_each(watched, lambda source: self._watch(source, to_us(now)))

    def _watch(self, source: Source, now_us: int) -> bool:
        assert source.watch is not None
        stale_after_us = source.watch.stale_after_us
        if stale_after_us is not None:
            last_us = self._last_arrival(source.name)
            if last_us is not None:
                alerts.report(self._rooms.db, judge_freshness(source.name, last_us, now_us, stale_after_us))
        return source.watch.judges_rows and judge_new_rows(self._rooms, source, now_us)

    def _last_arrival(self, source: str) -> int | None:
        """Return when the last row arrived; the table is read only when it changed."""
        version = self._rooms.tables.version(source_table(source))
        known = self._arrived.get(source)
        if known is None or known[0] != version:
            last = None
            if version is not None:
                arrived = self._rooms.tables.read(source_table(source)).to_table(columns=[INGESTED_AT])
                last = pc.max(arrived.column(INGESTED_AT)).as_py()
            known = self._arrived[source] = version, None if last is None else to_us(last)
        return known[1]


def judge_new_rows(rooms: Rooms, source: Source, now_us: int) -> bool:
    """Judge the rows that came since the last judgement, when they are enough; return whether it did.

    Each row is judged once: looking at the same rows again and again would find a bad share sooner or later. Where the
    last judgement stopped stands in its verdict.

    Args:
        rooms: The project.
        source: Its definition.
        now_us: The present, in microseconds.
    """
    assert source.watch is not None
    with rooms.db.read() as connection:
        kept = latest_verdicts(connection, kind=QUALITY, subject=source.name)
    through = int(kept[-1].verdict.evidence["through"]) if kept else _NO_ROWS
    newest = max(_newest(rooms, table) for table in _tables(source))
    if newest - through < source.watch.window:  # rows have numbers in their order: more cannot have come
        return False
    if not kept:
        through = newest - source.watch.window  # of a history, only its end
    accepted, refused = (_rows_after(rooms, table, through) for table in _tables(source))
    rows = (0 if accepted is None else accepted.num_rows) + (0 if refused is None else refused.num_rows)
    if rows < source.watch.window and kept:
        return False
    shares = _shares(rooms, source, accepted, refused)
    verdict = judge_rows(source.name, shares, rows, at_us=now_us, evidence={"through": newest})
    return alerts.report(rooms.db, verdict)


def _tables(source: Source) -> tuple[str, str]:
    return source_table(source.name), quarantine_table(source.name)


def _newest(rooms: Rooms, table: str) -> int:
    if rooms.tables.version(table) is None:
        return _NO_ROWS
    newest = pc.max(rooms.tables.read(table).to_table(columns=[INGEST_SEQ]).column(INGEST_SEQ)).as_py()
    return _NO_ROWS if newest is None else int(newest)


def _rows_after(rooms: Rooms, table: str, seq: int) -> pa.Table | None:
    if rooms.tables.version(table) is None:
        return None
    return rooms.tables.read(table).to_table(filter=ds.field(INGEST_SEQ) > seq)


def _shares(rooms: Rooms, source: Source, accepted: pa.Table | None, refused: pa.Table | None) -> list[Share]:
    """Count the faults: those for which rows were refused, those that only warn, and missing values."""
    assert source.watch is not None
    faults: dict[str, int] = {}
    if refused is not None:
        for one in pc.value_counts(pc.list_flatten(refused.column(REASONS))).to_pylist():
            faults[one["values"]] = one["counts"]
    schema = rooms.applied.document.schemas[source.name]
    if accepted is not None:
        for reason, number in Rules(source, schema).judge(accepted.select(list(schema))).warnings.items():
            faults[reason] = faults.get(reason, 0) + number
    shares = []
    if source.watch.max_failing is not None:
        shares = [Share(fault, number, source.watch.max_failing) for fault, number in sorted(faults.items())]
    for column, most in source.watch.max_missing.items():
        parts = [part.column(column).null_count for part in (accepted, refused) if part is not None]
        shares.append(Share(f"{column} is missing", sum(parts), most))
    return shares
