"""A full disk: said plainly, nothing acknowledged is lost, and the work goes on when there is room again."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import text

from falaj.kernel.errors import DiskFull
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.disk import write_atomically
from falaj.storage.eventlog.local import LocalLog
from falaj.storage.eventlog.segments import SegmentWriter, read_segment
from falaj.storage.keyvalue.lmdb import LmdbStore
from falaj.storage.metadata.database import Database
from falaj.storage.tables.delta import DeltaTables
from support.small_disk import small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    with small_disk(tmp_path / "disk", "2m") as folder:
        yield folder


@pytest.fixture
def ballast(disk: Path) -> Path:
    """A file that takes room, to be removed when there shall be some again."""
    path = disk / "ballast"
    path.write_bytes(bytes(1_200_000))
    return path


def test_the_event_log(disk: Path, ballast: Path) -> None:
    log = LocalLog.open(disk / "log", segment_bytes=100_000)
    kept = 0
    with pytest.raises(DiskFull, match="cannot write event log"):
        while True:
            kept = log.append([bytes(3000)] * 5) + 4
    with pytest.raises(DiskFull):
        log.append([bytes(1 << 20)])
    assert log.next_seq() == kept + 1
    ballast.unlink()
    assert log.append([b"room again"]) == kept + 1
    log.close()
    log = LocalLog.open(disk / "log")
    events = log.read(1, 10_000)
    log.close()
    assert [seq for seq, _ in events] == list(range(1, kept + 2))
    assert events[-1][1] == b"room again"


def test_prediction_segments(disk: Path, ballast: Path) -> None:
    writer = SegmentWriter(disk / "log", "worker", max_bytes=100_000, fsync_ms=0)
    kept = 0
    with pytest.raises(DiskFull, match="worker"):
        while True:
            writer.write([bytes(3001)] * 5)
            kept += 5
    ballast.unlink()
    writer.write([b"room again"])
    writer.close()
    records = [record for path in sorted((disk / "log").iterdir()) for record in read_segment(path)[0]]
    assert records == [bytes(3001)] * kept + [b"room again"]


def test_the_online_store(disk: Path, ballast: Path) -> None:
    store = LmdbStore.open(disk / "online", map_gib=0.0625)
    kept = 0
    with pytest.raises(DiskFull, match="online store"):
        while True:
            store.write([(b"%d" % kept, bytes(10_000)), (b"last", b"%d" % kept)])
            kept += 1
    assert store.get_many([b"last", b"%d" % kept]) == [b"%d" % (kept - 1), None]
    ballast.unlink()
    store.write([(b"last", b"room again")])
    store.close()
    store = LmdbStore.open(disk / "online", map_gib=0.0625)
    assert store.get_many([b"last", b"0"]) == [b"room again", bytes(10_000)]
    store.close()


def test_the_database(disk: Path, ballast: Path) -> None:
    database = Database.sqlite(disk / "falaj.db")
    with database.write() as connection:
        connection.execute(text("create table note (n integer, body blob)"))
    kept = 0
    with pytest.raises(DiskFull, match=r"falaj\.db: the disk is full"):
        while True:
            with database.write() as connection:
                connection.execute(text("insert into note values (:n, zeroblob(20000))"), {"n": kept})
            kept += 1
    ballast.unlink()
    with database.write() as connection:
        connection.execute(text("insert into note values (:n, zeroblob(20000))"), {"n": kept})
    with database.read() as connection:
        assert connection.execute(text("select n from note order by n")).scalars().all() == list(range(kept + 1))
    database.check()
    database.close()


def test_tables(disk: Path, ballast: Path) -> None:
    tables = DeltaTables(disk / "tables")
    noise = pa.array([os.urandom(1000) for _ in range(100)])
    kept = 0
    with pytest.raises(DiskFull, match="table 'source/x'"):
        while True:
            tables.append("source/x", pa.table({"n": [kept] * 100, "noise": noise}))
            kept += 1
    assert tables.read("source/x").count_rows() == kept * 100
    with pytest.raises(DiskFull, match="table 'source/x'"):
        tables.overwrite("source/x", pa.table({"noise": pa.array([os.urandom(1 << 20)])}))
    assert tables.read("source/x").count_rows() == kept * 100
    ballast.unlink()
    tables.append("source/x", pa.table({"n": [kept], "noise": noise[:1]}))
    assert tables.read("source/x").count_rows() == kept * 100 + 1


def test_a_log_entry_that_does_not_fit(disk: Path) -> None:
    """Room for the rows but none for the entry that names them: the failure comes from the log's own writer."""
    tables = DeltaTables(disk / "tables")
    before = tables.append("t", pa.table({"n": [1]}))
    ballast = disk / "ballast"
    wide = pa.table({f"column_{number:04d}_{'x' * 50}": [1] for number in range(300)})
    for free in range(4096, 400_000, 36_864):
        usage = os.statvfs(disk)
        ballast.write_bytes(bytes(max(usage.f_bavail * usage.f_frsize - free, 0)))
        try:
            after = tables.append("t", wide)
        except DiskFull:
            assert tables.read("t").count_rows() == 1
            assert len(list((disk / "tables" / "t").glob("*.parquet"))) == 1
        else:
            assert after > before
            break
        finally:
            ballast.unlink()
    assert tables.append("t", pa.table({"n": [2]})) > before
    assert tables.read("t").count_rows() == 3


def test_blobs_and_files(disk: Path, ballast: Path) -> None:
    blobs = LocalBlobs(disk / "blobs")
    kept = blobs.put(b"kept")
    write_atomically(disk / "settings", b"old")
    with pytest.raises(DiskFull, match="blob"):
        blobs.put(bytes(1 << 20))
    with pytest.raises(DiskFull, match="settings"):
        write_atomically(disk / "settings", bytes(1 << 20))
    assert (disk / "settings").read_bytes() == b"old"
    assert blobs.get(kept) == b"kept"
    assert {path.name for path in (disk / "blobs").iterdir() if path.is_file()} == set()
    ballast.unlink()
    assert blobs.exists(blobs.put(bytes(1 << 20)))
