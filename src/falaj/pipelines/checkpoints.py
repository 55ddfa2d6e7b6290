"""Checkpoints: the folder of a step's key, which one attempt has at a time.

Two runs may come to the same step at the same moment. Whoever comes second works in a folder of its own: in one that
both had, each would overwrite what the other goes on from, and the first to end would take it away.
"""

import contextlib
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_OFFSETS = 2**62


class _Locks:
    """Names that are held in a folder, by this process's threads and by other processes.

    One file is locked byte by byte, a name at its digest's place: nothing is made and removed for a name. The kernel
    forgets a process's locks of a file when it closes any descriptor of it, so that there is one for all names.
    """

    def __init__(self, file: Path) -> None:
        self.held: set[str] = set()
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, name: str) -> bool:
        """Hold a name from now on; False while somebody else does."""
        if name in self.held:
            return False
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(name))
        except (BlockingIOError, PermissionError):
            return False
        self.held.add(name)
        return True

    def give(self, name: str) -> None:
        """Hold a name no longer."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _offset(name))
        self.held.discard(name)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


_locks: dict[Path, _Locks] = {}
_turn = threading.Lock()


@contextlib.contextmanager
def held_checkpoint(folder: Path, lock: Path, key: str, step: str) -> Iterator[Path]:
    """Give the folder of a key to an attempt, or one of its step's own while another attempt has that.

    The kernel lets a folder go when its holder dies, and a later attempt of either finds what was left in it. It is not
    made here: few steps want one. One that is empty in the end is removed.

    Args:
        folder: Where checkpoints lie, on a local disk.
        lock: The file by which they are held.
        key: The step's content key.
        step: Which step of which run.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp())
        >>> with held_checkpoint(place / "kept", place / "lock", "k", "run_1.fit") as first:
        ...     with held_checkpoint(place / "kept", place / "lock", "k", "run_2.fit") as second:
        ...         print(first.name, second.name)
        k k.run_2.fit
    """
    file, own = lock.absolute(), folder / f"{key}.{step}"
    place = own if own.exists() else folder / key
    held = _take(file, place.name)
    if not held:
        place = own
        held = _take(file, own.name)
    try:
        yield place
    finally:
        with contextlib.suppress(OSError):  # something was left in it, or it went with the step's success
            place.rmdir()
        if held:
            _give(file, place.name)


def _take(file: Path, name: str) -> bool:
    with _turn:
        if file not in _locks:
            file.parent.mkdir(parents=True, exist_ok=True)
            _locks[file] = _Locks(file)
        taken = _locks[file].take(name)
        _close_unused(file)
        return taken


def _give(file: Path, name: str) -> None:
    with _turn:
        _locks[file].give(name)
        _close_unused(file)


def _close_unused(file: Path) -> None:
    if not _locks[file].held:
        _locks.pop(file).close()


def _offset(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) % _OFFSETS
