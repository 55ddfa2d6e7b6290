"""The applier: views follow the rows, whoever asks and however many ask at once."""

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

import falaj as fj
from falaj.features.online import OnlineReader
from falaj.features.streaming import Applier
from falaj.kernel.clock import ManualClock, from_us
from falaj.storage.keyvalue.memory import MemoryStore
from support.feature_worlds import make_service, row, table

SPEC = make_service(n=fj.count(window="1s"), lateness="1h")


class Rows:
    """A source that grows."""

    def __init__(self, count: int = 0) -> None:
        self.rows = [row(f"e{i}", at=i) for i in range(count)]
        self.reads = 0

    def read_from(self, source: str, seq: int, limit: int) -> tuple[pa.Table, int]:
        assert source == "tx"
        self.reads += 1
        found = self.rows[seq - 1 : seq - 1 + limit]
        return table(found, first_seq=seq), seq - 1 + len(found)


def test_catch_up_reads_in_bounded_pieces_until_nothing_is_new() -> None:
    rows, kv = Rows(10), MemoryStore()
    applier = Applier(kv, rows.read_from, SPEC.views)
    marks: list[int] = []
    assert applier.catch_up("tx", limit=4, on_chunk=marks.append) == 10
    assert marks == [4, 8, 10]
    rows.rows.append(row("late", at=2))
    assert applier.catch_up("tx") == 11
    assert OnlineReader(kv).read(SPEC, [{"a": "1"}], [100]).values == [[11]]
    assert applier.catch_up("unknown") == 0


def test_a_new_view_is_backfilled_and_an_equal_one_counts_once() -> None:
    rows, kv = Rows(5), MemoryStore()
    applier = Applier(kv, rows.read_from, [*SPEC.views, *SPEC.views])
    applier.catch_up("tx")
    more = make_service(m=fj.count(window="2s"), lateness="1h")
    applier.set_views([*SPEC.views, *more.views])
    assert applier.applied_seq("tx") == 0
    assert applier.catch_up("tx") == 5
    assert OnlineReader(kv).read(more, [{"a": "1"}], [100]).values == [[5]]
    assert applier.sources == ("tx",)


def test_waiting_ends_when_another_thread_has_applied() -> None:
    rows = Rows(3)
    applier = Applier(MemoryStore(), rows.read_from, SPEC.views)
    assert not applier.show("tx", 4, timeout_s=0)  # the fourth row is not there yet
    assert applier.show("no views", 3, timeout_s=0)
    waiting = threading.Thread(target=lambda: shown.append(applier.show("tx", 4, timeout_s=30)))
    shown: list[bool] = []
    waiting.start()
    rows.rows.append(row("late", at=4))
    applier.advance("tx")
    waiting.join()
    assert shown == [True]


def test_many_threads_apply_each_row_once() -> None:
    rows, kv = Rows(200), MemoryStore()
    applier = Applier(kv, rows.read_from, SPEC.views)
    threads = [threading.Thread(target=applier.catch_up, args=("tx",), kwargs={"limit": 7}) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert OnlineReader(kv).read(SPEC, [{"a": "1"}], [10_000]).values == [[200]]


MORE = make_service(m=fj.count(window="2s"), lateness="1h")


class Gated(MemoryStore):
    """A store whose writes for one view wait until they may."""

    def __init__(self, namespace: bytes) -> None:
        super().__init__()
        self.namespace, self.reached, self.open = namespace, threading.Event(), threading.Event()

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes] = (),
        *,
        unchanged: Mapping[bytes, bytes | None] | None = None,
    ) -> None:
        puts = list(puts)
        if any(key.startswith(self.namespace) for key, _ in puts):
            self.reached.set()
            assert self.open.wait(60)
        super().write(puts, deletes, unchanged=unchanged)


def test_fresh_rows_are_shown_while_another_view_is_backfilled() -> None:
    rows, kv = Rows(50), Gated(MORE.views[0].namespace)
    applier = Applier(kv, rows.read_from, SPEC.views)
    applier.catch_up("tx")
    applier.set_views([*SPEC.views, *MORE.views])
    past = threading.Thread(target=applier.catch_up, args=("tx",))
    past.start()
    assert kv.reached.wait(60)
    rows.rows.append(row("fresh", at=50))
    assert applier.show("tx", 51, timeout_s=30)
    assert [view.digest for view in applier.behind("tx")] == [MORE.views[0].digest]
    assert OnlineReader(kv).read(SPEC, [{"a": "1"}], [100]).values == [[51]]
    kv.open.set()
    past.join()
    assert applier.behind("tx") == []
    assert OnlineReader(kv).read(MORE, [{"a": "1"}], [100]).values == [[51]]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["row", "advance", "backfill", "view"]), max_size=40), st.integers(1, 5))
def test_past_and_present_meet_without_a_gap_or_a_double_count(steps: list[str], limit: int) -> None:
    rows, kv = Rows(4), MemoryStore()
    applier = Applier(kv, rows.read_from, SPEC.views)
    for step in steps:
        if step == "row":
            rows.rows.append(row(f"e{len(rows.rows)}", at=len(rows.rows)))
        elif step == "advance":
            applier.advance_once("tx", limit=limit)
        elif step == "backfill":
            applier.backfill("tx", limit=limit)
        else:
            applier.set_views([*SPEC.views, *MORE.views])
    applier.set_views([*SPEC.views, *MORE.views])
    applier.catch_up("tx", limit=limit)
    for spec in (SPEC, MORE):
        assert OnlineReader(kv).read(spec, [{"a": "1"}], [10_000]).values == [[len(rows.rows)]]


def test_a_store_that_was_emptied_is_filled_anew() -> None:
    rows, kv = Rows(5), MemoryStore()
    applier = Applier(kv, rows.read_from, SPEC.views)
    applier.catch_up("tx")
    kv.write([], [key for key, _ in kv.scan(b"", 1_000)])
    rows.rows.append(row("later", at=9))
    assert applier.show("tx", 6, timeout_s=30)
    assert OnlineReader(kv).read(SPEC, [{"a": "1"}], [100]).values == [[6]]


def test_the_delay_of_pushed_rows_is_counted_once_they_are_visible() -> None:
    def arrived(source: str, seq: int, limit: int) -> tuple[pa.Table, int]:
        found, through = rows.read_from(source, seq, limit)
        count = found.num_rows
        at = pa.array([1_000_000] * count, pa.timestamp("us", "UTC"))
        origin = ["stream" if number % 2 else "file.parquet" for number in range(count)]
        return found.append_column("_ingested_at", at).append_column("_file", pa.array(origin, pa.string())), through

    rows, clock = Rows(10), ManualClock()
    clock.advance(1.004)
    applier = Applier(MemoryStore(), arrived, SPEC.views, clock)
    applier.catch_up("tx")
    delays = applier.freshness.of(SPEC.views[0])
    assert (delays.events, delays.total_us, delays.quantile_ms(0.99)) == (5, 20_000, 5.0)
    clock.set(from_us(0))  # a clock that was set back makes nothing fresher than fresh
    rows.rows.extend(Rows(2).rows)
    applier.catch_up("tx")
    assert (delays.events, delays.total_us) == (6, 20_000)


class Replacing(Applier):
    """Another thread replaces the views between the moment a backfill is decided on and its work."""

    def _backfill(self, *given: Any) -> bool:
        self.set_views(SPEC.views)
        return super()._backfill(*given)


def test_views_that_go_while_they_are_backfilled_stop_nobody() -> None:
    rows, kv = Rows(5), MemoryStore()
    applier = Replacing(kv, rows.read_from, SPEC.views)
    applier.catch_up("tx")
    applier.set_views([*SPEC.views, *make_service(m=fj.count(window="2s"), lateness="1h").views])
    assert applier.backfill("tx")
    assert [view.digest for view, _ in applier.views("tx")] == [SPEC.views[0].digest]
    assert applier.catch_up("tx") == 5
