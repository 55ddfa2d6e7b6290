"""Streaming: keep the online views of a source up with its rows."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from falaj.definitions.service_spec import ViewSpec
from falaj.features.materialise import CHUNK_ROWS, apply_batch, read_progress
from falaj.kernel.clock import Clock, SystemClock
from falaj.storage.keyvalue.port import KeyValueStore


class ReadFrom(Protocol):
    """Gives a source's rows in the order of their numbers."""

    def __call__(self, source: str, seq: int, limit: int) -> tuple[pa.Table, int]:
        """Return at most `limit` rows numbered from `seq` on, and the last number that they account for.

        Without new rows that number may be `seq - 1`.
        """
        ...


class Applier:
    """Applies a source's rows to its views; the only writer of the online store's records.

    Safe to share between threads: one at a time applies, the others wait.

    Args:
        kv: The online store.
        read_from: Gives rows.
        views: The views in force, those that older versions still serve among them.
        clock: Measures how long to wait.
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
        self._turn = threading.RLock()
        self._moved = threading.Condition()
        self._views: dict[str, tuple[ViewSpec, ...]] = {}
        self.set_views(views)

    def set_views(self, views: Iterable[ViewSpec]) -> None:
        """Replace the views; equal definitions count once. New ones are backfilled by the next `catch_up`."""
        by_source: dict[str, dict[str, ViewSpec]] = {}
        for view in views:
            by_source.setdefault(view.source, {})[view.digest] = view
        with self._turn:
            self._views = {source: tuple(distinct.values()) for source, distinct in by_source.items()}

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that have views."""
        return tuple(self._views)

    def applied_seq(self, source: str) -> int | None:
        """Return the number up to which every view of the source is; None when it has no views."""
        views = self._views.get(source, ())
        return min((p.applied_seq for p in read_progress(self._kv, views)), default=None)

    def catch_up(
        self, source: str, *, limit: int | None = None, on_chunk: Callable[[int], None] = lambda _through: None
    ) -> int:
        """Apply all rows there are to the source's views, each from where it stands.

        Views that are behind, such as a new one, are brought up first; those ahead skip what they have.

        Args:
            source: The source's name.
            limit: Rows to read and write at once; those of the applier by default.
            on_chunk: Called with the applied number after each write.

        Returns:
            The number up to which every view of the source now is; 0 when it has no views.
        """
        limit = limit or self._chunk_rows
        with self._turn:
            while True:
                applied = self.applied_seq(source)
                if applied is None:
                    return 0
                table, through_seq = self._read_from(source, applied + 1, limit)
                if through_seq <= applied:
                    return applied
                views, reread = self._views[source], self._reread
                apply_batch(self._kv, views, table, through_seq, after_seq=applied, chunk_rows=limit, reread=reread)
                on_chunk(through_seq)
                with self._moved:
                    self._moved.notify_all()

    def _reread(self, view: ViewSpec, entities: Sequence[Mapping[str, Any]], through_seq: int) -> pa.Table:
        """Return every row of some entities, up to a number; rare, so it reads the source from its beginning."""
        wanted = [list(entity.values()) for entity in entities]
        names = [name for name, _ in view.keys]
        found, seq = [], 0
        while seq < through_seq:
            table, last = self._read_from(view.source, seq + 1, CHUNK_ROWS)
            if last <= seq:
                break
            keys = zip(*(table[name].to_pylist() for name in names), strict=True) if names else None
            mine = [True] * table.num_rows if keys is None else [list(key) in wanted for key in keys]
            found.append(table.filter(pa.array(mine, pa.bool_())))
            seq = last
        rows = pa.concat_tables(found)
        return rows.filter(pc.less_equal(rows["_ingest_seq"], through_seq))

    def wait_applied(self, source: str, seq: int, timeout_s: float) -> bool:
        """Wait until every view of the source holds the rows up to a number.

        Returns:
            Whether they do; False when the time is over first. True for a source without views.
        """
        deadline = self._clock.monotonic() + timeout_s
        with self._moved:
            while True:
                applied = self.applied_seq(source)
                if applied is None or applied >= seq:
                    return True
                left_s = deadline - self._clock.monotonic()
                if left_s <= 0:
                    return False
                self._moved.wait(left_s)
