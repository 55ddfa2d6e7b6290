"""Append-only files of unnumbered records, one writer each: the prediction log of a gateway worker.

A record is lost by no death of its process, since every `write` is one `os.write`; a power cut may lose the last
`fsync_ms`. Frames are length (u32), CRC-32 of the payload (u32), payload; little-endian.
"""

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from falaj.kernel.errors import CorruptionError, InputError, Locked, NotFound, StorageError
from falaj.storage.disk import failure, flush_file, flush_folder

OPEN = ".open"
FINISHED = ".seg"
MAX_RECORD_BYTES = 64 << 20
_HEADER = struct.Struct("<II")


class SegmentWriter:
    """Writes the segments `<prefix>-<number>`; `.open` while it grows, `.seg` when finished and flushed.

    Only one thread may call `write`. A thread of its own flushes, so that no writer ever waits for the disk.

    Args:
        folder: Where the segments are; made when absent.
        prefix: What tells this writer's segments from others', such as a worker's name.
        max_bytes: A segment that has reached it is finished.
        fsync_ms: The longest time that written records stay unflushed; 0 flushes within every write.
        flush: Makes what was written to a file descriptor durable.

    Attributes:
        flush_failures: How often the disk refused to flush.

    Raises:
        Locked: Another writer uses this prefix.
        StorageError: The folder cannot be written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> writer = SegmentWriter(Path(folder.name), "worker-0", max_bytes=1 << 20, fsync_ms=0)
        >>> writer.write([b"first", b"second"])
        >>> writer.close()
        >>> read_segment(next(Path(folder.name).glob("*.seg")))
        ([b'first', b'second'], 27)
        >>> folder.cleanup()
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        max_bytes: int = 64 << 20,
        fsync_ms: int = 1000,
        flush: Callable[[int], None] = flush_file,
    ) -> None:
        self._folder = folder
        self._prefix = prefix
        self._flush = flush
        self._max_bytes = max_bytes
        self._each_write = fsync_ms <= 0
        self.flush_failures = 0
        self._dirty = False
        self._swap = threading.Lock()
        self._flushing = threading.Lock()
        self._retired: list[tuple[int, Path]] = []
        self._stop = threading.Event()
        self._fd, self._path, self._size = -1, folder, 0
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not finish_abandoned(folder, prefix):
                raise Locked(
                    f"segments {folder / prefix}-* have another writer", hint="give each writer its own prefix"
                )
            self._number = _last_number(folder, prefix)
            self._start()
        except OSError as error:
            raise failure(error, f"cannot write segments in {folder}") from error
        self._flusher = threading.Thread(
            target=self._flush_forever, args=(max(fsync_ms, 1) / 1000,), name=f"flush-{prefix}", daemon=True
        )
        if not self._each_write:
            self._flusher.start()

    def write(self, records: Sequence[bytes]) -> None:
        """Append the records with one system call; none or all of them are kept.

        Raises:
            InputError: A record is empty or longer than 64 MiB.
            DiskFull: No space is left; the segment is as it was.
            StorageError: The disk failed, or the writer is closed.
        """
        if not records:
            return
        parts = []
        for record in records:
            if not 0 < len(record) <= MAX_RECORD_BYTES:
                raise InputError(f"a record has {len(record)} bytes", hint="give 1 to 64 MiB")
            parts.append(_HEADER.pack(len(record), zlib.crc32(record)))
            parts.append(record)
        data = b"".join(parts)
        if self._fd < 0:
            raise StorageError(f"segment writer {self._prefix} is closed")
        try:
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            self._append(data)
        except OSError as error:
            raise failure(error, f"cannot write segment {self._path}") from error

    def sync(self) -> None:
        """Return when a power cut would lose nothing of what was written; finishes what was rotated out."""
        with self._flushing:
            with self._swap:
                dirty, self._dirty = self._dirty, False
                fd = os.dup(self._fd) if dirty and self._fd >= 0 else -1  # a rotation need not wait for the flush
            try:
                if fd >= 0:
                    self._flush(fd)
                while self._retired:
                    _finish(*self._retired[0])
                    self._retired.pop(0)
            except OSError as error:
                self._dirty = True
                self.flush_failures += 1
                raise failure(error, f"cannot flush segment {self._path}") from error
            finally:
                if fd >= 0:
                    os.close(fd)

    def close(self) -> None:
        """Flush and finish the segment; closing twice is harmless."""
        self._stop.set()
        if self._flusher.is_alive():
            self._flusher.join()
        if self._fd >= 0:
            with self._swap:
                self._retired.append((self._fd, self._path))
                self._fd = -1
            self.sync()

    def _append(self, data: bytes) -> None:
        written = False
        try:
            written = os.write(self._fd, data) == len(data)
            if not written:  # the kernel takes a part only when there is no room for the rest
                raise OSError(28, "No space left on device")
            self._size += len(data)
            self._dirty = True
        finally:
            if not written:
                os.ftruncate(self._fd, self._size)
        if self._each_write:
            self.sync()

    def _start(self) -> None:
        path = self._folder / f"{self._prefix}-{self._number + 1:08d}{OPEN}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        self._number += 1
        if not path.exists():  # `finish_abandoned` took it for a dead writer's before it was locked
            os.close(fd)
            self._start()
            return
        self._fd, self._path, self._size = fd, path, 0

    def _rotate(self) -> None:
        with self._swap:
            old = (self._fd, self._path)
            self._start()
            self._retired.append(old)

    def _flush_forever(self, pause_s: float) -> None:
        while not self._stop.wait(pause_s):
            try:
                self.sync()
            except StorageError:
                continue  # counted; the records are in the kernel, the next pass tries again, and `close` says so


def read_segment(path: Path, offset: int = 0) -> tuple[list[bytes], int]:
    """Return the records from the offset on, and the offset after the last of them.

    A growing segment may end in a record that is not whole yet; it is left for the next call.

    Raises:
        NotFound: The file does not exist; a growing one may have been finished under its other name.
        CorruptionError: A record does not have its checksum, or a finished segment ends within a record.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        raise NotFound(f"segment {path} does not exist", hint=f"look for {path.with_suffix(FINISHED).name}") from None
    except OSError as error:
        raise failure(error, f"cannot read segment {path}") from error
    records, used, reason = _whole_records(data)
    torn = path.suffix == OPEN and _is_torn(data, used)
    if reason and not torn:
        raise CorruptionError(
            f"segment {path} is damaged at byte {offset + used}: {reason}",
            hint="restore it from a backup; it is not used as it is",
        )
    return records, offset + used


def finish_abandoned(folder: Path, prefix: str | None = None) -> bool:
    """Finish the segments of writers that died, cutting off what they left half written.

    Args:
        folder: Where the segments are.
        prefix: Only segments of this writer; of all by default.

    Returns:
        Whether none was left alone because its writer lives.
    """
    alone = True
    for path in sorted(folder.glob(f"*{OPEN}")):
        if prefix is not None and path.stem.rpartition("-")[0] != prefix:
            continue
        try:
            fd = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue  # its writer finished it meanwhile
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            alone = False
            continue
        data = path.read_bytes()
        _, used, _ = _whole_records(data)
        if _is_torn(data, used):
            os.ftruncate(fd, used)
        _finish(fd, path)
    return alone


def _whole_records(data: bytes) -> tuple[list[bytes], int, str]:
    """Return the records, where they end, and why the next bytes are none."""
    records: list[bytes] = []
    at, size = 0, len(data)
    while at < size:
        if size - at < _HEADER.size:
            return records, at, "the record is cut off"
        length, crc = _HEADER.unpack_from(data, at)
        end = at + _HEADER.size + length
        if length == 0 or end > size:
            return records, at, "the record is cut off or its length is wrong"
        record = data[at + _HEADER.size : end]
        if zlib.crc32(record) != crc:
            return records, at, "the record does not have its checksum"
        records.append(record)
        at = end
    return records, at, ""


def _is_torn(data: bytes, at: int) -> bool:
    """Return whether what follows the whole records can come from a crash: cut off, last of all, or never filled."""
    rest = data[at:]
    if len(rest) < _HEADER.size:
        return True
    length = _HEADER.unpack_from(rest)[0]
    return not any(rest) or (length <= MAX_RECORD_BYTES and _HEADER.size + length >= len(rest))


def _finish(fd: int, path: Path) -> None:
    """Flush the segment and give it its final name; an empty one goes."""
    flush_file(fd)
    if os.fstat(fd).st_size:
        path.rename(path.with_suffix(FINISHED))
    else:
        path.unlink()
    flush_folder(path.parent)
    os.close(fd)


def _last_number(folder: Path, prefix: str) -> int:
    names = (path.stem.rpartition("-") for path in folder.glob(f"{prefix}-*") if path.suffix in {OPEN, FINISHED})
    return max((int(number) for start, _, number in names if start == prefix and number.isdigit()), default=0)
