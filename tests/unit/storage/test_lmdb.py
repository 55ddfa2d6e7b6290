"""LMDB: one writer, many readers, no copies, plain words."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from falaj.kernel.errors import CorruptionError, Locked, NotFound, StorageError
from falaj.storage.keyvalue.lmdb import LmdbStore

READ = """
import sys
from pathlib import Path
from falaj.storage.keyvalue.lmdb import LmdbStore
store = LmdbStore.open(Path(sys.argv[1]), readonly=True)
print(store.get_many([b"a"])[0], flush=True)
for line in sys.stdin:
    print(store.get_many([b"a"])[0], flush=True)
"""

GATEWAY_LIBRARIES = """
import sys
import falaj.storage.keyvalue.lmdb, falaj.storage.keyvalue.memory, falaj.storage.eventlog.segments
import falaj.storage.blobs.local, falaj.storage.folder, falaj.storage.eventlog.local
heavy = {"numpy", "pyarrow", "pandas", "sqlalchemy", "deltalake", "duckdb", "sqlite3"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_values_are_windows_into_the_map(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, map_gib=0.0625)
    store.write([(b"a", b"value"), (b"k" * 600, b"long")])
    with store.snapshot() as snapshot:
        value, long = snapshot.get(b"a"), snapshot.get(b"k" * 600)
        assert isinstance(value, memoryview)
        assert value.readonly
        assert isinstance(long, memoryview)
        assert bytes(long) == b"long"
        assert [None if found is None else bytes(found) for found in snapshot.get_many([b"x", b"a", b""])] == [
            None,
            b"value",
            None,
        ]
    store.close()


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, map_gib=0.0625)
    with pytest.raises(Locked, match=f"process {os.getpid()}"):
        LmdbStore.open(tmp_path, map_gib=0.0625)
    store.close()
    again = LmdbStore.open(tmp_path, map_gib=0.0625)
    again.close()


def test_another_process_sees_each_write(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, map_gib=0.0625)
    store.write([(b"a", b"1")])
    with subprocess.Popen(
        [sys.executable, "-c", READ, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin is not None and reader.stdout is not None
        assert reader.stdout.readline() == "b'1'\n"
        store.write([(b"a", b"2" * 10)])
        print("next", file=reader.stdin, flush=True)
        assert reader.stdout.readline() == f"{b'2' * 10!r}\n"
        reader.kill()
    store.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        LmdbStore.open(tmp_path / "online", readonly=True)
    assert not (tmp_path / "online").exists()
    LmdbStore.open(tmp_path / "online", map_gib=0.0625).close()
    reader = LmdbStore.open(tmp_path / "online", readonly=True)
    with pytest.raises(StorageError, match="reading only"):
        reader.write([(b"a", b"1")])
    reader.close()


def test_a_full_map_says_what_to_raise_and_keeps_nothing(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, map_gib=1 / 1024)
    store.write([(b"a", b"1")])
    with pytest.raises(StorageError, match="full") as caught:
        store.write([(b"a", b"2"), (b"big", bytes(2 << 20))])
    assert "online_map_gib" in caught.value.hint
    assert store.get_many([b"a", b"big"]) == [b"1", None]
    store.write([(b"b", b"still usable")])
    store.close()
    larger = LmdbStore.open(tmp_path, map_gib=4 / 1024)
    larger.write([(b"big", bytes(2 << 20))])
    assert larger.get_many([b"a", b"b"]) == [b"1", b"still usable"]
    larger.close()


def test_a_reader_adopts_a_larger_map(tmp_path: Path) -> None:
    LmdbStore.open(tmp_path, map_gib=1 / 1024).close()
    with subprocess.Popen(
        [sys.executable, "-c", READ, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin is not None and reader.stdout is not None
        assert reader.stdout.readline() == "None\n"
        writer = LmdbStore.open(tmp_path, map_gib=16 / 1024)
        writer.write([(b"%d" % number, bytes(100_000)) for number in range(50)] + [(b"a", b"1")])
        print("next", file=reader.stdin, flush=True)
        assert reader.stdout.readline() == "b'1'\n"
        writer.close()
        reader.kill()


def test_what_is_no_store_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"not LMDB" * 4096)
    for readonly in (False, True):
        with pytest.raises(CorruptionError, match=str(tmp_path)):
            LmdbStore.open(tmp_path, map_gib=0.0625, readonly=readonly)
    (tmp_path / "data.mdb").unlink()
    LmdbStore.open(tmp_path, map_gib=0.0625).close()


def test_a_store_cut_short_is_refused_by_name(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, map_gib=0.0625)
    store.write([(b"%05d" % number, bytes(1000)) for number in range(500)])
    store.close()
    with (tmp_path / "data.mdb").open("r+b") as file:
        file.truncate(8192 + 4096)
    for readonly in (False, True):
        with pytest.raises(CorruptionError, match=r"data\.mdb has 12288 bytes instead of"):
            LmdbStore.open(tmp_path, map_gib=0.0625, readonly=readonly)


@pytest.mark.parametrize("page", [0, 1])
def test_a_damaged_first_page_never_brings_back_an_older_state(tmp_path: Path, page: int) -> None:
    store = LmdbStore.open(tmp_path, map_gib=0.0625)
    for number in range(4):
        store.write([(b"a", b"%d" % number)])
    store.close()
    content = bytearray((tmp_path / "data.mdb").read_bytes())
    content[page * 4096 + 16] ^= 0xFF
    (tmp_path / "data.mdb").write_bytes(bytes(content))
    try:
        damaged = LmdbStore.open(tmp_path, map_gib=0.0625)
    except CorruptionError as error:
        assert str(tmp_path) in str(error)
    else:
        assert damaged.get_many([b"a"]) == [b"3"]
        damaged.close()


def test_a_write_of_nothing_is_no_newer_state(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, map_gib=0.0625)
    store.write([(b"a", b"1")])
    store.write([])
    store.write([], deletes=[b"never there"])
    store.close()
    store = LmdbStore.open(tmp_path, map_gib=0.0625)
    assert store.get_many([b"a"]) == [b"1"]
    store.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, map_gib=0.0625)
    store.close()
    with pytest.raises(StorageError, match=str(tmp_path)):
        store.get_many([b"a"])
    with pytest.raises(StorageError, match=str(tmp_path)):
        store.scan(b"", 1)


def test_a_snapshot_used_too_late_says_so(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, map_gib=0.0625)
    with store.snapshot() as snapshot:
        pass
    with pytest.raises(StorageError, match=str(tmp_path)):
        snapshot.get(b"a")
    with pytest.raises(StorageError, match=str(tmp_path)):
        snapshot.get_many([b"a"])
    store.close()


def test_the_gateway_loads_no_heavy_library_with_it() -> None:
    found = subprocess.run([sys.executable, "-c", GATEWAY_LIBRARIES], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
