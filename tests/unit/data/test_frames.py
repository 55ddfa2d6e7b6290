"""Frames given in every way, kept while an operation runs, and asked for in SQL that sees the sources and no more."""

import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from falaj.data.frames import Frames
from falaj.data.given_frame import open_frame
from falaj.data.sql_frame import sql_frame
from falaj.definitions.source import Push, Source
from falaj.kernel.errors import InputError, NotFound, Unsupported

TABLE = pa.table({"n": [1, 2, 3]})
SCHEMA = {"id": "string", "n": "int64"}
SOURCE = Source("tx", stream=Push(), id="id", schema=SCHEMA)
US = pa.timestamp("us", "UTC")
ROWS = pa.table(
    {
        "id": ["a", "b", "a", None, None],
        "n": [1, 2, 3, 4, 5],
        "_created": pa.array([1, 1, 2, None, None], US),
        "_ingest_seq": [1, 2, 3, 4, 5],
    }
)
SECRET = pa.table({"z": [1]})


def ask(text: str) -> pa.Table:
    with sql_frame(text, {"tx": (SOURCE, ds.dataset(ROWS))}, {"tx": SCHEMA}) as rows:
        return rows.read_all()


def test_a_column_may_be_called_like_a_piece_of_sql(tmp_path: Path) -> None:
    named = f"""n" FROM _rows_0; COPY (SELECT 1) TO '{tmp_path / "written"}'; CREATE TEMP VIEW other AS SELECT 1 --"""
    rows = ds.dataset(ROWS.append_column(named, ROWS["n"]))
    with sql_frame("SELECT * FROM tx", {"tx": (SOURCE, rows)}, {"tx": SCHEMA | {named: "int64"}}) as found:
        assert found.read_all()[named].to_pylist() == [2, 3, 4, 5]
    assert not (tmp_path / "written").exists()


def test_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    for i in range(3):
        pq.write_table(TABLE.slice(i, 1), tmp_path / f"{i}.parquet")
    paths = [tmp_path / "2.parquet", str(tmp_path / "0.parquet")]
    assert open_frame(paths).read_all()["n"].to_pylist() == [3, 1]
    assert open_frame(tmp_path).read_all()["n"].to_pylist() == [1, 2, 3]
    assert open_frame(ds.dataset(tmp_path / "1.parquet")).read_all()["n"].to_pylist() == [2]
    assert open_frame(ds.dataset(tmp_path / "1.parquet").scanner()).read_all()["n"].to_pylist() == [2]
    assert open_frame(TABLE.to_batches()[0]).read_all() == TABLE


def test_what_is_no_frame_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("n\n1\n")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1....")
    (tmp_path / "empty").mkdir()
    for name, table in (("a", TABLE), ("b", TABLE.append_column("m", TABLE["n"]))):
        (tmp_path / "mixed").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "mixed" / f"{name}.parquet")
    for given, why in [
        (tmp_path / "rows.csv", "does not say its columns' types"),
        (tmp_path / "torn.parquet", "cannot be read"),
        (tmp_path / "nope.parquet", r"nope\.parquet does not exist"),
        (tmp_path / "mixed", "one has a column 'm' and the other has not"),
        ("", "is empty"),
        ([tmp_path / "mixed" / "a.parquet", ""], "is empty"),
        (tmp_path / "empty", "is no Parquet file, and no folder of them"),
        ({"n": [1, "x"]}, "cannot be read"),
        (7, "a frame cannot be a int"),
        ([], "a frame cannot be a list"),
    ]:
        with pytest.raises(InputError, match=why):
            open_frame(given)


def test_a_frame_is_kept_while_it_is_worked_on(tmp_path: Path) -> None:
    frames = Frames(tmp_path / "frames")
    odd = TABLE.append_column("d", pa.array(["x", "y", None]).dictionary_encode()).append_column("z", pa.nulls(3))
    with frames.keep(odd.to_reader(2)) as name:
        kept = frames.open(name).read()
        assert kept.drop_columns("z").to_pylist() == odd.drop_columns("z").to_pylist()
        assert [str(kind) for kind in kept.schema.types] == ["int64", "string", "null"]
        frames.note_progress(name, 1, 3)
        assert frames.progress(name) == (1, 3)
    assert list((tmp_path / "frames").iterdir()) == []
    assert frames.progress(name) is None
    for lost in (name, "../frames", ""):
        with pytest.raises(NotFound, match="does not exist"):
            frames.open(lost)


def test_a_frame_that_cannot_be_kept_leaves_nothing(tmp_path: Path) -> None:
    frames = Frames(tmp_path)
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["n", "n"])
    with pytest.raises(InputError, match="two columns 'n'"), frames.keep(twice.to_reader()):
        pass
    with pytest.raises(Unsupported), frames.keep(pa.table({"n": [[[1]]]}).to_reader()):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path: Path) -> None:
    frames = Frames(tmp_path)
    for name, age_s in (("young.parquet", 3600), ("old.parquet", 100_000), ("old", 100_000)):
        path = tmp_path / name
        path.mkdir() if "." not in name else path.write_bytes(b"")
        os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    with frames.keep(TABLE.to_reader()) as name:
        assert {path.name for path in tmp_path.iterdir()} == {"young.parquet", f"{name}.parquet"}


def test_sql_sees_each_event_once_as_it_counts() -> None:
    assert ask("SELECT id, n FROM tx").to_pydict() == {"id": ["b", "a", None, None], "n": [2, 3, 4, 5]}
    assert ask("FROM tx SELECT count(*) AS rows")["rows"].to_pylist() == [4]
    assert ask("WITH t AS (SELECT 1 AS one) SELECT one FROM t").to_pydict() == {"one": [1]}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM SECRET",
        "SELECT * FROM other",
        "SELECT _ingest_seq FROM tx",
        "SELECT * FROM tx; SELECT 1",
        "COPY tx TO 'out.csv'",
        "ATTACH 'other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads=4",
        "PRAGMA threads=4",
        "CREATE TABLE t AS SELECT 1",
        "DROP VIEW tx",
        "SELECT FROM FROM",
        "SELECT CAST('x' AS INTEGER) FROM tx",
        "",
    ],
)
def test_sql_reaches_nothing_else(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape("the SQL text")):
        ask(text)
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_taken_in_by_variables() -> None:
    tx_rows: Any = SECRET
    with pytest.raises(InputError, match="tx_rows"):
        ask("SELECT * FROM tx_rows")
    assert tx_rows.num_rows == 1
