"""Pushes, lands and applies, killed as `kill -9` would after its n-th commit. Arguments: work, folder.

As in `dying.py` of the data room: the folder has a prepared copy of the project for each n, and each life is a fork.
Works: `push` (a push, its landing, its application), `backfill` (a new view beside one that is live, in small pieces).
"""

import itertools
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from falaj.features.streaming import Applier
from falaj.storage.eventlog.local import LocalLog
from falaj.storage.keyvalue.lmdb import LmdbStore
from support.data_room import DataRoom
from support.feature_worlds import SCHEMA
from support.killed_views import EVENTS, NEW, OLD, SOURCE, sent


class Life:
    """Ends when its commits are used up."""

    def __init__(self, commits: int) -> None:
        self._left = commits

    def committed(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalStore(LmdbStore):
    """An online store whose process may die after a write."""

    life: Life

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes] = (),
        *,
        unchanged: Mapping[bytes, bytes | None] | None = None,
    ) -> None:
        super().write(puts, deletes, unchanged=unchanged)
        self.life.committed()


class MortalLog(LocalLog):
    """A log whose process may die after it was written."""

    life: Life

    def append(self, payloads: Sequence[bytes]) -> int:
        first = super().append(payloads)
        self.life.committed()
        return first


def run(work: str, folder: Path, life: Life) -> None:
    log = MortalLog.open(folder / "log" / "tx")
    log.life = life
    room = DataRoom.embedded(folder, folder)
    room.use_log("tx", log)
    kv = MortalStore.open(folder / "online", 0.1)
    kv.life = life

    def read_from(source: str, seq: int, limit: int) -> Any:
        return room.reader.read_from(source, SCHEMA, seq, limit)

    views = [*OLD.views, *NEW.views] if work == "backfill" else OLD.views
    applier = Applier(kv, read_from, views)
    room.events.accept(SOURCE, SCHEMA, sent(EVENTS[20:]))
    applier.advance("tx", limit=4)
    room.events.land("tx", SCHEMA, limit=7)
    life.committed()
    applier.catch_up("tx", limit=6)


def live(work: str, folder: Path, commits: int) -> bool:
    """Return whether the work came to its end before the commits were used up."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run(work, folder, Life(commits))
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if status not in (0, signal.SIGKILL):
        raise SystemExit(f"life {commits} of {work} ended with status {status}")
    return status == 0


if __name__ == "__main__":
    base = Path(sys.argv[2])
    print(next(n for n in itertools.count(1) if live(sys.argv[1], base / str(n), n)) - 1)  # noqa: T201
