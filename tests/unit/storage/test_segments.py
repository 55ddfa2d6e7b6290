"""Unnumbered records of one writer: one system call each, whole after any death."""

import errno
import os
import threading
import zlib
from pathlib import Path

import pytest

from falaj.kernel.errors import CorruptionError, DiskFull, InputError, Locked, NotFound, StorageError
from falaj.storage.disk import flush_file
from falaj.storage.eventlog.segments import SegmentWriter, finish_abandoned, read_segment
from support.storage_faults import room_for


def everything(folder: Path) -> list[bytes]:
    """Return all records, in the order of the segments."""
    return [record for path in sorted(folder.iterdir()) for record in read_segment(path)[0]]


def abandon(writer: SegmentWriter) -> Path:
    """Leave the writer as its process's death would: nothing flushed, nothing renamed, the lock gone."""
    writer._stop.set()
    os.close(writer._fd)
    writer._fd = -1
    return writer._path


def test_a_segment_is_read_while_it_grows_and_after(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "worker-0", fsync_ms=0)
    path = tmp_path / "worker-0-00000001.open"
    assert read_segment(path) == ([], 0)
    writer.write([b"a", b"bb"])
    records, offset = read_segment(path)
    assert records == [b"a", b"bb"]
    writer.write([])
    writer.write([b"ccc"])
    assert read_segment(path, offset) == ([b"ccc"], 30)
    writer.close()
    writer.close()
    with pytest.raises(NotFound, match=r"\.open") as caught:
        read_segment(path)
    assert "worker-0-00000001.seg" in caught.value.hint
    assert read_segment(tmp_path / "worker-0-00000001.seg") == ([b"a", b"bb", b"ccc"], 30)


def written_calls() -> int:
    """Return how often this process has called `write`, as the kernel counts it."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.partition(":")[2]) for line in lines if line.startswith("syscw:"))


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the kernel does not count system calls here")
def test_each_write_is_one_system_call(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "w", fsync_ms=3_600_000)
    before = written_calls()
    writer.write([b"x" * 10] * 50)
    assert written_calls() - before == 1
    writer.close()


def test_full_segments_are_finished_in_order(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "w", max_bytes=100, fsync_ms=0)
    written = [b"%03d" % number * 5 for number in range(40)]
    for start in range(0, 40, 2):
        writer.write(written[start : start + 2])
    assert len(list(tmp_path.glob("*.seg"))) >= 9
    assert len(list(tmp_path.glob("*.open"))) == 1
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    writer.write([b"longer than a segment" * 20])
    writer.close()
    assert everything(tmp_path) == [*written, b"longer than a segment" * 20]
    assert not list(tmp_path.glob("*.open"))


def test_rotated_segments_are_finished_by_a_later_flush(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "w", max_bytes=50, fsync_ms=3_600_000)
    writer.write([b"x" * 40])
    writer.write([b"y" * 40])
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".open", ".open"]
    assert everything(tmp_path) == [b"x" * 40, b"y" * 40]
    writer.sync()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w-00000001.seg", "w-00000002.open"]
    writer.close()


def test_the_flusher_finishes_by_itself(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "w", max_bytes=50, fsync_ms=1)
    writer.write([b"x" * 40])
    writer.write([b"y" * 40])
    for _ in range(2000):
        if (tmp_path / "w-00000001.seg").exists():
            break
        writer._stop.wait(0.005)
    assert read_segment(tmp_path / "w-00000001.seg")[0] == [b"x" * 40]
    assert writer.flush_failures == 0
    writer.close()


def test_a_writer_without_records_leaves_no_segment(tmp_path: Path) -> None:
    SegmentWriter(tmp_path, "w").close()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_writers_segment_is_finished_by_the_next(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "w", fsync_ms=0)
    writer.write([b"whole"])
    path = abandon(writer)
    with path.open("ab") as file:
        file.write(b"\x05\x00\x00\x00to")
    assert read_segment(path) == ([b"whole"], 13)
    successor = SegmentWriter(tmp_path, "w", fsync_ms=0)
    successor.write([b"next"])
    successor.close()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["w-00000001.seg", "w-00000002.seg"]
    assert everything(tmp_path) == [b"whole", b"next"]


def test_living_writers_are_left_alone(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "worker-1", fsync_ms=0)
    other = SegmentWriter(tmp_path, "worker-10", fsync_ms=0)
    other.write([b"kept"])
    with pytest.raises(Locked, match="worker-1-"):
        SegmentWriter(tmp_path, "worker-1")
    abandon(other)
    assert finish_abandoned(tmp_path) is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["worker-1-00000001.open", "worker-10-00000001.seg"]
    writer.write([b"goes on"])
    writer.close()
    assert finish_abandoned(tmp_path) is True
    assert everything(tmp_path) == [b"goes on", b"kept"]


def test_a_torn_tail_is_tolerated_only_while_the_segment_is_open(tmp_path: Path) -> None:
    record = b"record number two"
    frame = len(record).to_bytes(4, "little") + zlib.crc32(record).to_bytes(4, "little") + record
    writer = SegmentWriter(tmp_path, "w", fsync_ms=0)
    writer.write([b"one"])
    path = abandon(writer)
    whole = path.read_bytes()
    for length in range(1, len(frame)):
        path.write_bytes(whole + frame[:length])
        assert read_segment(path) == ([b"one"], len(whole))
        finished = path.with_suffix(".seg")
        finished.write_bytes(whole + frame[:length])
        with pytest.raises(CorruptionError, match=f"{finished.name} is damaged at byte {len(whole)}"):
            read_segment(finished)
    path.write_bytes(whole + bytes(64))
    assert read_segment(path) == ([b"one"], len(whole))


def test_every_flipped_byte_of_a_finished_segment_is_named(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "w", fsync_ms=0)
    writer.write([b"first", b"second", b"third"])
    writer.close()
    path = tmp_path / "w-00000001.seg"
    whole = path.read_bytes()
    for offset in range(len(whole)):
        content = bytearray(whole)
        content[offset] ^= 0x20
        path.write_bytes(bytes(content))
        with pytest.raises(CorruptionError, match=r"w-00000001\.seg is damaged at byte"):
            read_segment(path)


def test_a_flip_before_the_end_of_an_open_segment_is_named(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "w", fsync_ms=0)
    writer.write([b"first", b"second"])
    path = abandon(writer)
    content = bytearray(path.read_bytes())
    content[8] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CorruptionError, match="damaged at byte 0"):
        read_segment(path)
    assert finish_abandoned(tmp_path) is True
    with pytest.raises(CorruptionError, match=r"\.seg is damaged at byte 0"):
        read_segment(path.with_suffix(".seg"))


def test_a_part_that_fitted_is_taken_back(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "w", fsync_ms=0)
    writer.write([b"before"])
    with room_for(500), pytest.raises(DiskFull, match="w-00000001"):
        writer.write([b"does not fit" * 100])
    assert (tmp_path / "w-00000001.open").stat().st_size == 14
    writer.write([b"after"])
    writer.close()
    assert everything(tmp_path) == [b"before", b"after"]


def test_a_disk_that_does_not_flush_is_counted(tmp_path: Path) -> None:
    fails = [True]

    def flush(fd: int) -> None:
        if fails:
            fails.clear()
            raise OSError(errno.EIO, "Input/output error")
        flush_file(fd)

    writer = SegmentWriter(tmp_path, "w", fsync_ms=3_600_000, flush=flush)
    writer.write([b"x"])
    with pytest.raises(StorageError, match="cannot flush"):
        writer.sync()
    assert writer.flush_failures == 1
    writer.sync()
    writer.close()
    assert everything(tmp_path) == [b"x"]


def test_a_rotation_waits_for_no_flush(tmp_path: Path) -> None:
    flushing, go_on = threading.Event(), threading.Event()

    def flush(fd: int) -> None:
        flushing.set()
        assert go_on.wait(10)
        flush_file(fd)

    writer = SegmentWriter(tmp_path, "w", max_bytes=50, fsync_ms=3_600_000, flush=flush)
    writer.write([b"x" * 40])
    syncing = threading.Thread(target=writer.sync)
    syncing.start()
    assert flushing.wait(10)
    writer.write([b"y" * 40])
    writer.write([b"z" * 40])
    assert everything(tmp_path) == [b"x" * 40, b"y" * 40, b"z" * 40]
    go_on.set()
    syncing.join()
    writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"w-0000000{number}.seg" for number in (1, 2, 3)]


def test_an_empty_record_is_refused_with_its_batch(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "w", fsync_ms=0)
    with pytest.raises(InputError, match="0 bytes"):
        writer.write([b"fine", b""])
    writer.close()
    with pytest.raises(StorageError, match="closed"):
        writer.write([b"late"])
    assert list(tmp_path.iterdir()) == []
