"""A full disk in the middle of ingestion and pushing: said plainly, nothing half done, and it goes on afterwards."""

from pathlib import Path

import pytest

from falaj.kernel.errors import DiskFull
from support.data_room import EVENT_SCHEMA, DataRoom, event, event_file, pushed_source
from support.storage_faults import room_for

TX = pushed_source()


@pytest.mark.parametrize("size_bytes", [1_000, 60_000, 130_000])
def test_ingestion(tmp_path: Path, size_bytes: int) -> None:
    room = DataRoom.embedded(tmp_path / ".falaj", tmp_path)
    rows = [event(f"{number:x}" * 3, number) for number in range(20_000)]
    event_file(tmp_path / "in" / "1.parquet", rows)
    with room_for(size_bytes), pytest.raises(DiskFull):
        room.ingest(TX)
    assert room.read_all("tx", EVENT_SCHEMA) == []
    room.ingest(TX)
    assert len(room.read_all("tx", EVENT_SCHEMA, limit=50_000)) == len(room.table("tx")) == 20_000
    room.close()


def test_pushing(tmp_path: Path) -> None:
    room = DataRoom.embedded(tmp_path / ".falaj", tmp_path)
    kept = 0
    with room_for(50_000), pytest.raises(DiskFull):
        while True:
            room.events.accept(TX, EVENT_SCHEMA, [event(f"{kept}-{i}" * 9, i) for i in range(100)])
            kept += 100
    assert len(room.read_all("tx", EVENT_SCHEMA)) == kept
    room.events.accept(TX, EVENT_SCHEMA, [event("later", 1)])
    rows = room.read_all("tx", EVENT_SCHEMA)
    assert [row["_ingest_seq"] for row in rows] == list(range(1, kept + 2))
    room.close()
