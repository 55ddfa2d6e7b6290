"""Runs a piece of the data room's work again and again, killed as `kill -9` would after its n-th commit.

Arguments: what to do (`ingest`, `land`, `replay`, `take`, `compact`), and a folder with a prepared copy of the project
for each n, named 1, 2, 3, …. Prints how many commits the work has: the first n at which it came to its end, less one.

Each life is a fork of this process, which itself opens nothing and starts no thread.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from falaj.data.predictions import Predictions
from falaj.data.quarantine import Quarantine
from falaj.storage.eventlog.local import LocalLog
from falaj.storage.metadata.database import Database
from falaj.storage.tables.delta import DeltaTables
from support.data_room import EVENT_SCHEMA, DataRoom, followed_source, pushed_source


class Life:
    """Ends when its commits are used up."""

    def __init__(self, commits: int) -> None:
        self._left = commits

    def committed(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalTables(DeltaTables):
    """Delta tables whose process may die after a commit."""

    life: Life

    def append(self, name: str, data: pa.Table | pa.RecordBatchReader, *, app: tuple[str, int] | None = None) -> int:
        version = super().append(name, data, app=app)
        self.life.committed()
        return version


class MortalLog(LocalLog):
    """A log whose process may die after it was written."""

    life: Life

    def reserve(self, count: int) -> int:
        first = super().reserve(count)
        self.life.committed()
        return first

    def append(self, payloads: Sequence[bytes]) -> int:
        first = super().append(payloads)
        self.life.committed()
        return first


class MortalDatabase(Database):
    """A database whose process may die after a commit."""

    life: Life | None = None

    @contextmanager
    def write(self, *, flush: bool = True) -> Iterator[sa.Connection]:
        with super().write(flush=flush) as connection:
            yield connection
        if self.life is not None:
            self.life.committed()


class MortalRoom(DataRoom):
    """The data room on stores of one life."""

    def __init__(self, folder: Path, life: Life) -> None:
        state = folder / ".falaj"
        tables = MortalTables(state / "tables")
        db = MortalDatabase.sqlite(state / "falaj.db")
        tables.life = db.life = life
        super().__init__(tables, db, folder, state / "log")
        log = MortalLog.open(state / "log" / "tx")
        log.life = life
        self.use_log("tx", log)


def ingest(room: MortalRoom) -> None:
    room.ingest(pushed_source())


def land(room: MortalRoom) -> None:
    room.events.land("tx", EVENT_SCHEMA)


def replay(room: MortalRoom) -> None:
    Quarantine(room.tables, room.events, room.db, room.clock).replay(pushed_source(checks=[]), EVENT_SCHEMA, "ada")


def take(room: MortalRoom) -> None:
    while room.feeds.take(followed_source(), EVENT_SCHEMA, limit=2, timeout_s=0).count:
        room.events.truncate("tx", room.events.land("tx", EVENT_SCHEMA))


def compact(room: MortalRoom) -> None:
    Predictions(room.tables, room.folder / "segments", room.db).compact()


WORK: dict[str, Callable[[MortalRoom], Any]] = {
    "ingest": ingest,
    "land": land,
    "replay": replay,
    "take": take,
    "compact": compact,
}


def live(work: str, folder: Path, commits: int) -> bool:
    """Return whether the work came to its end before the commits were used up."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            WORK[work](MortalRoom(folder, Life(commits)))
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
