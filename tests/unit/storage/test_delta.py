"""Delta tables on the disk: damage is named, and nothing of a person stays in the log."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from falaj.kernel.errors import CorruptionError, InputError
from falaj.storage.tables.delta import DeltaTables
from falaj.storage.tables.manifest import Manifest, state_digest

NAME = "source/transactions"


def make(root: Path) -> Path:
    tables = DeltaTables(root)
    tables.append(NAME, pa.table({"a": [1, 2], "s": ["x", "y"]}))
    tables.append(NAME, pa.table({"a": [3], "s": ["z"]}), app=("ingest", 1))
    tables.append(NAME, pa.table({"a": [4], "s": ["w"]}))
    return root / NAME


def log_file(folder: Path, number: int) -> Path:
    return sorted((folder / "_delta_log").glob("*.json"))[number]


def data_file(folder: Path, number: int) -> Path:
    return sorted(folder.glob("*.parquet"))[number]


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(bytes(content))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "log entry removed": lambda folder: log_file(folder, 1).unlink(),
    "last log entry removed": lambda folder: log_file(folder, 2).unlink(),
    "first log entry removed": lambda folder: log_file(folder, 0).unlink(),
    "all log entries removed": lambda folder: shutil.rmtree(folder / "_delta_log"),
    "log entry emptied": lambda folder: log_file(folder, 1).write_bytes(b""),
    "log entry cut": lambda folder: log_file(folder, 1).write_bytes(log_file(folder, 1).read_bytes()[:150]),
    "log entry replaced by noise": lambda folder: log_file(folder, 1).write_bytes(bytes(range(256))),
    "add turned into an unknown action": lambda folder: log_file(folder, 1).write_bytes(
        log_file(folder, 1).read_bytes().replace(b'"add"', b'"axd"')
    ),
    "data file removed": lambda folder: data_file(folder, 0).unlink(),
    "data file cut": lambda folder: data_file(folder, 0).write_bytes(data_file(folder, 0).read_bytes()[:-1]),
    "byte of data flipped": lambda folder: flip(data_file(folder, 1), 10),
    "byte of a footer flipped": lambda folder: flip(data_file(folder, 1), -30),
    "manifest flipped": lambda folder: flip(folder / "_manifest", -5),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_damage_is_refused_by_the_tables_name(tmp_path: Path, damage: str) -> None:
    folder = make(tmp_path)
    DAMAGE[damage](folder)
    with pytest.raises(CorruptionError, match=NAME) as caught:
        DeltaTables(tmp_path).read(NAME)
    assert "\n" not in str(caught.value)
    with pytest.raises(CorruptionError, match=NAME):
        DeltaTables(tmp_path).compact(NAME)


def test_a_flipped_byte_of_a_log_entry_never_changes_rows(tmp_path: Path) -> None:
    folder = make(tmp_path)
    expected = DeltaTables(tmp_path).read(NAME).to_table()
    path = log_file(folder, 1)
    whole = path.read_bytes()
    for offset in range(0, len(whole), 3):
        flip(path, offset)
        try:
            assert DeltaTables(tmp_path).read(NAME).to_table() == expected
        except CorruptionError as error:
            assert NAME in str(error)
        path.write_bytes(whole)


def test_files_are_checked_once_and_again_when_they_change(tmp_path: Path) -> None:
    folder = make(tmp_path)
    tables = DeltaTables(tmp_path)
    tables.read(NAME)
    flip(data_file(folder, 0), 10)
    with pytest.raises(CorruptionError, match="digest"):
        tables.read(NAME)


def test_a_compaction_can_be_read_by_others_and_damage_in_it_is_named(tmp_path: Path) -> None:
    folder = make(tmp_path)
    DeltaTables(tmp_path).compact(NAME)
    table = DeltaTable(folder)
    assert len(table.file_uris()) == 1
    assert sorted(table.to_pyarrow_table()["a"].to_pylist()) == [1, 2, 3, 4]
    flip(Path(table.file_uris()[0]), 10)
    with pytest.raises(CorruptionError, match=NAME):
        DeltaTables(tmp_path).read(NAME)


def test_the_log_tells_no_values(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.append(NAME, pa.table({"name": ["Salma al-Harthy"], "amount": [918273.5]}))
    for path in (tmp_path / NAME / "_delta_log").iterdir():
        assert b"Salma" not in path.read_bytes()
        assert b"918273" not in path.read_bytes()


def test_what_others_wrote_into_the_table_is_read(tmp_path: Path) -> None:
    folder = make(tmp_path)
    DeltaTable(folder).delete("a = 2")
    tables = DeltaTables(tmp_path)
    assert sorted(tables.read(NAME).to_table()["a"].to_pylist()) == [1, 3, 4]
    version = tables.append(NAME, pa.table({"a": [5], "s": ["v"]}))
    assert version == 4
    assert sorted(tables.read(NAME).to_table()["a"].to_pylist()) == [1, 3, 4, 5]


def test_a_crash_between_commit_and_manifest_is_no_damage(tmp_path: Path) -> None:
    folder = make(tmp_path)
    manifest = folder / "_manifest"
    whole = manifest.read_bytes()
    for left in (len(whole) - 86, len(whole) - 40, len(whole) - 86 - 1):
        manifest.write_bytes(whole[:left])
        assert DeltaTables(tmp_path).version(NAME) == 2
    tables = DeltaTables(tmp_path)
    tables.append(NAME, pa.table({"a": [5], "s": ["v"]}))
    assert tables.read(NAME).to_table()["a"].to_pylist() == [1, 2, 3, 4, 5]


def test_what_a_killed_append_left_is_not_seen(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / ".incoming-0000000003").write_bytes(b"half a file")
    (folder / f"0000000003-0000-{'0' * 64}.parquet").write_bytes(b"never committed")
    tables = DeltaTables(tmp_path)
    tables.append(NAME, pa.table({"a": [5], "s": ["v"]}))
    assert tables.read(NAME).to_table()["a"].to_pylist() == [1, 2, 3, 4, 5]


def test_a_table_inside_a_table_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(InputError, match="inside table 'source/transactions'"):
        DeltaTables(tmp_path).append(f"{NAME}/part", pa.table({"a": [1]}))


def test_many_commits_are_found_after_checkpoints(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.append(NAME, pa.table({"a": [0]}), app=("ingest", 0))
    DeltaTable(tmp_path / NAME).alter.set_table_properties({"delta.checkpointInterval": "5"})
    for number in range(1, 12):
        tables.append(NAME, pa.table({"a": [number]}), app=("ingest", number))
    assert list((tmp_path / NAME / "_delta_log").glob("*.checkpoint*.parquet"))
    again = DeltaTables(tmp_path)
    assert again.append(NAME, pa.table({"a": [0]}), app=("ingest", 11)) == 12
    assert again.read(NAME).to_table()["a"].to_pylist() == list(range(12))
    assert again.read(NAME, version=4).to_table()["a"].to_pylist() == [0, 1, 2, 3]


def test_a_column_and_its_rows_become_durable_together(tmp_path: Path) -> None:
    """Both log entries of such an append are flushed: an unflushed first one would make the second unreadable."""
    make(tmp_path)
    tables = DeltaTables(tmp_path)
    version = tables.append(NAME, pa.table({"new": [1.5]}), app=("ingest", 2))
    assert version == 4
    assert tables.append(NAME, pa.table({"new": [1.5]}), app=("ingest", 2)) == 4
    assert tables.read(NAME, version=3).to_table()["new"].to_pylist() == [None] * 4
    assert tables.read(NAME).to_table()["new"].to_pylist() == [None] * 4 + [1.5]


def test_the_manifest_finds_versions_among_gaps(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "manifest")
    digests = {version: state_digest(str(version), []) for version in (0, 1, 4, 5, 9)}
    for version, digest in digests.items():
        manifest.record(version, digest)
    assert [manifest.digest(version) for version in range(11)] == [digests.get(version) for version in range(11)]
    assert manifest.newest() == 9
