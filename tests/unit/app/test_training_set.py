"""Training sets on the disk: files that appear whole, and calls that go on where another was stopped."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from falaj.app.training_set import MARK, TrainingSet
from falaj.data.dataset import Dataset, Request
from falaj.kernel.errors import InputError

TABLE = pa.table({"n": list(range(7))})


def made(folder: Path, table: pa.Table = TABLE, digest: str = "a" * 64) -> TrainingSet:
    """A training set that was joined three rows at a time."""
    path = folder / "blob"
    pq.write_table(table, path, row_group_size=3)
    about = Dataset(
        digest, "fraud", "", "", table.num_rows, {"n": "int64"}, 1, {}, "", Request("", {}), "duckdb", {}, 0, ""
    )
    return TrainingSet(about, path)


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the process end in the middle of writing a file, from 0."""
    written: list[Path] = []
    write = pq.write_table

    def dies(table: pa.Table, path: Path, **options: Any) -> None:
        written.append(path)
        if len(written) > number:
            path.write_bytes(b"PAR1 half")
            raise KeyboardInterrupt
        write(table, path, **options)

    monkeypatch.setattr(pq, "write_table", dies)


def test_parts_and_files_hold_all_rows_in_order(tmp_path: Path) -> None:
    asked = made(tmp_path)
    parts = asked.to_parquet(tmp_path / "out")
    assert [pq.read_metadata(part).num_rows for part in parts] == [3, 3, 1]
    assert pq.read_table(tmp_path / "out").equals(TABLE)
    assert asked.to_parquet(tmp_path / "one.parquet") == [tmp_path / "one.parquet"]
    assert pq.read_table(tmp_path / "one.parquet").equals(TABLE)
    assert sorted(path.name for path in tmp_path.glob("**/.*")) == []
    assert (len(asked), asked.to_arrow(), asked.to_polars()["n"].sum()) == (7, TABLE, 21)
    assert asked.to_pandas()["n"].tolist() == list(range(7))


def test_a_training_set_without_rows_has_one_part(tmp_path: Path) -> None:
    (part,) = made(tmp_path, TABLE.slice(0, 0)).to_parquet(tmp_path / "out")
    assert pq.read_table(part).schema == TABLE.schema


def test_a_call_that_was_stopped_is_finished_by_the_same_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    asked = made(tmp_path)
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            asked.to_parquet(out)
    first = sorted(out.iterdir())
    assert [pq.read_metadata(path).num_rows for path in first] == [3, 3], "no half file, and no mark"
    before = [path.stat().st_mtime_ns for path in first]
    with monkeypatch.context() as patch:
        stop_at(patch, 1)  # only the third is written
        asked.to_parquet(out)
    assert [path.stat().st_mtime_ns for path in first] == before
    assert pq.read_table(out).equals(TABLE)
    assert (out / MARK).exists()


def test_parts_of_another_dataset_are_not_mixed_in(tmp_path: Path) -> None:
    made(tmp_path).to_parquet(tmp_path / "out")
    with pytest.raises(InputError, match="not of this dataset"):
        made(tmp_path, digest="b" * 64).to_parquet(tmp_path / "out")
    with pytest.raises(InputError, match="cannot write"):
        made(tmp_path).to_parquet(tmp_path / "nowhere" / "out")
