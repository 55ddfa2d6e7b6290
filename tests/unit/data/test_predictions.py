"""Predictions: from segments to tables exactly once, found, scanned and joined with outcomes."""

import json
import math
import os
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from falaj.data.prediction_log import Part, begin_batch, list_segments
from falaj.data.prediction_table import PREDICTIONS, block_rows, prediction_rows, to_records
from falaj.data.predictions import Predictions
from falaj.definitions.prediction_record import BlockRecord, EnsembleRecord, FeedbackRecord, LogRecord, PredictionRecord
from falaj.kernel.codec import to_msgpack
from falaj.kernel.errors import CorruptionError, NotFound
from falaj.storage.eventlog.segments import SegmentWriter
from falaj.storage.metadata.database import Database
from falaj.storage.tables.delta import DeltaTables
from falaj.storage.tables.memory import MemoryTables


def prediction(request_id: str, **changes: Any) -> PredictionRecord:
    fields: dict[str, Any] = {
        "client_id": "", "endpoint": "fraud", "variant": "stable", "role": "live", "model": "fraud", "version": 3,
        "epoch": 7, "unit": "c1", "at_us": 10, "received_us": 11, "latency_us": 12, "entities": {"card": "c1"},
        "request": {"amount": 5.5}, "features": [1, 2.5, None, "AE", True], "statuses": {"view": "PRESENT"},
        "applied_seq": {"view": 99}, "score": 0.25, "actor": "shop",
    }  # fmt: skip
    return PredictionRecord(request_id, **(fields | changes))


class World:
    def __init__(self, folder: Path, tables: MemoryTables | DeltaTables) -> None:
        self.folder = folder / "segments"
        self.tables = tables
        self.db = Database.memory()
        self.db.create_all()
        self.predictions = Predictions(tables, self.folder, self.db)
        self._writers: dict[str, SegmentWriter] = {}

    def log(self, *records: LogRecord, worker: str = "worker-0", max_bytes: int = 1 << 20) -> None:
        if worker not in self._writers:
            self._writers[worker] = SegmentWriter(self.folder, worker, max_bytes, fsync_ms=0)
        self._writers[worker].write([to_msgpack(record) for record in records])

    def finish(self, worker: str = "worker-0") -> None:
        self._writers.pop(worker).close()

    def ids(self) -> list[str]:
        rows, _ = self.predictions.scan()
        found: list[str] = rows["request_id"].to_pylist()
        return found

    def close(self) -> None:
        for worker in list(self._writers):
            self.finish(worker)
        self.db.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, MemoryTables())
    yield made
    made.close()


def test_records_come_back_as_they_were(world: World) -> None:
    odd = prediction("r2", features=[math.nan, -math.inf, "NaN", None], score=None, error="timeout", request={})
    world.log(prediction("r1"), odd)
    world.predictions.compact()
    rows, _ = world.predictions.scan()
    first, second = to_records(rows)
    assert first == prediction("r1")
    assert math.isnan(second.features[0])
    assert second.features[1:] == [-math.inf, "NaN", None]
    assert (second.score, second.error) == (None, "timeout")


def block(request_id: str, rows: int, width: int = 3, **changes: Any) -> BlockRecord:
    values = array("f", [float(number) for number in range(rows * width)])
    values[1] = math.nan
    fields: dict[str, Any] = {
        "client_id": "mine", "endpoint": "fraud", "variant": "stable", "role": "live", "model": "fraud", "version": 3,
        "epoch": 7, "received_us": 11, "latency_us": 12, "rows": rows, "features": values.tobytes(),
        "scores": array("d", [number / 10 for number in range(rows)]).tobytes(), "actor": "shop",
    }  # fmt: skip
    return BlockRecord(request_id, **(fields | changes))


@pytest.mark.parametrize("kind", [MemoryTables, DeltaTables])
def test_a_table_of_before_a_column_came_is_read_and_written_on(kind: Any, tmp_path: Path) -> None:
    world = World(tmp_path, kind(tmp_path / "tables") if kind is DeltaTables else kind())
    world.log(prediction("r1"))
    world.predictions.compact()
    rows = world.tables.read(PREDICTIONS).to_table()
    world.tables.overwrite(PREDICTIONS, rows.drop_columns(["cached"]))
    assert world.ids() == ["r1"]
    assert world.predictions.find("r1") == prediction("r1")
    world.log(prediction("r2", cached=True))
    world.predictions.compact()
    assert to_records(world.predictions.scan()[0]) == [prediction("r1"), prediction("r2", cached=True)]
    world.close()


def test_each_row_of_a_block_is_a_decision(world: World) -> None:
    world.log(prediction("r0"), block("r1", 3), prediction("r2"), block("r3", 2, scores=b"", error="internal"))
    for _ in range(2):  # first from the segment, then from the table
        second = world.predictions.find("r1.1")
        assert (second.features, second.score, second.client_id, second.at_us) == ([3.0, 4.0, 5.0], 0.1, "mine", 11)
        assert world.predictions.find("r1.0").features == [0.0, None, 2.0]
        assert (world.predictions.find("r3.1").score, world.predictions.find("r3.1").error) == (None, "internal")
        for unknown in ("r1", "r1.3", "r1.x", "r1.-1", "r9.0"):
            with pytest.raises(NotFound):
                world.predictions.find(unknown)
        world.predictions.compact()
    assert world.ids() == ["r0", "r1.0", "r1.1", "r1.2", "r2", "r3.0", "r3.1"]
    rows, _ = world.predictions.scan()
    assert rows["_seq"].to_pylist() == list(range(1, 8))
    assert world.predictions.newest(3)["request_id"].to_pylist() == ["r2", "r3.0", "r3.1"]


def test_an_ensemble_s_decision_and_its_members_are_rows_under_one_id(world: World) -> None:
    members = tuple(prediction("r1", endpoint=name, model=name, features=[1.0]) for name in ("one", "other"))
    decision = prediction("r1", endpoint="blend", model="blend", features=[])
    world.log(prediction("r0"), EnsembleRecord(decision, members), prediction("r2"), prediction("r2", role="shadow"))
    assert world.predictions.find("r1") == decision
    assert world.predictions.compact().predictions == 6
    assert world.predictions.find("r1") == decision
    assert world.predictions.members(decision) == list(members)
    assert world.predictions.members(world.predictions.find("r2")) == []
    rows, cursor = world.predictions.scan()
    assert (rows["_seq"].to_pylist(), cursor) == ([1, 2, 3, 4, 5, 6], 6)
    world.log(prediction("r3"))
    world.predictions.compact()
    assert world.predictions.scan(cursor)[0]["request_id"].to_pylist() == ["r3"]
    assert world.predictions.joined("other")["request_id"].to_pylist() == ["r1"]


@pytest.mark.parametrize(
    "changes", [{}, {"scores": b"", "error": "internal"}, {"redacted": (0, 2), "trace_id": "ab" * 16}]
)
def test_a_blocks_rows_are_those_of_its_decisions(changes: dict[str, Any]) -> None:
    found = block_rows(5, "s-1", block("r1", 4, **changes))
    one_by_one = prediction_rows((5 + row, "s-1", block("r1", 4, **changes).row(row)) for row in range(4))
    assert found.equals(one_by_one)


def test_a_segment_of_blocks_is_moved_in_several_commits(world: World) -> None:
    world.predictions = Predictions(world.tables, world.folder, world.db, batch_bytes=30_000)
    world.log(*(block(f"r{number}", 50) for number in range(6)))
    moved = world.predictions.compact()
    assert (moved.predictions, len(world.ids()), len(set(world.ids()))) == (300, 300, 300)
    assert (world.tables.version("predictions") or 0) >= 2
    world.log(prediction("last"))
    assert world.predictions.compact().predictions == 1


@pytest.mark.parametrize("damage", [{"rows": 0}, {"rows": 2}, {"scores": b"12345678"}, {"features": b"123"}])
def test_a_block_that_is_not_its_rows_is_named(world: World, damage: dict[str, Any]) -> None:
    world.log(msgspec.structs.replace(block("r1", 3), **damage))
    with pytest.raises(CorruptionError, match="worker-0"):
        world.predictions.compact()


def test_nothing_logged_is_nothing_moved(world: World) -> None:
    moved = world.predictions.compact()
    assert (moved.predictions, moved.feedback, moved.segments_removed) == (0, 0, 0)
    rows, cursor = world.predictions.scan()
    assert (rows.num_rows, cursor) == (0, 0)
    assert world.predictions.joined("fraud").num_rows == 0


def test_a_growing_segment_is_moved_piece_by_piece(world: World) -> None:
    for number in range(5):
        world.log(prediction(f"r{number}"), FeedbackRecord(f"r{number}", 1, 20, 21))
        moved = world.predictions.compact()
        assert (moved.predictions, moved.feedback) == (1, 1)
    assert world.predictions.compact().predictions == 0
    assert world.ids() == [f"r{number}" for number in range(5)]
    world.finish()
    assert world.predictions.compact().predictions == 0


def test_a_half_written_record_waits(world: World) -> None:
    world.log(prediction("r1"))
    (segment,) = world.folder.glob("*.open")
    whole = segment.read_bytes()
    with segment.open("ab") as file:
        file.write(whole[: len(whole) // 2])
    assert world.predictions.compact().predictions == 1
    with segment.open("ab") as file:
        file.write(whole[len(whole) // 2 :])
    assert world.predictions.compact().predictions == 1


def test_finished_segments_go_and_each_writers_last_one_stays(world: World) -> None:
    for number in range(20):
        world.log(prediction(f"a{number}"), worker="worker-0", max_bytes=1000)
        world.log(prediction(f"b{number}"), worker="worker-1", max_bytes=1000)
    world.finish("worker-0")
    world.finish("worker-1")
    before = list_segments(world.folder)
    moved = world.predictions.compact()
    left = list_segments(world.folder)
    assert moved.segments_removed == len(before) - 2
    assert left == [max(n for n in before if n.startswith(f"worker-{w}")) for w in (0, 1)]
    world.log(prediction("later"), worker="worker-0")  # a restarted worker goes on with the next number
    assert world.predictions.compact().predictions == 1
    assert sorted(world.ids()) == sorted([*(f"{w}{n}" for w in "ab" for n in range(20)), "later"])


def test_many_bytes_are_moved_in_several_commits(world: World) -> None:
    small = Predictions(world.tables, world.folder, world.db, batch_bytes=1000)
    for number in range(20):
        world.log(prediction(f"r{number}"), worker=f"worker-{number}")
    assert small.compact().predictions == 20
    assert (world.tables.version("predictions") or 0) >= 3
    assert len(set(world.ids())) == 20


def test_two_processes_compact_at_the_same_time(tmp_path: Path) -> None:
    world = World(tmp_path, DeltaTables(tmp_path / "tables"))
    moved: list[int] = []

    def compact() -> None:
        mine = Predictions(DeltaTables(tmp_path / "tables"), world.folder, world.db, batch_bytes=2000)
        moved.extend(mine.compact().predictions for _ in range(8))

    threads = [threading.Thread(target=compact) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(200):
        world.log(prediction(f"r{number}"), max_bytes=4000)
    for thread in threads:
        thread.join()
    world.predictions.compact()
    rows, _ = world.predictions.scan()
    assert rows["request_id"].to_pylist() == [f"r{number}" for number in range(200)]
    assert rows["_seq"].to_pylist() == list(range(1, 201))
    assert sum(moved) <= 200
    world.close()


def test_a_damaged_segment_is_named_and_the_others_are_moved(world: World) -> None:
    for worker in ("worker-0", "worker-1", "worker-2"):
        world.log(prediction(f"r-{worker}"), prediction(f"s-{worker}"), worker=worker)
        world.finish(worker)
    path = world.folder / "worker-1-00000001.seg"
    data = bytearray(path.read_bytes())
    data[20] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CorruptionError, match=r"worker-1-00000001\.seg"):
        world.predictions.compact()
    assert sorted(world.ids()) == ["r-worker-0", "r-worker-2", "s-worker-0", "s-worker-2"]
    assert world.predictions.find("r-worker-2").request_id == "r-worker-2"
    with pytest.raises(CorruptionError):
        world.predictions.find("r-worker-1")


def test_what_a_power_cut_took_does_not_stop_compaction(world: World) -> None:
    world.log(prediction("r1"))
    (segment,) = world.folder.glob("*.open")
    flushed = segment.stat().st_size
    world.log(prediction("r2"))
    with world.db.write() as connection:
        begin_batch(connection, 2, [Part(segment.stem, 0, segment.stat().st_size)])
    os.truncate(segment, flushed)
    assert world.predictions.compact().predictions == 1
    assert world.ids() == ["r1"]
    world.finish()
    world.log(prediction("r3"))
    world.predictions.compact()
    assert world.ids() == ["r1", "r3"]
    assert list_segments(world.folder) == ["worker-0-00000002"]


def test_a_record_of_another_shape_is_named(world: World) -> None:
    writer = SegmentWriter(world.folder, "worker-0", fsync_ms=0)
    writer.write([b"\x93\x01\x02\x03"])
    writer.close()
    with pytest.raises(CorruptionError, match="prediction log segment 'worker-0-00000001' holds what is no record"):
        world.predictions.compact()


def test_a_decision_is_found_before_and_after_compaction(world: World) -> None:
    world.log(prediction("r1"), FeedbackRecord("r2", 1, 1, 1))
    assert world.predictions.find("r1") == prediction("r1")
    world.predictions.compact()
    assert world.predictions.find("r1") == prediction("r1")
    for absent in ("r2", "r"):
        with pytest.raises(NotFound, match=f"no decision has the request id '{absent}'"):
            world.predictions.find(absent)


def test_outcomes_without_a_decision_are_told(world: World) -> None:
    assert world.predictions.unknown(["r1"]) == ["r1"]
    assert world.predictions.orphans() == 0
    world.log(prediction("r1"), *(FeedbackRecord(name, 1, 1, 1) for name in ("r1", "r1", "x", "y", "x")))
    world.predictions.compact()
    assert world.predictions.unknown(["y", "r1", "x", "y"]) == ["y", "x"]
    assert world.predictions.orphans() == 2


def test_scanning_goes_on_where_it_stopped(world: World) -> None:
    for number in range(10):
        world.log(prediction(f"r{number}", endpoint="fraud" if number % 2 else "churn"))
        world.log(FeedbackRecord(f"r{number}", number % 2, 1, 1))
    world.predictions.compact()
    found, cursor = [], 0
    while True:
        rows, cursor = world.predictions.scan(cursor, endpoint="fraud", limit=2)
        if not rows.num_rows:
            break
        found += rows["request_id"].to_pylist()
    assert found == ["r1", "r3", "r5", "r7", "r9"]
    assert world.predictions.scan(cursor)[0].num_rows == 0
    world.log(prediction("r10"))
    world.predictions.compact()
    assert world.predictions.scan(cursor)[0]["request_id"].to_pylist() == ["r10"]
    assert world.predictions.scan_feedback(0, limit=3)[0]["outcome"].to_pylist() == [0.0, 1.0, 0.0]


def test_the_newest_are_given_oldest_first(world: World) -> None:
    assert world.predictions.newest(3).num_rows == 0
    for number in range(1_200):  # more numbers than are looked through at first
        world.log(prediction(f"r{number}", endpoint="churn" if number % 600 == 5 else "fraud"))
        world.log(FeedbackRecord(f"r{number}", 1, 1, 1))
    world.predictions.compact()
    assert world.predictions.newest(3)["request_id"].to_pylist() == ["r1197", "r1198", "r1199"]
    assert world.predictions.newest(700)["request_id"].to_pylist() == [f"r{n}" for n in range(500, 1_200)]
    assert world.predictions.newest(5_000).num_rows == 1_200
    assert world.predictions.newest(9, endpoint="churn")["request_id"].to_pylist() == ["r5", "r605"]
    assert world.predictions.newest(1, endpoint="churn")["request_id"].to_pylist() == ["r605"]
    assert world.predictions.newest(9, endpoint="none").num_rows == 0


def test_the_last_known_outcome_wins_and_decisions_count_once(world: World) -> None:
    world.log(*[prediction("r1", score=0.9)] * 2, prediction("r2"), prediction("r3", endpoint="x"))
    world.log(
        FeedbackRecord("r1", 0, at_us=50, received_us=99),
        FeedbackRecord("r1", 1, at_us=60, received_us=70),
        FeedbackRecord("r1", 0, at_us=60, received_us=65),
        FeedbackRecord("unknown", 1, at_us=1, received_us=1),
    )
    world.predictions.compact()
    rows = world.predictions.joined("fraud").to_pylist()
    assert [(row["request_id"], row["score"], row["outcome"]) for row in rows] == [("r1", 0.9, 1.0), ("r2", 0.25, None)]
    assert (rows[0]["outcome_at_us"], rows[0]["outcome_received_us"]) == (60, 70)


def test_joined_rows_are_chosen_by_model_version_role_and_time(world: World) -> None:
    world.log(
        prediction("r1"), prediction("r2", version=4), prediction("r3", role="shadow"), prediction("r4", model="other"),
        prediction("r5", at_us=20),
    )  # fmt: skip
    world.predictions.compact()

    def ids(**chosen: Any) -> list[str]:
        found: list[str] = world.predictions.joined("fraud", **chosen)["request_id"].to_pylist()
        return found

    assert ids() == ["r1", "r2", "r3", "r4", "r5"]
    assert ids(version=4) == ["r2"]
    assert ids(role="shadow") == ["r3"]
    assert ids(model="other") == ["r4"]
    assert (ids(since_us=20), ids(until_us=20)) == (["r5"], ["r1", "r2", "r3", "r4"])


def test_anyone_can_read_the_tables_with_pyarrow_alone(tmp_path: Path) -> None:
    world = World(tmp_path, DeltaTables(tmp_path / "tables"))
    world.log(*(prediction(f"r{i}", score=i / 10, latency_us=100 * i) for i in range(10)))
    world.log(*(FeedbackRecord(f"r{i}", int(i >= 5), 50, 60) for i in range(10)))
    world.predictions.compact()
    predictions = pq.read_table(tmp_path / "tables" / "predictions")
    feedback = pq.read_table(tmp_path / "tables" / "feedback")
    joined = predictions.join(feedback.select(["request_id", "outcome"]), "request_id").sort_by("score")
    assert joined["outcome"].to_pylist() == [0.0] * 5 + [1.0] * 5
    assert pc.max(joined["latency_us"]).as_py() == 900
    assert json.loads(joined["entities"][0].as_py()) == {"card": "c1"}
    world.close()


@pytest.mark.parametrize("delta", [False, True])
def test_rows_from_before_traces_were_kept_are_read(tmp_path: Path, delta: bool) -> None:
    world = World(tmp_path, DeltaTables(tmp_path / "tables") if delta else MemoryTables())
    older = prediction_rows([(0, "worker-0-00000001", prediction("old"))]).drop_columns(["trace_id"])
    world.tables.append(PREDICTIONS, older)
    assert world.predictions.find("old") == prediction("old")
    world.log(prediction("new", trace_id="ab" * 16))
    world.predictions.compact()
    assert [world.predictions.find(name).trace_id for name in ("old", "new")] == ["", "ab" * 16]
    assert world.predictions.joined("fraud")["trace_id"].to_pylist() == [None, "ab" * 16]
    world.close()


def test_redacted_values_come_back_as_redacted(world: World) -> None:
    hidden = {"redacted": "hash:5e1f"}
    record = prediction("r", entities={"card": hidden}, features=[hidden, math.nan, 3], request={"amount": hidden})
    world.log(record)
    assert msgspec.to_builtins(world.predictions.find("r").entities) == {"card": hidden}
    world.predictions.compact()
    found = world.predictions.find("r")
    assert (found.entities, found.request, found.features[0], found.features[2]) == (
        record.entities, record.request, hidden, 3,
    )  # fmt: skip
