"""Buckets: token buckets in a small file that all workers of a machine share, so that one limit holds over them all."""

import fcntl
import hashlib
import mmap
import os
import struct
from pathlib import Path

from falaj.kernel.rate import Rate
from falaj.storage.disk import failure

_SETS = 4096
_WAYS = 16
_SLOT = struct.Struct("<16sqqq")
_SET_BYTES = _SLOT.size * _WAYS
FILE = "rates.buckets"

_NOBODY = bytes(16)


class Buckets:
    """The file: 65,536 buckets, in sets of 16; a key's bucket is in the set that its digest names.

    The lock of a set is a record lock of the system, so the death of a worker lets it go. A bucket that is full again
    is the same as none, so its place may be taken. Should the 16 of a set all be in use, the one that is full first
    gives way, and what it knew is forgotten; with 4,000 keys in use at the same time that happens to none of them.

    Two objects of one process do not exclude each other, since record locks belong to processes.

    Args:
        path: The file; made when there is none. It holds nothing that must survive the machine.

    Raises:
        StorageError: The file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._fd, _SETS * _SET_BYTES)  # to the size that it has: whoever comes second changes nothing
            self._map = mmap.mmap(self._fd, _SETS * _SET_BYTES)
        except OSError as error:
            raise failure(error, f"cannot use {path}") from error

    def bucket(self, key: str, rate: Rate) -> "Bucket":
        """Return the bucket of a key.

        Args:
            key: What the limit is of, such as `token:tok_1`.
            rate: How fast it fills and how much it holds.
        """
        digest = hashlib.sha256(key.encode()).digest()[:16]
        begin = int.from_bytes(digest[:4], "little") % _SETS * _SET_BYTES
        return Bucket(self._fd, self._map, digest, begin, rate)

    def close(self) -> None:
        """Let the file go."""
        self._map.close()
        os.close(self._fd)


class Bucket:
    """One token bucket. All of it is whole numbers, so that no rounding lets anything through.

    What it holds is counted in parts: one that may pass is `period_us` of them, and in every microsecond `count` come.

    Args:
        fd: The file, for the lock.
        shared: Its bytes.
        digest: Whose it is: 16 bytes.
        begin: Where its set begins.
        rate: How fast it fills and how much it holds.
    """

    __slots__ = ("_at", "_begin", "_digest", "_fd", "_full", "_map", "rate")

    def __init__(self, fd: int, shared: mmap.mmap, digest: bytes, begin: int, rate: Rate) -> None:
        self._fd = fd
        self._map = shared
        self._digest = digest
        self._begin = begin
        self._at = begin  # where it was last
        self._full = rate.burst * rate.period_us
        self.rate = rate

    def take(self, count: int, now_us: int) -> int:
        """Take so many, or none.

        Args:
            count: How many; negative to give back what was taken a moment ago.
            now_us: The present instant, of a clock that all workers share.

        Returns:
            0 when they were taken; otherwise after how many microseconds they could be, if nobody else came.
        """
        level: int
        since_us: int
        rate, fd, begin = self.rate, self._fd, self._begin
        fcntl.lockf(fd, fcntl.LOCK_EX, _SET_BYTES, begin)
        try:
            at = self._at
            digest, level, since_us, _ = _SLOT.unpack_from(self._map, at)
            if digest != self._digest:
                at = self._at = self._find(now_us)
                digest, level, since_us, _ = _SLOT.unpack_from(self._map, at)
            if digest != self._digest:
                level = self._full
            elif now_us > since_us:
                level += (now_us - since_us) * rate.count
            else:  # the clock was set back, or the other worker's was read a moment later: nothing has come since
                now_us = since_us if since_us - now_us < rate.period_us else now_us
            level = min(level, self._full) - count * rate.period_us
            if level < 0:
                return -(level // rate.count)
            level = min(level, self._full)
            full_us = now_us - (level - self._full) // rate.count
            _SLOT.pack_into(self._map, at, self._digest, level, now_us, full_us)
            return 0
        finally:
            fcntl.lockf(fd, fcntl.LOCK_UN, _SET_BYTES, begin)

    def _find(self, now_us: int) -> int:
        """Return the place of the key in its set; where there is none, the place that can best be spared."""
        best, best_us = self._begin, 1 << 63
        for at in range(self._begin, self._begin + _SET_BYTES, _SLOT.size):
            digest, _, _, full_us = _SLOT.unpack_from(self._map, at)
            if digest == self._digest:
                return at
            spared_us = 0 if digest == _NOBODY or full_us <= now_us else full_us
            if spared_us < best_us:
                best, best_us = at, spared_us
        return best
