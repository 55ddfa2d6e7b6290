"""Reconcilers: short idempotent passes from what is to what is wanted, each under a lease with an epoch."""

import contextlib
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
import sqlalchemy as sa

from falaj.kernel.clock import Clock, to_us
from falaj.kernel.errors import StorageError, Timeout
from falaj.pipelines.attempt import sentence
from falaj.pipelines.lease import Heartbeats
from falaj.pipelines.process import WorkerId
from falaj.pipelines.tables import RECONCILER
from falaj.storage.metadata.database import Database

LEASE_S = 15.0
MAX_PASSES_IN_A_ROW = 100
"""After so many passes that each found work, the loop pauses all the same: one reconciler must not take the machine."""

_SECOND_US = 1_000_000
_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 60.0


class Reconciler(Protocol):
    """Moves rows from what is to what is wanted; a wait is a row with a deadline, never a sleep."""

    @property
    def name(self) -> str:
        """Unique among reconcilers; names its lease."""
        ...

    def run_pass(self, now: datetime) -> bool:
        """Do one short step; it may be cut off anywhere, and the next pass goes on.

        Args:
            now: The instant that deadlines are judged by.

        Returns:
            Whether it did something, so that another pass may find more.
        """
        ...


class ReconcilerState(msgspec.Struct, frozen=True):
    """How a reconciler fares; times are microseconds since 1970.

    Attributes:
        name: Its name.
        owner: The process that runs it, as text; None if none does.
        lease_until: When its lease ends.
        epoch: How often the lease changed hands.
        passes: Passes that did something.
        last_pass: When the last of them was.
        failures: Failed passes in a row.
        not_before: When it is tried again after a failure.
        error: What the last failure said.
    """

    name: str
    owner: str | None
    lease_until: int
    epoch: int
    passes: int
    last_pass: int | None
    failures: int
    not_before: int
    error: str | None


def reconciler_states(db: Database) -> list[ReconcilerState]:
    """Return how all reconcilers that ever ran fare, by name."""
    with db.read() as connection:
        rows = connection.execute(sa.select(RECONCILER).order_by(RECONCILER.c.name))
        return [ReconcilerState(**row._mapping) for row in rows]


class ReconcilerLoop:
    """Runs reconcilers, each in a thread of its own, so that a slow one does not keep an urgent one waiting.

    Args:
        db: The metadata database.
        clock: Gives the passes their instant and judges leases.
        reconcilers: Those to run.
        owner: This process.
        pause_s: Pause after a pass that found nothing to do.
        lease_s: How long a lease lasts without a heartbeat.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        reconcilers: Sequence[Reconciler],
        owner: WorkerId,
        *,
        pause_s: float = 0.5,
        lease_s: float = LEASE_S,
    ) -> None:
        self._turns = [_Turn(db, clock, reconciler, owner, lease_s) for reconciler in reconcilers]
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def run_once(self) -> bool:
        """Run every reconciler that is due, in this thread, until it finds nothing to do; the leases are given back.

        Returns:
            Whether any of them did something.
        """
        did_something = False
        for turn in self._turns:
            did_something |= turn.run(self._stopping)
        return did_something

    def start(self) -> None:
        """Start the threads."""
        for turn in self._turns:
            thread = threading.Thread(target=self._loop, args=(turn,), name=f"falaj-{turn.name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        """Let every reconciler look at once instead of after its pause."""
        for turn in self._turns:
            turn.nudge.set()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Let the passes that run end, give the leases back, and end the threads."""
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            thread.join(timeout_s)

    def _loop(self, turn: "_Turn") -> None:
        while not self._stopping.is_set():
            # The reconciler's own errors are in its row; this is a disk or database that cannot even keep that row.
            with contextlib.suppress(StorageError, Timeout):
                turn.run(self._stopping, keep=self._pause_s)
            turn.nudge.wait(self._pause_s)
            turn.nudge.clear()


class _Turn:
    """One reconciler with its lease row."""

    def __init__(self, db: Database, clock: Clock, reconciler: Reconciler, owner: WorkerId, lease_s: float) -> None:
        self.name = reconciler.name
        self.nudge = threading.Event()
        self._db = db
        self._clock = clock
        self._reconciler = reconciler
        self._owner = owner
        self._lease_s = lease_s
        self._heartbeats = Heartbeats(lease_s)
        self._epoch = -1

    def run(self, stopping: threading.Event, *, keep: float | None = None) -> bool:
        """Take the lease and run passes; with `keep`, go on with that pause between passes until told to stop."""
        did_something = False
        try:
            if not self._acquire():
                return False
            lost = threading.Event()
            with self._heartbeats.during(self._renew, lost.set):
                did_something = self._passes(stopping, lost, keep)
            self._release()
        except Exception as error:  # noqa: BLE001 the worker loop: one reconciler's failure must not end the others
            self._failed(error)
        return did_something

    def _passes(self, stopping: threading.Event, lost: threading.Event, keep: float | None) -> bool:
        did_something, in_a_row = False, 0
        while not stopping.is_set() and not lost.is_set():
            if self._reconciler.run_pass(self._clock.now()):
                did_something, in_a_row = True, in_a_row + 1
                if in_a_row < MAX_PASSES_IN_A_ROW:
                    continue
            if in_a_row:
                self._worked(in_a_row)
            if keep is None:
                break
            in_a_row = 0
            self.nudge.wait(keep)
            self.nudge.clear()
        return did_something

    def _acquire(self) -> bool:
        now_us = to_us(self._clock.now())
        with self._db.read() as connection:
            row = connection.execute(sa.select(RECONCILER).where(RECONCILER.c.name == self.name)).first()
        if row is not None and (row.not_before > now_us or not self._is_free(row, now_us)):
            return False
        with self._db.write() as connection:
            if row is None:
                return self._insert(connection, now_us)
            epoch = row.epoch + 1
            taken = (
                RECONCILER.update()
                .where(RECONCILER.c.name == self.name, RECONCILER.c.epoch == row.epoch)
                .values(owner=str(self._owner), lease_until=self._until(now_us), epoch=epoch)
            )
            self._epoch = epoch
            return connection.execute(taken).rowcount == 1

    def _insert(self, connection: sa.Connection, now_us: int) -> bool:
        if connection.execute(sa.select(RECONCILER.c.name).where(RECONCILER.c.name == self.name)).first() is not None:
            return False
        first = ReconcilerState(self.name, str(self._owner), self._until(now_us), 0, 0, None, 0, 0, None)
        connection.execute(RECONCILER.insert().values(msgspec.structs.asdict(first)))
        self._epoch = 0
        return True

    def _is_free(self, row: sa.Row[Any], now_us: int) -> bool:
        free: bool = row.owner is None or row.owner == str(self._owner) or row.lease_until < now_us
        return free or WorkerId.parse(row.owner).is_gone(self._owner.host)

    def _renew(self) -> bool:
        return self._change({"lease_until": self._until(to_us(self._clock.now()))})

    def _release(self) -> None:
        self._change({"owner": None, "failures": 0, "error": None})

    def _worked(self, passes: int) -> None:
        now_us = to_us(self._clock.now())
        self._change({"passes": RECONCILER.c.passes + passes, "last_pass": now_us, "failures": 0, "error": None})

    def _failed(self, error: Exception) -> None:
        with self._db.read() as connection:
            query = sa.select(RECONCILER.c.failures).where(RECONCILER.c.name == self.name)
            failures = connection.execute(query).scalar() or 0
        backoff_s = min(_FIRST_BACKOFF_S * 2**failures, _LONGEST_BACKOFF_S)
        not_before = to_us(self._clock.now()) + int(backoff_s * _SECOND_US)
        self._change({"owner": None, "failures": failures + 1, "error": sentence(error), "not_before": not_before})

    def _change(self, values: dict[str, Any]) -> bool:
        mine = sa.and_(
            RECONCILER.c.name == self.name, RECONCILER.c.owner == str(self._owner), RECONCILER.c.epoch == self._epoch
        )
        with self._db.write() as connection:
            return connection.execute(RECONCILER.update().where(mine).values(values)).rowcount == 1

    def _until(self, now_us: int) -> int:
        return now_us + int(self._lease_s * _SECOND_US)
