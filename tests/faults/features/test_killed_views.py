"""kill -9 after every commit of pushing, applying and backfilling: the views show each event once, and none is lost."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from falaj.definitions.service_spec import ServiceSpec
from falaj.features.online import OnlineReader
from falaj.features.streaming import Applier
from falaj.storage.keyvalue.lmdb import LmdbStore
from support.data_room import DataRoom
from support.feature_worlds import SCHEMA, World, naive
from support.killed_views import EVENTS, NEW, OLD, QUESTIONS, SOURCE, sent

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def prepare(folder: Path) -> None:
    """A project whose old view has the first twenty events, some of them in the table already."""
    folder.mkdir(parents=True)
    room = DataRoom.embedded(folder, folder)
    room.events.accept(SOURCE, SCHEMA, sent(EVENTS[:20]))
    room.events.land("tx", SCHEMA, limit=8)
    kv = LmdbStore.open(folder / "online", 0.1)
    Applier(kv, lambda _, seq, limit: room.reader.read_from("tx", SCHEMA, seq, limit), OLD.views).catch_up("tx")
    kv.close()
    room.close()


@pytest.mark.parametrize(("work", "commits"), [("push", 7), ("backfill", 15)])
def test_every_event_counts_once_wherever_the_process_is_killed(tmp_path: Path, work: str, commits: int) -> None:
    prepare(tmp_path / "1")
    for number in range(2, commits + 2):
        shutil.copytree(tmp_path / "1", tmp_path / str(number))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / "dying_views.py"), work, str(tmp_path)],
        capture_output=True, text=True, env=environment, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == commits
    specs = [OLD, NEW] if work == "backfill" else [OLD]
    for number in range(1, commits + 2):
        come_back(tmp_path / str(number), specs)


def come_back(folder: Path, specs: list[ServiceSpec]) -> None:
    """Open what a killed process left, let the producer send again what it may not have heard of, and compare."""
    room = DataRoom.embedded(folder, folder)
    kv = LmdbStore.open(folder / "online", 0.1)

    def read_from(source: str, seq: int, limit: int) -> Any:
        return room.reader.read_from(source, SCHEMA, seq, limit)

    applier = Applier(kv, read_from, [view for spec in specs for view in spec.views])
    room.events.accept(SOURCE, SCHEMA, sent(EVENTS[20:]))
    applier.catch_up("tx", limit=3)
    while room.events.landed("tx") < room.reader.head("tx"):
        room.events.land("tx", SCHEMA, limit=9)
    entities, at = [entity for entity, _ in QUESTIONS], [instant for _, instant in QUESTIONS]
    for spec in specs:
        assert OnlineReader(kv).read(spec, entities, at).values == naive(World(spec, EVENTS, [], QUESTIONS))
    rows = room.table("tx")
    assert [row["_ingest_seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert {row["event"] for row in rows} == {row["event"] for row in EVENTS}
    kv.close()
    room.close()
