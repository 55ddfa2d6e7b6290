"""A lock between processes that the kernel lets go when its holder dies."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from falaj.kernel.errors import Locked
from falaj.storage.disk import failure


class FileLock:
    """An exclusive advisory lock on a file that names its holder.

    Args:
        path: The lock file; made when absent and never removed, since removing it would let two holders in.
        what: What it guards, for the error.
        wait: Whether `acquire` waits for the holder; only for work that ends soon.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, FileLock(Path(folder) / "lock", "the project") as lock:
        ...     lock.held
        True
    """

    def __init__(self, path: Path, what: str, *, wait: bool = False) -> None:
        self._path = path
        self._what = what
        self._flags = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
        self._fd = -1

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd >= 0

    def acquire(self) -> None:
        """Take the lock: now or not at all, unless this lock waits.

        Raises:
            Locked: Somebody holds it; the message names the process.
            StorageError: The file cannot be made.
        """
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise failure(error, f"cannot open {self._path}") from error
        try:
            fcntl.flock(fd, self._flags)
        except BlockingIOError:
            holder = os.pread(fd, 64, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise Locked(
                f"{self._what} is held by process {holder}",
                hint=f"wait for it or end process {holder}; the lock frees itself when that process ends",
            ) from None
        except OSError as error:
            os.close(fd)
            raise failure(error, f"cannot lock {self._path}") from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        self._fd = fd

    def release(self) -> None:
        """Let the lock go; releasing twice is harmless."""
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)  # a forked child may still have the descriptor open
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
