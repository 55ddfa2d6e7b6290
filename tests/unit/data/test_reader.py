"""Reading a source's sequence over table, log and files on their way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.data import provenance
from falaj.data.columns import stored_schema
from falaj.data.provenance import FilePlan
from falaj.kernel.errors import DataError, InputError
from falaj.storage.eventlog.memory import MemoryLog
from support.data_room import ADA, EVENT_SCHEMA, DataRoom, event, event_file, pushed_source

TX = pushed_source()
STEPS = st.lists(st.sampled_from(["push", "push bad", "file", "land", "truncate", "orphan"]), min_size=1, max_size=12)


def plan(rows: int) -> FilePlan:
    return FilePlan("{}", {}, "/gone", "gone", "0" * 64, 1, rows, rows, 0, {}, 0, "ada")


def test_a_source_without_rows(room: DataRoom) -> None:
    rows, through = room.reader.read_from("tx", EVENT_SCHEMA, 1, 10)
    assert (rows.num_rows, through, room.reader.head("tx")) == (0, 0, 0)
    assert rows.schema == stored_schema(EVENT_SCHEMA)


def test_types_and_columns_are_the_same_from_table_and_log(room: DataRoom) -> None:
    room.events.accept(TX, EVENT_SCHEMA, [event("a", 1)])
    from_log, _ = room.reader.read_from("tx", EVENT_SCHEMA, 1, 10)
    room.events.land("tx", EVENT_SCHEMA)
    room.events.truncate("tx", 1)
    from_table, _ = room.reader.read_from("tx", EVENT_SCHEMA, 1, 10)
    assert from_log.schema == from_table.schema == stored_schema(EVENT_SCHEMA)
    assert from_log.equals(from_table)


def test_pieces_are_bounded_and_go_on(room: DataRoom) -> None:
    room.events.accept(TX, EVENT_SCHEMA, [event(str(i), i) for i in range(25)])
    room.events.land("tx", EVENT_SCHEMA, limit=10)
    sizes, seq = [], 1
    while True:
        rows, through = room.reader.read_from("tx", EVENT_SCHEMA, seq, 7)
        if through < seq:
            break
        sizes.append(rows.num_rows)
        seq = through + 1
    assert sum(sizes) == 25
    assert max(sizes) == 7


def test_rejected_rows_and_unused_numbers_are_passed_over_in_one_call(room: DataRoom) -> None:
    room.events.accept(TX, EVENT_SCHEMA, [event(str(i), i, -1.0) for i in range(30)])
    room.log("tx").reserve(1000)  # a crash between taking numbers and noting them
    room.events.accept(TX, EVENT_SCHEMA, [event("z", 1)])
    rows, through = room.reader.read_from("tx", EVENT_SCHEMA, 1, 10)
    assert (rows["id"].to_pylist(), through) == (["z"], 1031)


def test_a_file_on_its_way_stops_the_reader(room: DataRoom) -> None:
    room.events.accept(TX, EVENT_SCHEMA, [event("a", 1)])
    with room.db.write() as connection:
        begun = provenance.begin(connection, "tx", plan(5))
    assert [row["id"] for row in room.read_all("tx", EVENT_SCHEMA)] == ["a"]
    first = room.log("tx").reserve(5)
    room.events.accept(TX, EVENT_SCHEMA, [event("b", 2)])
    assert [row["id"] for row in room.read_all("tx", EVENT_SCHEMA)] == ["a"]  # its numbers are not known yet
    with room.db.write() as connection:
        begun = provenance.reserved(connection, begun, first)
    assert [row["id"] for row in room.read_all("tx", EVENT_SCHEMA)] == ["a"]
    assert room.reader.read_from("tx", EVENT_SCHEMA, 2, 10)[1] == 1
    room.events.land("tx", EVENT_SCHEMA)  # what was pushed after it may land, and is not read either
    assert [row["id"] for row in room.read_all("tx", EVENT_SCHEMA)] == ["a"]
    with room.db.write() as connection:
        provenance.abandon(connection, begun)
    assert [row["id"] for row in room.read_all("tx", EVENT_SCHEMA)] == ["a", "b"]


def test_events_before_unnoted_numbers_are_read_and_no_further(room: DataRoom) -> None:
    with room.db.write() as connection:
        provenance.begin(connection, "tx", plan(5))
    room.events.accept(TX, EVENT_SCHEMA, [event("a", 1), event("b", 2)])
    room.log("tx").reserve(5)
    room.events.accept(TX, EVENT_SCHEMA, [event("c", 3)])
    rows, through = room.reader.read_from("tx", EVENT_SCHEMA, 1, 10)
    assert (rows["id"].to_pylist(), through) == (["a", "b"], 2)


class InterruptedLog(MemoryLog):
    """Lets something else happen once, in the middle of a call."""

    def __init__(self) -> None:
        super().__init__()
        self.before_read: Callable[[], None] | None = None
        self.before_next_seq: Callable[[], None] | None = None

    def read(self, from_seq: int, limit: int) -> list[tuple[int, bytes]]:
        happening, self.before_read = self.before_read, None
        if happening is not None:
            happening()
        return super().read(from_seq, limit)

    def next_seq(self) -> int:
        happening, self.before_next_seq = self.before_next_seq, None
        if happening is not None:
            happening()
        return super().next_seq()


def test_landing_and_forgetting_between_two_looks(room: DataRoom) -> None:
    log = InterruptedLog()
    room.use_log("tx", log)
    room.events.accept(TX, EVENT_SCHEMA, [event(str(i), i) for i in range(4)])

    def land_and_forget() -> None:
        room.events.land("tx", EVENT_SCHEMA)
        room.events.truncate("tx", 3)

    log.before_read = land_and_forget
    rows, _ = room.reader.read_from("tx", EVENT_SCHEMA, 1, 10)
    assert rows["id"].to_pylist() == ["0", "1", "2", "3"]


def test_a_file_that_takes_its_numbers_between_two_looks(room: DataRoom) -> None:
    log = InterruptedLog()
    room.use_log("tx", log)
    room.events.accept(TX, EVENT_SCHEMA, [event("a", 1)])

    def take_numbers() -> None:
        with room.db.write() as connection:
            begun = provenance.begin(connection, "tx", plan(5))
            provenance.reserved(connection, begun, log.reserve(5))
        room.events.accept(TX, EVENT_SCHEMA, [event("b", 2)])

    log.before_next_seq = take_numbers
    rows, through = room.reader.read_from("tx", EVENT_SCHEMA, 1, 10)
    assert (rows["id"].to_pylist(), through) == (["a"], 1)


def test_bad_arguments(room: DataRoom) -> None:
    for seq, limit in ((0, 1), (1, 0)):
        with pytest.raises(InputError):
            room.reader.read_from("tx", EVENT_SCHEMA, seq, limit)


def test_a_table_of_another_type_is_named(room: DataRoom) -> None:
    room.tables.append("source/tx", pa.table({"id": ["x"], "_ingest_seq": [1]}))
    room.log("tx").reserve(1)
    with room.db.write() as connection:
        provenance.set_landing(connection, "tx", 1, 1)
    with pytest.raises(DataError, match="column 'id' is stored as string and cannot be read as int64"):
        room.reader.read_from("tx", {"id": "int64"}, 1, 10)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.integers(1, 9))
def test_any_history_is_read_as_one_ascending_sequence(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], limit: int
) -> None:
    folder: Path = tmp_path_factory.mktemp("history")
    room = DataRoom.in_memory(folder)
    expected: list[str] = []
    for number, step in enumerate(steps):
        _take(room, folder, step, number, expected)
    rows: list[dict[str, Any]] = room.read_all("tx", EVENT_SCHEMA, limit)
    assert [row["id"] for row in rows] == expected
    numbers = [row["_ingest_seq"] for row in rows]
    assert numbers == sorted(set(numbers))
    half = room.read_all("tx", EVENT_SCHEMA, limit, seq=room.reader.head("tx") // 2 + 1)
    assert half == rows[len(rows) - len(half) :]
    room.close()


def _take(room: DataRoom, folder: Path, step: str, number: int, expected: list[str]) -> None:
    if step.startswith("push"):
        good = [f"{number}-{i}" for i in range(3)]
        bad = [event("bad", 1, -1.0)] if step == "push bad" else []
        room.events.accept(TX, EVENT_SCHEMA, [*bad, *(event(id, 1) for id in good)])
        expected += good
    elif step == "file":
        rows = [event(f"{number}-{i}", i, -1.0 if i == 2 else 1.0) for i in range(5)]
        event_file(folder / "in" / f"{number:03d}.parquet", rows)
        room.ingestion.ingest(TX, EVENT_SCHEMA, folder, ADA)
        expected += [f"{number}-{i}" for i in (0, 1, 3, 4)]
    elif step == "land":
        room.events.land("tx", EVENT_SCHEMA, limit=4)
    elif step == "truncate":
        room.events.truncate("tx", room.reader.head("tx"))
    else:
        room.log("tx").reserve(3)
