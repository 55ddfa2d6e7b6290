"""Streaming: keep the online views of a source up with its rows, the fresh ones and those of the past side by side."""

import threading
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from falaj.definitions.service_spec import ViewSpec
from falaj.features.freshness import Freshness
from falaj.features.materialise import CHUNK_ROWS, Progress, apply_batch, read_progress
from falaj.features.reread import ReadFrom, Rereading
from falaj.features.rows import INGEST_SEQ
from falaj.features.turns import Turns
from falaj.kernel.clock import Clock, SystemClock, to_us
from falaj.storage.keyvalue.port import KeyValueStore

BACKFILL_ROWS = 100_000
"""Rows of one write of a backfill: a fresh event waits for the write, though not for the work before it."""


class _Line:
    """The views of one source, and who works on them.

    Live views and those that are behind are never the same, so both may be worked on at once: `turns` is for the live
    ones, `backfilling` for the others.
    """

    def __init__(self, clock: Clock) -> None:
        self.views: tuple[ViewSpec, ...] = ()
        self.at: dict[str, Progress] = {}
        self.turns = Turns(clock)
        self.backfilling = threading.Lock()
        self.in_backfill: frozenset[str] = frozenset()
        self.past: tuple[pa.Table, int, int] | None = None


class Applier:
    """Applies a source's rows to its views; the only writer of the online store's records.

    Views that have the newest rows are *live*. Others, such as one that was just applied, are *behind*: they are
    backfilled beside the live ones, which go on meanwhile. Each write has a view's records and its number together, so
    there is neither a gap nor a double count where the past meets the present.

    Safe to share between threads.

    Args:
        kv: The online store.
        read_from: Gives rows.
        views: The views in force, those that older versions still serve among them.
        clock: Measures how long to wait, and says when a row became visible.
        chunk_rows: Rows to read and write at once.
    """

    def __init__(
        self,
        kv: KeyValueStore,
        read_from: ReadFrom,
        views: Iterable[ViewSpec] = (),
        clock: Clock | None = None,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        self._kv = kv
        self._read_from = read_from
        self._clock = clock or SystemClock()
        self._chunk_rows = chunk_rows
        self._reread = Rereading(read_from)
        self._wanted = threading.Event()
        self._lines: dict[str, _Line] = {}
        self.freshness = Freshness()
        self.set_views(views)

    def set_views(self, views: Iterable[ViewSpec]) -> None:
        """Replace the views; equal definitions count once. New ones are behind until they are backfilled."""
        by_source: dict[str, dict[str, ViewSpec]] = {source: {} for source in self._lines}
        for view in views:
            by_source.setdefault(view.source, {})[view.digest] = view
        lines = dict(self._lines)
        for source, distinct in by_source.items():
            line = lines.setdefault(source, _Line(self._clock))
            with line.turns.take():
                line.views = tuple(distinct.values())
                self._look(line)
        self._lines = lines
        self.freshness.keep({digest for distinct in by_source.values() for digest in distinct})

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that have views."""
        return tuple(source for source, line in self._lines.items() if line.views)

    def views(self, source: str) -> list[tuple[ViewSpec, Progress]]:
        """Return the source's views, each with how far it is."""
        line = self._lines.get(source)
        return [] if line is None else [(v, line.at[v.digest]) for v in line.views if v.digest in line.at]

    def applied_seq(self, source: str) -> int | None:
        """Return the number up to which every view of the source is, as the store says; None when it has no views."""
        line = self._lines.get(source)
        views = () if line is None else line.views
        return min((progress.applied_seq for progress in read_progress(self._kv, views)), default=None)

    def live_seq(self, source: str) -> int | None:
        """Return the number up to which the source's live views are; None when it has no views."""
        return max((progress.applied_seq for _, progress in self.views(source)), default=None)

    def behind(self, source: str) -> list[ViewSpec]:
        """Return the views that are still being backfilled."""
        live = self.live_seq(source)
        return [view for view, progress in self.views(source) if progress.applied_seq != live]

    def advance(
        self, source: str, *, limit: int | None = None, on_chunk: Callable[[int], None] = lambda _through: None
    ) -> int:
        """Apply all new rows to the source's live views; those that are behind stay where they are.

        Args:
            source: The source's name.
            limit: Rows to read and write at once; those of the applier by default.
            on_chunk: Called with the live views' number after each write.

        Returns:
            The number up to which the live views now are; 0 when the source has no views.
        """
        while self.advance_once(source, limit=limit):
            on_chunk(self.live_seq(source) or 0)
        return self.live_seq(source) or 0

    def advance_once(self, source: str, *, limit: int | None = None) -> bool:
        """Apply the next new rows to the source's live views; return whether there were any."""
        line = self._lines.get(source)
        if line is None:
            return False
        with line.turns.take():
            return self._advance(source, line, limit or self._chunk_rows)

    def backfill(self, source: str, *, limit: int = BACKFILL_ROWS) -> bool:
        """Bring the views that are behind a little further; return whether they moved.

        Args:
            source: The source's name.
            limit: Rows to write at once.
        """
        line = self._lines.get(source)
        if line is None or not self.behind(source):
            return False
        with line.backfilling:
            with line.turns.take():  # where live and past views part is decided while neither moves
                self._look(line)
                live, late = self.live_seq(source) or 0, self.behind(source)
                # Here too: once the turn is over, the views may be replaced by others.
                applied = min((line.at[view.digest].applied_seq for view in late), default=0)
                line.in_backfill = frozenset(view.digest for view in late)
            try:
                return bool(late) and self._backfill(source, line, late, (applied, live), limit)
            finally:
                line.in_backfill = frozenset()

    def catch_up(
        self,
        source: str,
        *,
        limit: int | None = None,
        within_s: float | None = None,
        on_chunk: Callable[[int], None] = lambda _through: None,
    ) -> int:
        """Apply all rows there are to all the source's views, each from where it stands.

        Args:
            source: The source's name.
            limit: Rows to read and write at once.
            within_s: Begin no further write after so many seconds; None to go on to the end.
            on_chunk: Called with the number that every view has after each write.

        Returns:
            The number up to which every view of the source now is; 0 when it has no views.
        """
        deadline = None if within_s is None else self._clock.monotonic() + within_s
        while self.advance_once(source, limit=limit) or self.backfill(source, limit=limit or BACKFILL_ROWS):
            on_chunk(self.applied_seq(source) or 0)
            if deadline is not None and self._clock.monotonic() >= deadline:
                break
        return self.applied_seq(source) or 0

    def show(self, source: str, seq: int, timeout_s: float) -> bool:
        """Return once the next read of the live views sees the rows up to a number.

        This thread applies them, or waits for the one that is at it: a hand-over less on the way to fresh features.

        Returns:
            Whether they do; False when the time is over first. True for a source without views.
        """
        line = self._lines.get(source)
        if line is None:
            return True
        deadline, moved = self._clock.monotonic() + timeout_s, True

        def shows() -> bool:
            live = self.live_seq(source)
            return live is None or live >= seq

        while moved and not shows():
            with line.turns.take(unless=shows, within_s=deadline - self._clock.monotonic()) as mine:
                moved = mine and self._advance(source, line, self._chunk_rows)
        # What stands before them and is not whole yet, a file on its way, is for another thread to finish.
        return line.turns.wait(shows, deadline - self._clock.monotonic())

    def wake(self) -> None:
        """Say that there are new rows, to the thread that waits for them."""
        self._wanted.set()

    def wait_for_rows(self, timeout_s: float) -> None:
        """Return when somebody says that there are new rows, or after the time."""
        self._wanted.wait(timeout_s)
        self._wanted.clear()

    def _look(self, line: _Line) -> None:
        """See in the store how far the views are: it may have been emptied meanwhile."""
        found = read_progress(self._kv, line.views)
        line.at = {view.digest: progress for view, progress in zip(line.views, found, strict=True)}

    def _advance(self, source: str, line: _Line, limit: int) -> bool:
        self._look(line)
        live = self.live_seq(source)
        if live is None:
            return False
        views = [v for v, p in self.views(source) if p.applied_seq == live and v.digest not in line.in_backfill]
        table, through = self._read_from(source, live + 1, limit)
        if not views or through <= live:
            return False
        apply_batch(self._kv, views, table, through, after_seq=live, chunk_rows=limit, reread=self._reread)
        self._look(line)
        self.freshness.observe(views, table, to_us(self._clock.now()))
        return True

    def _backfill(self, source: str, line: _Line, late: Sequence[ViewSpec], span: tuple[int, int], limit: int) -> bool:
        applied, live = span
        # Read at once and written bit by bit: a table is not searched anew for each write.
        if line.past is None or line.past[1] != applied:
            table, through = self._read_from(source, applied + 1, self._chunk_rows)
        else:
            table, _, through = line.past
        if through <= applied:
            return False
        chunk, rest = table.slice(0, limit), table.slice(limit)
        reached = int(chunk[INGEST_SEQ][-1].as_py()) if rest.num_rows else through
        if reached > live:  # they must not overtake the live ones
            chunk = chunk.filter(chunk[INGEST_SEQ].to_numpy() <= live)
            reached, rest = live, rest.slice(0, 0)
        apply_batch(self._kv, late, chunk, reached, after_seq=applied, reread=self._reread)
        line.past = (rest, reached, through) if rest.num_rows else None
        with line.turns.take():
            self._look(line)
        return True
