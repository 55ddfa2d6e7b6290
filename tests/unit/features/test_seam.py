"""The seam: a new view over an old source, while events keep coming, land, and are forgotten by the log."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import falaj as fj
from falaj.features.online import OnlineReader
from falaj.features.streaming import Applier
from falaj.storage.keyvalue.lmdb import LmdbStore
from support.data_room import DataRoom
from support.feature_worlds import SCHEMA, World, make_service, naive, row
from support.killed_views import SOURCE, sent

OLD = make_service(n=fj.count(window="1s"), lateness="1h")
NEW = make_service(s=fj.sum("points", window="1s"), m=fj.max("points", window="2s"), lateness="1h")
HISTORY, FRESH = 3_000, 1_500


def made(number: int) -> dict[str, Any]:
    """An event; each tenth comes again later, each seventh is late."""
    at = number - 900 if number % 7 == 0 else number
    return row(f"e{number - 10 if number % 10 == 9 else number}", at=at, a=str(number % 5), points=number % 100)


def test_a_new_view_has_neither_gap_nor_double_count_while_events_keep_coming(tmp_path: Path) -> None:
    room = DataRoom.embedded(tmp_path, tmp_path)
    kv = LmdbStore.open(tmp_path / "online", 0.1)

    def read_from(source: str, seq: int, limit: int) -> Any:
        return room.reader.read_from(source, SCHEMA, seq, limit)

    applier = Applier(kv, read_from, OLD.views)
    events = [made(number) for number in range(HISTORY + FRESH)]
    room.events.accept(SOURCE, SCHEMA, sent(events[:HISTORY]))
    applier.catch_up("tx")
    pushed, stop, failed = threading.Event(), threading.Event(), []

    def push() -> None:
        for start in range(HISTORY, HISTORY + FRESH, 25):
            done = room.events.accept(SOURCE, SCHEMA, sent(events[start : start + 25]))
            assert applier.show("tx", done.last_seq, timeout_s=60)
        pushed.set()

    def again(work: Callable[[], object]) -> None:
        while not stop.is_set():
            work()

    def land() -> None:
        room.events.truncate("tx", room.events.land("tx", SCHEMA, limit=300))

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
            pushed.set()
            raise

    works: list[Callable[[], None]] = [
        push,
        lambda: again(land),
        lambda: again(lambda: applier.backfill("tx", limit=100)),
        lambda: again(lambda: applier.advance_once("tx")),
        lambda: again(lambda: applier.set_views([*OLD.views, *NEW.views])),
    ]
    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    assert pushed.wait(120)
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    applier.catch_up("tx")
    questions = [({"a": str(key)}, at) for key in range(5) for at in (100, HISTORY, HISTORY + FRESH, 10_000)]
    for spec in (OLD, NEW):
        found = OnlineReader(kv).read(spec, [entity for entity, _ in questions], [at for _, at in questions])
        assert found.values == naive(World(spec, events, [], questions))
    assert applier.behind("tx") == []
    kv.close()
    room.close()
