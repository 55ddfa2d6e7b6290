"""What every table store must do."""

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from falaj.kernel.errors import DataError, InputError, NotFound
from falaj.storage.tables.delta import DeltaTables
from falaj.storage.tables.memory import MemoryTables
from falaj.storage.tables.port import TableStore

MAKERS: dict[str, Callable[[Path], TableStore]] = {
    "delta": lambda folder: DeltaTables(folder / "tables"),
    "memory": lambda _: MemoryTables(),
}
NAME = "source/transactions"


@pytest.fixture(params=sorted(MAKERS))
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> TableStore:
    return MAKERS[request.param](tmp_path)


def rows(tables: TableStore, **how: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = tables.read(NAME, **how).to_table().to_pydict()
    return found


def test_rows_come_back_in_the_order_they_came(tables: TableStore) -> None:
    versions = [tables.append(NAME, pa.table({"a": [number, number + 1]})) for number in range(0, 24, 2)]
    assert versions == sorted(set(versions))
    assert tables.version(NAME) == versions[-1]
    assert rows(tables) == {"a": list(range(24))}


def test_every_type_a_source_can_have_round_trips(tables: TableStore) -> None:
    table = pa.table(
        {
            "flag": [True, None],
            "small": pa.array([1, None], pa.int8()),
            "whole": pa.array([1 << 62, None]),
            "real": [float("inf"), None],
            "single": pa.array([0.5, None], pa.float32()),
            "word": ["ä", None],
            "raw": [b"\x00\xff", None],
            "day": [date(2018, 4, 1), None],
            "at": pa.array([datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), None], pa.timestamp("us", "UTC")),
            "list": pa.array([["x", None], None], pa.list_(pa.string())),
            "pair": pa.array([{"x": 1, "y": "z"}, None]),
        }
    )
    tables.append(NAME, table)
    found = tables.read(NAME).to_table()
    assert found.to_pydict() == table.to_pydict()
    assert [field.type for field in found.schema if field.name != "list"] == [
        field.type for field in table.schema if field.name != "list"
    ]
    assert found.schema.field("list").type.value_type == pa.string()


def test_other_encodings_come_back_plain(tables: TableStore) -> None:
    tables.append(
        NAME,
        pa.table(
            {
                "dictionary": pa.array(["p", "q"]).dictionary_encode(),
                "large": pa.array(["p", "q"], pa.large_string()),
                "unsigned": pa.array([0, (1 << 32) - 1], pa.uint32()),
                "millis": pa.array([0, 1], pa.timestamp("ms", "Asia/Dubai")),
                "nanos": pa.array([0, 1000], pa.timestamp("ns", "UTC")),
            }
        ),
    )
    found = tables.read(NAME).to_table()
    assert [str(field.type) for field in found.schema] == [
        "string", "string", "int64", "timestamp[us, tz=UTC]", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    assert found["unsigned"].to_pylist() == [0, (1 << 32) - 1]
    assert found["nanos"].cast(pa.int64()).to_pylist() == [0, 1]


def test_new_columns_are_null_before_and_absent_ones_after(tables: TableStore) -> None:
    tables.append(NAME, pa.table({"a": [1], "b": ["x"]}))
    tables.append(NAME, pa.table({"c": [2.5], "a": [2]}))
    tables.append(NAME, pa.table({"b": pa.nulls(1), "a": [3]}))
    assert rows(tables) == {"a": [1, 2, 3], "b": ["x", None, None], "c": [None, 2.5, None]}
    assert tables.read(NAME).schema.names == ["a", "b", "c"]


def test_numbers_fit_when_nothing_is_lost(tables: TableStore) -> None:
    tables.append(NAME, pa.table({"a": [1], "f": [1.5]}))
    tables.append(NAME, pa.table({"a": pa.array([2], pa.int16()), "f": pa.array([2], pa.int64())}))
    assert rows(tables) == {"a": [1, 2], "f": [1.5, 2.0]}


@pytest.mark.parametrize(
    "column",
    [pa.array(["1"]), pa.array([1.5]), pa.array([datetime(2020, 1, 1, tzinfo=UTC)]), pa.array([[1]])],
    ids=["text", "fraction", "time", "list"],
)
def test_a_value_that_would_change_is_refused_and_nothing_is_kept(tables: TableStore, column: pa.Array) -> None:
    before = tables.append(NAME, pa.table({"a": [1]}))
    with pytest.raises(DataError, match=r"source/transactions.*column 'a'"):
        tables.append(NAME, pa.table({"a": column}))
    assert tables.version(NAME) == before
    assert rows(tables) == {"a": [1]}


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"a": pa.nulls(2)}),
        pa.table({"a": pa.array([1], pa.duration("us"))}),
        pa.table({"a": pa.array([1], pa.timestamp("ns", "UTC"))}),
        pa.table([[1], [2]], names=["a", "a"]),
        pa.table({}),
        pa.table({"a": pa.array([1 << 63], pa.uint64())}),
    ],
    ids=["typeless", "duration", "nanoseconds", "twice", "no columns", "too large"],
)
def test_what_no_table_can_hold_is_refused_and_makes_no_table(tables: TableStore, table: pa.Table) -> None:
    with pytest.raises(DataError, match=NAME):
        tables.append(NAME, table)
    assert tables.version(NAME) is None
    assert tables.names() == []


def test_a_writer_that_repeats_itself_adds_nothing_twice(tables: TableStore) -> None:
    one, two = pa.table({"a": [1]}), pa.table({"a": [2]})
    first = tables.append(NAME, one, app=("ingest", 5))
    assert tables.append(NAME, one, app=("ingest", 5)) == first
    second = tables.append(NAME, two, app=("ingest", 6))
    assert tables.append(NAME, one, app=("ingest", 5)) == second
    assert tables.append(NAME, one, app=("other", 1)) > second
    assert rows(tables) == {"a": [1, 2, 1]}


def test_no_rows_make_a_table_and_mark_a_writer(tables: TableStore) -> None:
    none = pa.table({"a": pa.array([], pa.int64())})
    assert tables.append(NAME, none) == 0
    assert rows(tables) == {"a": []}
    assert tables.append(NAME, none) == 0
    marked = tables.append(NAME, none, app=("ingest", 1))
    assert tables.append(NAME, pa.table({"a": [1]}), app=("ingest", 1)) == marked
    assert rows(tables) == {"a": []}


def test_a_stream_of_batches_is_one_commit(tables: TableStore) -> None:
    schema = pa.schema([("a", pa.int64())])
    batches = [pa.record_batch([pa.array(range(start, start + 1000))], schema=schema) for start in (0, 1000, 2000)]
    assert tables.append(NAME, pa.RecordBatchReader.from_batches(schema, batches)) == 0
    assert rows(tables) == {"a": list(range(3000))}


def test_a_stream_that_breaks_leaves_the_table_as_it_was(tables: TableStore) -> None:
    before = tables.append(NAME, pa.table({"a": [1]}))
    schema = pa.schema([("a", pa.int64())])

    def breaks() -> Any:
        yield pa.record_batch([pa.array([2])], schema=schema)
        raise ValueError("the caller's own")

    with pytest.raises(ValueError, match="the caller's own"):
        tables.append(NAME, pa.RecordBatchReader.from_batches(schema, breaks()))
    assert tables.version(NAME) == before
    assert rows(tables) == {"a": [1]}
    tables.append(NAME, pa.table({"a": [3]}))
    assert rows(tables) == {"a": [1, 3]}


def test_old_versions_and_chosen_columns_can_be_read(tables: TableStore) -> None:
    first = tables.append(NAME, pa.table({"a": [1], "b": ["x"]}))
    tables.append(NAME, pa.table({"a": [2], "b": ["y"], "c": [0.5]}))
    assert rows(tables, version=first) == {"a": [1], "b": ["x"]}
    assert rows(tables, columns=["c", "a"]) == {"c": [None, 0.5], "a": [1, 2]}
    assert rows(tables, columns=["b"], version=first) == {"b": ["x"]}


def test_overwriting_replaces_rows_and_columns_and_keeps_history(tables: TableStore) -> None:
    first = tables.append(NAME, pa.table({"a": [1]}))
    second = tables.overwrite(NAME, pa.table({"a": ["text now"], "z": [1]}))
    assert second > first
    assert rows(tables) == {"a": ["text now"], "z": [1]}
    assert rows(tables, version=first) == {"a": [1]}
    tables.append(NAME, pa.table({"a": ["more"]}))
    assert rows(tables) == {"a": ["text now", "more"], "z": [1, None]}
    assert tables.overwrite("fresh", pa.table({"a": [1]})) == 0


def test_compaction_changes_no_row_and_no_order(tables: TableStore) -> None:
    for number in range(6):
        tables.append(NAME, pa.table({"a": [number], f"c{number % 2}": [number]}))
    tables.compact(NAME)
    for number in range(6, 9):
        tables.append(NAME, pa.table({"a": [number]}))
    before = rows(tables)
    pinned = tables.version(NAME)
    version = tables.compact(NAME)
    assert rows(tables) == before == rows(tables, version=pinned)
    assert before["a"] == list(range(9))
    assert tables.compact(NAME) == version
    tables.append(NAME, pa.table({"a": [9]}))
    assert rows(tables)["a"] == list(range(10))


def test_what_does_not_exist_is_named(tables: TableStore) -> None:
    with pytest.raises(NotFound, match=NAME):
        tables.read(NAME)
    with pytest.raises(NotFound, match=NAME):
        tables.compact(NAME)
    tables.append(NAME, pa.table({"amount": [1]}))
    assert tables.version("source/other") is None
    for version in (7, -1):
        with pytest.raises(NotFound, match=f"version {version}"):
            tables.read(NAME, version=version)
    with pytest.raises(NotFound, match="'amuont'") as caught:
        tables.read(NAME, columns=["amuont"])
    assert "amount" in caught.value.hint


def test_names_are_sorted_and_checked(tables: TableStore) -> None:
    for name in ("source/b", "source/a", "predictions"):
        tables.append(name, pa.table({"a": [1]}))
    assert tables.names() == ["predictions", "source/a", "source/b"]
    for name in ("", "../up", "/root", "a//b", "a/", "a/_delta_log/x", ".hidden", "a\nb"):
        with pytest.raises(InputError, match="table name"):
            tables.append(name, pa.table({"a": [1]}))
        with pytest.raises(InputError, match="table name"):
            tables.read(name)


def test_duckdb_scans_what_is_read(tables: TableStore) -> None:
    tables.append(NAME, pa.table({"card": ["c1", "c2"], "amount": [1.0, 2.0]}))
    tables.append(NAME, pa.table({"card": ["c1"], "amount": [4.0], "new": [1]}))
    transactions = tables.read(NAME)
    connection = duckdb.connect()
    connection.register("transactions", transactions)
    found = connection.execute(
        "select card, sum(amount), count(new) from transactions group by 1 order by 1"
    ).fetchall()
    connection.close()
    assert found == [("c1", 5.0, 1), ("c2", 2.0, 0)]


def test_threads_append_without_losing_a_row(tables: TableStore) -> None:
    def work(worker: int) -> None:
        for step in range(4):
            tables.append(NAME, pa.table({"a": [worker * 10 + step]}), app=(f"worker-{worker}", step))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rows(tables)["a"]) == [worker * 10 + step for worker in range(4) for step in range(4)]
