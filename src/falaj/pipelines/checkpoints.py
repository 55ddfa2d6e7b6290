"""Checkpoints: the folder of a step's key, which one attempt has at a time.

Two runs may come to the same step at the same moment. Whoever comes second works in a folder of its own: in one that
both had, each would overwrite what the other goes on from, and the first to end would take it away.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held_checkpoint(folder: Path, key: str, step: str) -> Iterator[Path]:
    """Give the folder of a key to an attempt, or one of its step's own while another attempt has that.

    The kernel lets a folder go when its holder dies, and a later attempt of either finds what was left in it. One that
    is empty in the end is removed.

    Args:
        folder: Where checkpoints lie, on a local disk.
        key: The step's content key.
        step: Which step of which run.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as where, held_checkpoint(Path(where), "k", "run_1.fit") as first:
        ...     with held_checkpoint(Path(where), "k", "run_2.fit") as second:
        ...         print(first.name, second.name)
        k k.run_2.fit
    """
    shared, own = folder / key, folder / f"{key}.{step}"
    place = own if own.exists() else shared
    held = _hold(place)
    if held is None:
        place = own
        held = _hold(own)
    try:
        yield place
    finally:
        for empty in (place, folder):
            with contextlib.suppress(OSError):  # something was left in it, or it went with the step's success
                empty.rmdir()
        if held is not None:
            os.close(held)


def _hold(folder: Path) -> int | None:
    """Make a folder and return its descriptor, by which it is locked; None while another one is."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
        except (FileNotFoundError, FileExistsError):
            if folder.is_file():
                raise
            continue  # whoever had it, or one beside it, has just removed it
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _is_there(folder, descriptor):
            return descriptor
        os.close(descriptor)


def _is_there(folder: Path, descriptor: int) -> bool:
    """Return whether a folder is still the one that was opened, and not removed or made anew."""
    try:
        return folder.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
