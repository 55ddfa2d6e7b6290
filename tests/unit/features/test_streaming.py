"""The applier: views follow the rows, whoever asks and however many ask at once."""

import threading

import pyarrow as pa

import falaj as fj
from falaj.features.online import OnlineReader
from falaj.features.streaming import Applier
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
    assert not applier.wait_applied("tx", 3, timeout_s=0)
    assert applier.wait_applied("no views", 3, timeout_s=0)
    thread = threading.Thread(target=applier.catch_up, args=("tx",))
    thread.start()
    assert applier.wait_applied("tx", 3, timeout_s=30)
    thread.join()


def test_many_threads_apply_each_row_once() -> None:
    rows, kv = Rows(200), MemoryStore()
    applier = Applier(kv, rows.read_from, SPEC.views)
    threads = [threading.Thread(target=applier.catch_up, args=("tx",), kwargs={"limit": 7}) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert OnlineReader(kv).read(SPEC, [{"a": "1"}], [10_000]).values == [[200]]
