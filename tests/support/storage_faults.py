"""Disks with little room, for tests."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond the size: the kernel takes what fits of a write and refuses the rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(disk: Path) -> list[Path]:
    """Take all room of a disk, to the last block; return what to remove to have it back."""
    made = []
    for block in (1 << 20, 1 << 12, 1):
        path = disk / f"ballast-{block}"
        made.append(path)
        with path.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(block))
            except OSError:
                continue
    return made
