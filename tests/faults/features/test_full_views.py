"""A full disk while views are applied and while refused rows are replayed: said plainly, and it goes on afterwards."""

from pathlib import Path
from typing import Any

import pytest

from falaj.data.quarantine import Quarantine
from falaj.features.online import OnlineReader
from falaj.features.streaming import Applier
from falaj.kernel.errors import DiskFull, Locked, StorageError
from falaj.storage.keyvalue.lmdb import LmdbStore
from support.data_room import EVENT_SCHEMA, DataRoom, event, pushed_source
from support.feature_worlds import SCHEMA, World, naive, row
from support.killed_views import OLD, SOURCE, sent
from support.storage_faults import room_for


def test_applying(tmp_path: Path) -> None:
    room = DataRoom.embedded(tmp_path, tmp_path)
    events = [row(f"e{number}", at=number, a=str(number % 400), country="x" * 50) for number in range(4_000)]
    room.events.accept(SOURCE, SCHEMA, sent(events))
    kv = LmdbStore.open(tmp_path / "online", 0.1)

    def read_from(source: str, seq: int, limit: int) -> Any:
        return room.reader.read_from(source, SCHEMA, seq, limit)

    applier = Applier(kv, read_from, OLD.views)
    with room_for(150_000), pytest.raises(StorageError):
        applier.advance("tx", limit=100)
    stopped = applier.applied_seq("tx")
    assert stopped is not None
    assert stopped < 4_000
    assert applier.catch_up("tx") == 4_000
    questions = [({"a": str(key)}, 10_000) for key in range(400)]
    found = OnlineReader(kv).read(OLD, [entity for entity, _ in questions], [at for _, at in questions])
    assert found.values == naive(World(OLD, events, [], questions))
    with pytest.raises(Locked):
        LmdbStore.open(tmp_path / "online", 0.1)  # a second writer is refused while the first is there
    kv.close()
    room.close()


def test_replaying(tmp_path: Path) -> None:
    room = DataRoom.embedded(tmp_path, tmp_path)
    tx, wider = pushed_source(), pushed_source(checks=[])
    room.events.accept(tx, EVENT_SCHEMA, [event(f"{number}" * 20, number, -1.0) for number in range(3_000)])
    while room.events.landed("tx") < 3_000:
        room.events.land("tx", EVENT_SCHEMA)
    quarantine = Quarantine(room.tables, room.events, room.db, room.clock)
    size = max(path.stat().st_size for path in (tmp_path / "log").rglob("*.log"))
    with room_for(size + 100_000), pytest.raises(DiskFull):
        quarantine.replay(wider, EVENT_SCHEMA, "ada")
    quarantine.replay(wider, EVENT_SCHEMA, "ada")
    assert quarantine.count("tx") == (0, 3_000)
    rows = room.table("tx")
    assert len(rows) == len({row["id"] for row in rows}) == 3_000
    room.close()
