"""kill -9 after every commit of ingestion, landing and compaction: nothing is lost, nothing comes twice."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from falaj.data.predictions import Predictions
from falaj.data.quarantine import Quarantine
from falaj.definitions.prediction_record import FeedbackRecord, PredictionRecord
from falaj.governance.audit import list_records
from falaj.kernel.codec import to_msgpack
from falaj.storage.eventlog.segments import SegmentWriter
from support.data_room import EVENT_SCHEMA, DataRoom, event, event_file, pushed_source
from support.killed_data import PROGRAMS, environment, lives, reopened

TX = pushed_source()
ROWS = [event("a", 1), event("bad", 2, -1.0), event("c", 3), event("d", 4)]


def prepare_file(folder: Path) -> None:
    room = reopened(folder)
    room.events.accept(TX, EVENT_SCHEMA, [event("before", 0)])
    event_file(folder / "in" / "1.parquet", ROWS)
    room.close()


def ids(room: DataRoom) -> list[str]:
    return [row["id"] for row in room.read_all("tx", EVENT_SCHEMA, limit=3)]


def test_ingestion(tmp_path: Path) -> None:
    for folder in lives("ingest", tmp_path, 6, prepare_file):
        room = reopened(folder)
        room.events.accept(TX, EVENT_SCHEMA, [event("after", 9)])
        seen = ids(room)
        # All of the file or none of it; and what came after it only once the file is whole.
        assert seen in (["before"], ["before", "after"], ["before", "a", "c", "d", "after"])
        room.ingestion.recover()
        room.ingest(TX)
        assert ids(room)[:1] == ["before"]
        assert sorted(ids(room)) == ["a", "after", "before", "c", "d"]
        assert [id for id in ids(room) if id in "acd"] == ["a", "c", "d"]
        assert [row["id"] for row in room.table("tx")] == ["a", "c", "d"]
        assert [row["id"] for row in room.quarantine("tx")] == ["bad"]
        assert len({row["_ingest_seq"] for row in room.table("tx")}) == 3
        assert len(list_records(room.db)) == len(room.ingestion.files("tx")) == 1
        assert room.ingest(TX).rows == 0
        room.close()


def test_ingestion_without_recovery_by_its_next_run(tmp_path: Path) -> None:
    for folder in lives("ingest", tmp_path, 6, prepare_file):
        room = reopened(folder)
        event_file(
            folder / "in" / "0.parquet", [event("z", 7)]
        )  # it would come first, if the other were not on its way
        room.ingest(TX)
        assert sorted(ids(room)) == ["a", "before", "c", "d", "z"]
        assert len(room.quarantine("tx")) == 1
        room.close()


def test_ingestion_of_a_file_that_vanishes(tmp_path: Path) -> None:
    landed = []
    for folder in lives("ingest", tmp_path, 6, prepare_file):
        room = reopened(folder)
        (folder / "in" / "1.parquet").unlink()
        room.ingestion.recover()
        landed.append(len(room.table("tx")))
        assert ids(room) == (["before", "a", "c", "d"] if room.table("tx") else ["before"])
        assert {record.action for record in list_records(room.db)} <= {"source.ingest", "source.ingest_abandoned"}
        event_file(folder / "in" / "2.parquet", ROWS)  # the same content comes back
        room.ingest(TX)
        assert ids(room) == ["before", "a", "c", "d"]
        room.close()
    assert landed == [0, 0, 0, 0, 3, 3, 3]


def test_ingestion_of_a_file_that_changes(tmp_path: Path) -> None:
    for folder in lives("ingest", tmp_path, 6, prepare_file)[:4]:
        room = reopened(folder)
        event_file(folder / "in" / "1.parquet", [*ROWS, event("e", 5)])
        room.ingest(TX)
        assert ids(room) == ["before", "a", "c", "d", "e"]
        room.close()


def test_landing(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        room = reopened(folder)
        room.events.accept(TX, EVENT_SCHEMA, ROWS)
        room.log("tx").reserve(10)  # numbers that no event has: counting events must not stand for counting numbers
        room.close()

    for folder in lives("land", tmp_path, 4, prepare):
        room = reopened(folder)
        room.events.accept(TX, EVENT_SCHEMA, [event("e", 5)])  # the interrupted pass must not take it along
        assert ids(room) == ["a", "c", "d", "e"]
        room.events.truncate("tx", 100)
        while room.events.landed("tx") < room.reader.head("tx"):
            room.events.land("tx", EVENT_SCHEMA)
        room.events.truncate("tx", 100)
        assert [row["id"] for row in room.table("tx")] == ids(room) == ["a", "c", "d", "e"]
        assert [row["id"] for row in room.quarantine("tx")] == ["bad"]
        room.close()


def test_replay_of_what_was_refused(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        room = reopened(folder)
        room.events.accept(TX, EVENT_SCHEMA, [event("a", 1), event("b", 2, -1.0)])
        event_file(folder / "in" / "1.parquet", [event("c", 3, -1.0), event("d", 4)])
        room.ingest(TX)
        room.events.accept(TX, EVENT_SCHEMA, ["{"])
        room.close()

    for folder in lives("replay", tmp_path, 9, prepare):
        room = reopened(folder)
        room.events.accept(TX, EVENT_SCHEMA, [event("e", 5)])
        quarantine = Quarantine(room.tables, room.events, room.db, room.clock)
        for _ in range(2):
            quarantine.replay(pushed_source(checks=[]), EVENT_SCHEMA, "ada")
            assert sorted(ids(room)) == sorted(row["id"] for row in room.table("tx")) == ["a", "b", "c", "d", "e"]
            assert [row["_raw"] for row in quarantine.rows("tx", 10)] == ["{"]
            assert quarantine.count("tx") == (1, 2)
        room.close()


def prediction(request_id: str) -> PredictionRecord:
    return PredictionRecord(
        request_id, "", "fraud", "stable", "live", "fraud", 1, 1, "u", 1, 2, 3, {}, {}, [], {}, {}, 0.5
    )


def log_records(folder: Path, worker: str, *names: str) -> None:
    writer = SegmentWriter(folder / "segments", worker, fsync_ms=0)
    for name in names:
        writer.write([to_msgpack(prediction(name)), to_msgpack(FeedbackRecord(name, 1, 1, 1))])
    writer.close()


def test_compaction(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        reopened(folder).close()
        log_records(folder, "worker-0", "r1", "r2")
        log_records(folder, "worker-0", "r3")
        log_records(folder, "worker-1", "r4")

    for folder in lives("compact", tmp_path, 5, prepare):
        room = reopened(folder)
        log_records(folder, "worker-0", "r5")  # a restarted worker goes on before the compaction does
        predictions = Predictions(room.tables, folder / "segments", room.db)
        for name in ("r1", "r3", "r4", "r5"):
            assert predictions.find(name).request_id == name
        predictions.compact()
        rows, _ = predictions.scan()
        assert sorted(rows["request_id"].to_pylist()) == ["r1", "r2", "r3", "r4", "r5"]
        feedback, _ = predictions.scan_feedback()
        assert sorted(feedback["request_id"].to_pylist()) == ["r1", "r2", "r3", "r4", "r5"]
        assert len({*rows["_seq"].to_pylist(), *feedback["_seq"].to_pylist()}) == 10
        assert sorted(path.stem for path in (folder / "segments").iterdir()) == [
            "worker-0-00000003",
            "worker-1-00000001",
        ]
        room.close()


@pytest.mark.parametrize("acknowledged", [1, 23])
def test_no_acknowledged_event_is_lost(tmp_path: Path, acknowledged: int) -> None:
    command = [sys.executable, "-W", "error", str(PROGRAMS / "pushing.py"), str(tmp_path)]
    seen: list[tuple[int, int]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        for line in process.stdout:
            number, seq = line.split()
            seen.append((int(number), int(seq)))
            if len(seen) == acknowledged:
                process.send_signal(signal.SIGKILL)
    room = reopened(tmp_path)
    for _ in range(2):
        found = [(int(row["id"][1:]), row["_ingest_seq"]) for row in room.read_all("tx", EVENT_SCHEMA)]
        assert found[: len(seen)] == seen
        assert found == [(number, number + 1) for number in range(len(found))]
        room.events.land("tx", EVENT_SCHEMA)
    assert len(room.table("tx")) == len(found)
    room.close()
