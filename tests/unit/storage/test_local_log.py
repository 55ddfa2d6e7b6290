"""The local log: what a crash leaves is cut, what was acknowledged and is damaged is named."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from falaj.kernel.errors import CorruptionError, DiskFull, InputError, Locked, NotFound, StorageError
from falaj.storage.disk import flush_file
from falaj.storage.eventlog.frames import EVENT, FIRST_OF_GROUP, HEADER_BYTES, MAX_PAYLOAD_BYTES, encode, walk
from falaj.storage.eventlog.local import LocalLog
from support.storage_faults import room_for

FIRST = "00000000000000000001.log"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LocalLog]:
    made = LocalLog.open(tmp_path)
    yield made
    made.close()


def fill(folder: Path, *groups: list[bytes], segment_bytes: int = 1 << 20) -> bytes:
    """Write the groups, close, and return the first segment's bytes."""
    log = LocalLog.open(folder, segment_bytes)
    for group in groups:
        log.append(group)
    log.close()
    return (folder / FIRST).read_bytes()


def test_numbers_go_on_after_opening_again(tmp_path: Path) -> None:
    for start in (1, 13, 25):
        log = LocalLog.open(tmp_path, segment_bytes=100)
        assert log.next_seq() == start
        assert log.append([b"a", b"b"]) == start
        assert log.reserve(10) == start + 2
        log.close()
    log = LocalLog.open(tmp_path)
    assert [seq for seq, _ in log.read(1, 100)] == [1, 2, 13, 14, 25, 26]
    assert len(list(tmp_path.glob("*.log"))) > 1
    log.close()


def test_a_torn_tail_is_cut_wherever_it_tore(tmp_path: Path) -> None:
    whole = fill(tmp_path, [b"first", b"second"])
    (tmp_path / "flushed").unlink()
    torn = encode(3, EVENT | FIRST_OF_GROUP, b"third") + encode(4, EVENT, b"fourth")
    third = HEADER_BYTES + len(b"third")
    for length in range(len(torn)):
        (tmp_path / FIRST).write_bytes(whole + torn[:length])
        log = LocalLog.open(tmp_path)
        kept = 3 if length >= third else 2
        assert log.next_seq() == kept + 1
        assert log.append([b"new"]) == kept + 1
        assert [payload for _, payload in log.read(1, 10)] == [*[b"first", b"second", b"third"][:kept], b"new"]
        log.close()
        (tmp_path / "flushed").unlink()


@pytest.mark.parametrize("tail", [bytes(1), bytes(5000), b"\xff" * 3], ids=["one zero", "unfilled", "noise"])
def test_a_tail_that_was_never_filled_is_cut(tmp_path: Path, tail: bytes) -> None:
    whole = fill(tmp_path, [b"first"])
    (tmp_path / FIRST).write_bytes(whole + tail)
    log = LocalLog.open(tmp_path)
    assert log.read(1, 10) == [(1, b"first")]
    assert (tmp_path / FIRST).read_bytes() == whole
    log.close()


def test_a_group_torn_in_its_middle_is_cut_after_a_power_cut(tmp_path: Path) -> None:
    whole = fill(tmp_path, [b"first"])
    unfilled = encode(2, EVENT | FIRST_OF_GROUP, b"x" * 100)[:50] + bytes(67)
    (tmp_path / FIRST).write_bytes(whole + unfilled + encode(3, EVENT, b"reached the disk, never acknowledged"))
    log = LocalLog.open(tmp_path)
    assert log.next_seq() == 2
    log.close()


def test_every_flipped_byte_of_what_was_acknowledged_is_named(tmp_path: Path) -> None:
    whole = fill(tmp_path, [b"first"], [b"second", b"third"])
    for offset in range(len(whole)):
        content = bytearray(whole)
        content[offset] ^= 0x10
        (tmp_path / FIRST).write_bytes(bytes(content))
        frame = 0 if offset < 22 else 22 if offset < 45 else 45
        with pytest.raises(CorruptionError, match=rf"{FIRST} is damaged at byte {frame}"):
            LocalLog.open(tmp_path)


def test_a_flip_before_a_later_flush_is_named_even_when_the_mark_is_lost(tmp_path: Path) -> None:
    whole = fill(tmp_path, [b"first"], [b"second"])
    (tmp_path / "flushed").unlink()
    content = bytearray(whole)
    content[HEADER_BYTES] ^= 1
    (tmp_path / FIRST).write_bytes(bytes(content))
    with pytest.raises(CorruptionError, match="at byte 0"):
        LocalLog.open(tmp_path)


def test_bytes_missing_at_the_end_are_named(tmp_path: Path) -> None:
    whole = fill(tmp_path, [b"first", b"second"])
    for cut in (1, 10, 30, len(whole)):
        (tmp_path / FIRST).write_bytes(whole[:-cut])
        with pytest.raises(CorruptionError, match=FIRST):
            LocalLog.open(tmp_path)


def test_a_flip_in_an_older_segment_is_named_when_it_is_read(tmp_path: Path) -> None:
    whole = fill(tmp_path, [b"a" * 200], [b"b" * 200], [b"c" * 200], segment_bytes=300)
    content = bytearray(whole)
    content[-1] ^= 1
    (tmp_path / FIRST).write_bytes(bytes(content))
    for readonly in (False, True):
        log = LocalLog.open(tmp_path, readonly=readonly)
        assert log.read(1, 1) == [(1, b"a" * 200)]
        assert log.read(3, 1) == [(3, b"c" * 200)]
        with pytest.raises(CorruptionError, match=f"{FIRST} is damaged at byte 217"):
            log.read(1, 10)
        log.close()


@pytest.mark.parametrize("gone", [1, 2])
def test_a_missing_segment_is_named(tmp_path: Path, gone: int) -> None:
    fill(tmp_path, [b"a" * 200], [b"b" * 200], [b"c" * 200], segment_bytes=100)
    segments = sorted(tmp_path.glob("*.log"))
    segments[gone].unlink()
    with pytest.raises(CorruptionError, match=r"\.log"):
        log = LocalLog.open(tmp_path)
        try:
            log.read(1, 10)
        finally:
            log.close()


def test_no_segment_at_all_after_an_acknowledgement_is_named(tmp_path: Path) -> None:
    fill(tmp_path, [b"a"])
    (tmp_path / FIRST).unlink()
    with pytest.raises(CorruptionError, match="missing"):
        LocalLog.open(tmp_path)


def test_one_process_writes(tmp_path: Path, log: LocalLog) -> None:
    with pytest.raises(Locked, match=f"process {os.getpid()}"):
        LocalLog.open(tmp_path)
    log.close()
    LocalLog.open(tmp_path).close()


def test_a_reader_follows_the_writer(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        LocalLog.open(tmp_path / "none", readonly=True)
    log = LocalLog.open(tmp_path, segment_bytes=100)
    reader = LocalLog.open(tmp_path, readonly=True)
    assert reader.next_seq() == 1
    assert reader.read(1, 10) == []
    for number in range(1, 20):
        log.append([b"%02d" % number * 10])
        assert reader.next_seq() == number + 1
        assert reader.read(number, 10) == [(number, b"%02d" % number * 10)]
    log.reserve(5)
    assert reader.next_seq() == 25
    assert reader.read(1, 100) == log.read(1, 100)
    for call in (lambda: reader.append([b"x"]), lambda: reader.reserve(1), lambda: reader.truncate_before(3)):
        with pytest.raises(StorageError, match="reading only"):
            call()
    log.truncate_before(10)
    assert reader.read(1, 100) == log.read(1, 100)
    reader.close()
    log.close()


def test_a_reader_waits_for_a_frame_that_is_being_written(tmp_path: Path, log: LocalLog) -> None:
    log.append([b"first"])
    reader = LocalLog.open(tmp_path, readonly=True)
    frame = encode(2, EVENT | FIRST_OF_GROUP, b"second")
    with (tmp_path / FIRST).open("ab") as segment:
        segment.write(frame[:10])
        segment.flush()
        assert reader.read(1, 10) == [(1, b"first")]
        assert reader.next_seq() == 2
        segment.write(frame[10:])
    assert reader.read(1, 10) == [(1, b"first"), (2, b"second")]
    reader.close()


def test_reading_far_into_large_segments_needs_no_walk_from_the_start(log: LocalLog) -> None:
    payloads = [b"%06d" % number + bytes(400) for number in range(1, 3001)]
    log.append(payloads)
    big = bytes(1 << 20)
    log.append([big, b"after"])
    assert log.read(2990, 3) == list(enumerate(payloads[2989:2992], 2990))
    assert log.read(3001, 2) == [(3001, big), (3002, b"after")]
    assert log.read(1, 1) == [(1, payloads[0])]
    position, seen = 1, 0
    while batch := log.read(position, 100):
        seen += len(batch)
        position = batch[-1][0] + 1
    assert seen == 3002


def test_a_payload_too_long_is_refused_before_anything_is_written(log: LocalLog) -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return MAX_PAYLOAD_BYTES + 1

    with pytest.raises(InputError, match="bytes"):
        log.append([b"fine", Long()])
    assert log.next_seq() == 1


class Disk:
    """Flushes as told: fails a number of times, or waits to be let go on."""

    def __init__(self) -> None:
        self.failures: list[BaseException | None] = []
        self.flushes = 0
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def flush(self, fd: int) -> None:
        self.flushes += 1
        self.reached.set()
        assert self.go_on.wait(10)
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        flush_file(fd)


def test_appenders_that_wait_together_share_one_flush(tmp_path: Path) -> None:
    disk = Disk()
    log = LocalLog.open(tmp_path, flush=disk.flush)
    log.append([b"first"])
    before = disk.flushes
    disk.reached.clear()
    disk.go_on.clear()
    firsts: list[int] = []
    threads = [threading.Thread(target=lambda: firsts.append(log.append([b"x", b"y"]))) for _ in range(20)]
    threads[0].start()
    assert disk.reached.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(log._waiting) < 19:  # all others have queued up behind the flush that is under way
        os.sched_yield()
    disk.go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(firsts) == list(range(2, 42, 2))
    assert disk.flushes == before + 2
    log.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failed_flush_takes_everything_of_its_group_back(tmp_path: Path, number: int) -> None:
    disk = Disk()
    log = LocalLog.open(tmp_path, flush=disk.flush)
    log.append([b"kept"])
    disk.failures = [OSError(number, os.strerror(number))]
    with pytest.raises(DiskFull if number == errno.ENOSPC else StorageError, match="cannot write event log"):
        log.append([b"lost"])
    assert log.next_seq() == 2
    assert log.append([b"next"]) == 2
    log.close()
    again = LocalLog.open(tmp_path)
    assert again.read(1, 10) == [(1, b"kept"), (2, b"next")]
    again.close()


def test_an_interrupted_leader_acknowledges_nothing_for_those_who_wait(tmp_path: Path) -> None:
    disk = Disk()
    log = LocalLog.open(tmp_path, flush=disk.flush)
    log.append([b"kept"])
    disk.reached.clear()
    disk.go_on.clear()
    outcomes: list[BaseException] = []

    def work() -> None:
        try:
            log.append([b"lost"])
        except (KeyboardInterrupt, StorageError) as error:
            outcomes.append(error)

    first = threading.Thread(target=lambda: log.append([b"also kept"]))
    first.start()
    assert disk.reached.wait(10)
    rest = [threading.Thread(target=work) for _ in range(5)]
    for thread in rest:
        thread.start()
    while len(log._waiting) < 5:
        os.sched_yield()
    disk.failures = [None, KeyboardInterrupt()]
    disk.go_on.set()
    for thread in (first, *rest):
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["KeyboardInterrupt", *["StorageError"] * 4]
    assert log.append([b"next"]) == 3
    assert log.read(1, 10) == [(1, b"kept"), (2, b"also kept"), (3, b"next")]
    log.close()


def test_a_log_that_cannot_take_back_a_failed_write_stops(tmp_path: Path) -> None:
    disk = Disk()
    log = LocalLog.open(tmp_path, flush=disk.flush)
    log.append([b"kept"])
    disk.failures = [OSError(errno.EIO, "Input/output error"), OSError(errno.EIO, "Input/output error")]
    with pytest.raises(StorageError, match="Input/output"):
        log.append([b"lost"])
    with pytest.raises(StorageError, match="could not be taken back"):
        log.append([b"refused"])
    assert log.read(1, 10) == [(1, b"kept")]
    log.close()


def test_a_full_disk_is_said_plainly_and_the_log_goes_on_when_there_is_room(tmp_path: Path) -> None:
    log = LocalLog.open(tmp_path)
    log.append([b"kept"])
    with room_for(3000), pytest.raises(DiskFull, match="cannot write event log"):
        log.append([bytes(1000)] * 10)
    assert log.next_seq() == 2
    assert (tmp_path / FIRST).stat().st_size == 21
    assert log.append([b"next"]) == 2
    log.close()
    again = LocalLog.open(tmp_path)
    assert again.read(1, 10) == [(1, b"kept"), (2, b"next")]
    again.close()


def test_a_closed_log_says_so(tmp_path: Path) -> None:
    log = LocalLog.open(tmp_path)
    log.close()
    with pytest.raises(StorageError, match="closed"):
        log.append([b"x"])


def test_frames_walk_as_they_were_written() -> None:
    frames = [encode(seq, EVENT, b"x" * seq) for seq in (5, 6, 7)]
    assert [(seq, payload) for _, seq, payload in walk(b"".join(frames), 0, 5)] == [
        (5, b"x" * 5),
        (6, b"x" * 6),
        (7, b"x" * 7),
    ]
