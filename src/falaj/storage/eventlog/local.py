"""The durable log on the local disk: numbered frames in segment files, one writer process, shared flushes."""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from falaj.kernel.errors import FalajError, InputError, NotFound, StorageError
from falaj.storage.disk import failure, flush_file, flush_folder, refuse_network, write_all
from falaj.storage.eventlog.frames import (
    EVENT,
    FIRST_OF_GROUP,
    MAX_PAYLOAD_BYTES,
    BadFrame,
    encode,
    encode_reserve,
    later_group,
    walk,
)  # fmt: skip
from falaj.storage.eventlog.memory import check_count
from falaj.storage.eventlog.reader import SegmentReader, damaged, list_segments, segment_path
from falaj.storage.filelock import FileLock
from falaj.storage.watermark import Watermark

SEGMENT_BYTES = 64 << 20
Flush = Callable[[int], None]


@dataclass
class _Request:
    """What one caller wants written; a leader fills in the rest."""

    payloads: Sequence[bytes]
    reserve: int = 0
    first: int = 0
    done: bool = False
    error: FalajError | None = None


class LocalLog:
    """A folder of segments named by their first number.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> log = LocalLog.open(Path(folder.name))
        >>> log.append([b"a", b"b"]), log.reserve(10), log.append([b"c"])
        (1, 3, 13)
        >>> log.read(2, 10)
        [(2, b'b'), (13, b'c')]
        >>> log.close()
        >>> folder.cleanup()
    """

    def __init__(
        self, folder: Path, segments: list[int], lock: FileLock | None, segment_bytes: int, flush: Flush
    ) -> None:
        self._folder = folder
        self._segments = segments
        self._lock = lock
        self._segment_bytes = segment_bytes
        self._flush = flush
        self._watermark = Watermark(folder / "flushed")
        self._reader = SegmentReader(folder, self._watermark)
        self._fd = -1
        self._end = 0
        self._next = 1
        self._waiting: list[_Request] = []
        self._queue = threading.Lock()
        self._flushing = threading.Lock()
        self._broken = ""

    @classmethod
    def open(
        cls, folder: Path, segment_bytes: int = SEGMENT_BYTES, *, readonly: bool = False, flush: Flush = flush_file
    ) -> Self:
        """Open the log, or make it.

        Args:
            folder: Its folder.
            segment_bytes: A segment that has reached it is followed by a new one.
            readonly: Read what another process writes.
            flush: Makes what was written to a file descriptor durable.

        Raises:
            Locked: Another process writes the log.
            NotFound: There is no log to read.
            CorruptionError: The last segment is damaged before its end.
            Unsupported: The folder is on a network file system.
        """
        refuse_network(folder)
        if readonly:
            if not list_segments(folder):
                raise NotFound(f"event log {folder} does not exist")
            return cls(folder, [], None, segment_bytes, flush)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise failure(error, f"cannot make event log {folder}") from error
        lock = FileLock(folder / "writer.lock", f"event log {folder}")
        lock.acquire()
        log = cls(folder, list_segments(folder), lock, segment_bytes, flush)
        try:
            log._recover()
        except FalajError:
            log.close()
            raise
        except OSError as error:
            log.close()
            raise failure(error, f"cannot open event log {folder}") from error
        return log

    def append(self, payloads: Sequence[bytes]) -> int:
        """Keep the payloads under the next numbers and return the first, after a flush."""
        for payload in payloads:
            if len(payload) > MAX_PAYLOAD_BYTES:
                raise InputError(f"an event has {len(payload)} bytes", hint=f"{MAX_PAYLOAD_BYTES} are allowed")
        return self._submit(_Request(payloads))

    def reserve(self, count: int) -> int:
        """Take the next `count` numbers durably and return the first."""
        return self._submit(_Request((), reserve=check_count(count)))

    def read(self, from_seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return at most `limit` durable payloads from that number on."""
        try:
            if self._lock is None:
                return self._reader.read(list_segments(self._folder), from_seq, limit, None)
            with self._queue:
                segments, end = list(self._segments), self._end
            return self._reader.read(segments, from_seq, limit, end)
        except OSError as error:
            raise failure(error, f"cannot read event log {self._folder}") from error

    def next_seq(self) -> int:
        """Return the number that the next payload would get."""
        if self._lock is not None:
            return self._next
        return self._reader.end_of(list_segments(self._folder)[-1])

    def truncate_before(self, seq: int) -> None:
        """Remove the segments that hold only lower numbers; the last one always stays."""
        self._check_writable()
        with self._flushing:
            with self._queue:
                gone = [first for first, following in zip(self._segments, self._segments[1:], strict=False)
                        if following <= seq]  # fmt: skip
                self._segments = [first for first in self._segments if first not in gone]
            for first in gone:  # oldest first, so that a crash in between leaves no hole
                segment_path(self._folder, first).unlink(missing_ok=True)
                self._reader.forget(first)
            flush_folder(self._folder)

    def close(self) -> None:
        """Close the files and let the writer's lock go."""
        with self._flushing:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            self._watermark.close()
            if self._lock is not None:
                self._lock.release()
                self._broken = self._broken or "it is closed"

    def _check_writable(self) -> None:
        if self._lock is None:
            raise StorageError(f"event log {self._folder} was opened for reading only")
        if self._broken:
            raise StorageError(f"event log {self._folder} cannot be written: {self._broken}", hint="open it again")

    def _submit(self, request: _Request) -> int:
        """Queue the request; whoever gets the flushing lock first writes everything that is queued."""
        self._check_writable()
        with self._queue:
            self._waiting.append(request)
        with self._flushing:
            if not request.done:
                with self._queue:
                    group, self._waiting = self._waiting, []
                self._write_group(group)
        if request.error is not None:
            raise request.error
        return request.first

    def _write_group(self, group: list[_Request]) -> None:
        written = False
        try:
            self._check_writable()
            seq, frames = _encode_group(group, self._next)
            if frames and self._end >= self._segment_bytes:
                self._start_segment(self._next)
            data = b"".join(frames)
            if data:
                write_all(self._fd, data)
                self._flush(self._fd)
            with self._queue:
                self._end += len(data)
                self._next = seq
            written = True
            self._watermark.write(self._segments[-1], self._end)
        except FalajError as error:
            _refuse(group, error)
        except OSError as error:
            _refuse(group, failure(error, f"cannot write event log {self._folder}"))
        finally:
            if not written:
                _refuse(group, StorageError(f"writing event log {self._folder} was interrupted"))
                self._cut_back()
            for request in group:
                request.done = True

    def _cut_back(self) -> None:
        """Take back what was written and not flushed, so that the next group begins on a whole frame."""
        try:
            if self._fd < 0:
                return
            os.ftruncate(self._fd, self._end)
            os.lseek(self._fd, self._end, os.SEEK_SET)
            self._flush(self._fd)
        except OSError as error:
            self._broken = f"a failed write could not be taken back: {error.strerror}"

    def _start_segment(self, first: int) -> None:
        path = segment_path(self._folder, first)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            flush_folder(self._folder)
        except OSError:
            os.close(fd)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        with self._queue:
            self._fd, self._end = fd, 0
            self._segments.append(first)

    def _recover(self) -> None:
        """Find the end of the last segment and cut off what a crash left half written there."""
        place = self._watermark.read()
        if not self._segments:
            if place is not None:
                raise damaged(segment_path(self._folder, place[0]), 0, "the segment is missing")
            self._start_segment(1)
            return
        first = self._segments[-1]
        path = segment_path(self._folder, first)
        if place is not None and place[0] > first:
            raise damaged(segment_path(self._folder, place[0]), 0, "the segment is missing")
        flushed = place[1] if place is not None and place[0] == first else 0
        data = path.read_bytes()
        self._next, self._end = first, 0
        try:
            for end, seq, _ in walk(data, 0, first):
                self._next, self._end = seq + 1, end
        except BadFrame as bad:
            if bad.offset < flushed or later_group(data, bad.offset, self._next) is not None:
                raise damaged(path, bad.offset, bad.reason) from None
        if self._end < flushed:
            raise damaged(path, self._end, f"the segment had {flushed} bytes")
        self._fd = os.open(path, os.O_WRONLY)
        os.ftruncate(self._fd, self._end)
        os.lseek(self._fd, self._end, os.SEEK_SET)
        self._flush(self._fd)
        self._watermark.write(first, self._end)


def _encode_group(group: list[_Request], seq: int) -> tuple[int, list[bytes]]:
    """Number the requests from `seq` on; return the number after them and their frames."""
    frames: list[bytes] = []
    for request in group:
        request.first = seq
        if request.reserve:
            frames.append(encode_reserve(seq, request.reserve, 0 if frames else FIRST_OF_GROUP))
            seq += request.reserve
        for payload in request.payloads:
            frames.append(encode(seq, EVENT if frames else EVENT | FIRST_OF_GROUP, payload))
            seq += 1
    return seq, frames


def _refuse(group: list[_Request], error: FalajError) -> None:
    for request in group:
        request.error = request.error or error
