"""Claims on steps: taken in one statement, held by a lease, given back on condition of the epoch."""

from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.kernel.clock import Clock, to_us
from falaj.pipelines.capacity import Capacity, Room
from falaj.pipelines.context import EndState
from falaj.pipelines.graph import Step
from falaj.pipelines.outputs import Output, Outputs
from falaj.pipelines.process import WorkerId
from falaj.pipelines.runs import RunState
from falaj.pipelines.tables import ARTIFACT, RUN, STEP
from falaj.pipelines.turns import OWN
from falaj.storage.metadata.database import Database

SECOND_US = 1_000_000
_AT_ONCE = 10_000
"""So many names in one statement; SQLite takes 32,766."""


class Claim(msgspec.Struct, frozen=True):
    """A worker's right to one try of one step.

    Attributes:
        run_id: The run.
        pipeline: Name of its graph.
        actor: Who started it.
        step: The step.
        epoch: Number of the try; whoever holds a smaller one has lost the step.
        failures: Failures and timeouts of earlier tries.
        crashes: Deaths of earlier tries.
        started: Microseconds since 1970.
        owner: The worker, as text.
        inputs: Outputs by needed step.
        needed_keys: Content keys of the needed steps.
        skipped: Names of the needed steps that were skipped.
        dependents: Names of the steps that need this one.
        job: The job that it runs as elsewhere; None for none yet.
    """

    run_id: str
    pipeline: str
    actor: str
    step: Step
    epoch: int
    failures: int
    crashes: int
    started: int
    owner: str
    inputs: dict[str, Outputs] = {}
    needed_keys: list[str] = []
    skipped: list[str] = []
    dependents: list[str] = []
    job: str | None = None


class Claims:
    """What one worker does to the rows of steps while it has them.

    None of it waits for the disk: a claim that a power cut undoes was that of a worker whose step is to be done again
    anyhow, and it names its owner, whom no later claim can be taken for.

    Args:
        db: The metadata database.
        clock: Judges leases.
        owner: The worker.
        lease_s: How long a claim lasts without a heartbeat.
        executors: Names of those that the worker has: steps that ask for another are left to others.
        capacity: What the worker may use; None for whatever steps need.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        owner: WorkerId,
        lease_s: float,
        *,
        executors: Collection[str],
        capacity: Capacity | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._owner = owner
        self._lease_us = int(lease_s * SECOND_US)
        self._executors = [*executors]
        # A range of the index: whoever takes one kind must not read through all that waits of the other.
        kinds = {name in OWN for name in executors}
        self._whose = [] if len(kinds) == 2 else [STEP.c.turn == 0 if True in kinds else STEP.c.turn > 0]
        self._capacity = capacity
        self._busy = False

    def take(self, run_id: str | None = None) -> Claim | None:
        """Claim the ready step whose turn it is, of one run or of any.

        Returns:
            The claim, or None if nothing is ready.
        """
        now_us = to_us(self._clock.now())
        ready = self._ready(now_us, run_id)
        if self._capacity is not None:
            ready = ready.where(sa.not_(_exceeds(self._capacity.free)))
        ready = ready.order_by(STEP.c.turn, STEP.c.created, STEP.c.position).limit(1)
        if not self._busy:
            with self._db.read() as connection:
                # An idle worker must not take the write lock many times a second only to find nothing.
                if connection.execute(ready).first() is None:
                    return None
        claimed = (
            STEP.update()
            .where(sa.tuple_(STEP.c.run_id, STEP.c.name).in_(ready.with_for_update(skip_locked=True)))
            .values(
                state=RunState.RUNNING,
                owner=str(self._owner),
                lease_until=now_us + self._lease_us,
                epoch=STEP.c.epoch + 1,
                started=now_us,
                progress=0.0,
                progress_text="",
                error=None,
            )
            .returning(STEP)
        )
        with self._db.write(flush=False) as connection:
            row = connection.execute(claimed).first()
            self._busy = row is not None
            return None if row is None else self._claim(connection, row, now_us)

    def too_large(self) -> int:
        """Say of ready steps that need more than the worker has what they need; return how many there are."""
        if self._capacity is None:
            return 0
        large = self._ready(to_us(self._clock.now()), None).with_only_columns(STEP)
        with self._db.read() as connection:
            rows = connection.execute(large.where(_exceeds(self._capacity.total))).all()
        said = {
            (row.run_id, row.name): f"needs {self._capacity.total.lacks(msgspec.convert(row.spec, Step))}"
            for row in rows
        }
        new = {key: text for key, text in said.items() if text not in {row.progress_text for row in rows}}
        if new:
            with self._db.write(flush=False) as connection:
                for (run_id, name), text in new.items():
                    one = sa.and_(STEP.c.run_id == run_id, STEP.c.name == name, STEP.c.state == RunState.PENDING)
                    connection.execute(STEP.update().where(one).values(progress_text=text))
        return len(rows)

    def _ready(self, now_us: int, run_id: str | None) -> "sa.Select[Any]":
        ready = sa.select(STEP.c.run_id, STEP.c.name).where(
            STEP.c.state == RunState.PENDING,
            STEP.c.waiting == 0,
            STEP.c.not_before <= now_us,
            STEP.c.executor.in_(self._executors),
            *self._whose,
        )
        return ready if run_id is None else ready.where(STEP.c.run_id == run_id)

    def renew(self, claim: Claim) -> bool:
        """Lengthen the lease; False if the step is no longer ours."""
        until = to_us(self._clock.now()) + self._lease_us
        with self._db.write(flush=False) as connection:
            return connection.execute(STEP.update().where(held(claim)).values(lease_until=until)).rowcount == 1

    def name_job(self, claim: Claim, job: str) -> bool:
        """Write down which job the step will run as; False if the step is no longer ours.

        This waits for the disk: a job that a power cut made forgotten would go on beside its successor.
        """
        with self._db.write() as connection:
            return connection.execute(STEP.update().where(held(claim)).values(job=job)).rowcount == 1

    def unwanted_jobs(self) -> list[tuple[str, str, str]]:
        """Return run, step and job where a step has ended without its job, such as that of a cancelled run."""
        ended = [state for state in RunState if state.ended]
        query = sa.select(STEP.c.run_id, STEP.c.name, STEP.c.job).where(
            STEP.c.job.is_not(None), STEP.c.state.in_(ended), STEP.c.executor.in_(self._executors)
        )
        with self._db.read() as connection:
            return [(row.run_id, row.name, row.job) for row in connection.execute(query)]

    def forget_job(self, run_id: str, step: str, job: str) -> None:
        """Write down that a job is over."""
        one = sa.and_(STEP.c.run_id == run_id, STEP.c.name == step, STEP.c.job == job)
        with self._db.write() as connection:
            connection.execute(STEP.update().where(one).values(job=None))

    def wanted_end(self, claim: Claim) -> EndState | None:
        """Return why the step should be ended now: its run was cancelled, or another worker has it."""
        query = sa.select(RUN.c.cancel_requested).join(STEP, STEP.c.run_id == RUN.c.id).where(held(claim))
        with self._db.read() as connection:
            asked = connection.execute(query).scalar()
        if asked is None:
            return EndState.LOST
        return EndState.CANCELLED if asked else None

    def report(self, claim: Claim, share: float, text: str) -> None:
        """Write down how far the step is."""
        with self._db.write(flush=False) as connection:
            connection.execute(STEP.update().where(held(claim)).values(progress=share, progress_text=text))

    def cached(self, key: str) -> Outputs | None:
        """Return what a step with this key gave before, if any did."""
        with self._db.read() as connection:
            found = connection.execute(sa.select(ARTIFACT.c.outputs).where(ARTIFACT.c.key == key)).scalar()
        return None if found is None else msgspec.convert(found, Outputs)

    def lost(self) -> list[Claim]:
        """Return the claims of workers that are certainly dead, or whose lease is over."""
        now_us = to_us(self._clock.now())
        query = sa.select(STEP, RUN.c.pipeline, RUN.c.actor).join(RUN, RUN.c.id == STEP.c.run_id)
        with self._db.read() as connection:
            rows = connection.execute(query.where(STEP.c.state == RunState.RUNNING)).all()
        gone = {owner: WorkerId.parse(owner).is_gone(self._owner.host) for owner in {row.owner for row in rows}}
        return [
            _bare_claim(row, row.pipeline, row.actor) for row in rows if gone[row.owner] or row.lease_until < now_us
        ]

    def _claim(self, connection: sa.Connection, row: sa.Row[Any], now_us: int) -> Claim:
        run = connection.execute(
            sa.select(RUN.c.pipeline, RUN.c.actor, RUN.c.state).where(RUN.c.id == row.run_id)
        ).one()
        if run.state == RunState.PENDING:
            started = RUN.update().where(RUN.c.id == row.run_id).values(state=RunState.RUNNING, started=now_us)
            connection.execute(started)
        claim = _bare_claim(row, run.pipeline, run.actor)
        waited = claim.step.waits_for
        columns = (STEP.c.name, STEP.c.state, STEP.c.key, STEP.c.outputs)
        needed = [
            other
            for first in range(0, len(waited), _AT_ONCE)
            for other in connection.execute(
                sa.select(*columns).where(
                    STEP.c.run_id == row.run_id, STEP.c.name.in_(waited[first : first + _AT_ONCE])
                )
            )
        ]
        return msgspec.structs.replace(
            claim,
            inputs={other.name: msgspec.convert(other.outputs, dict[str, Output]) for other in needed},
            needed_keys=[other.key for other in needed if other.key is not None],
            skipped=[other.name for other in needed if other.state == RunState.SKIPPED],
            dependents=row.dependents,
        )


def _exceeds(room: Room) -> sa.ColumnElement[bool]:
    """Return the condition that a step of a user's pipeline needs more than there is; Falaj's own declare nothing."""
    # In hundredths, as SQL compares whole numbers alike everywhere.
    more = sa.or_(
        STEP.c.cpu_cents > int(room.cpu * 100 + 0.5), STEP.c.memory_bytes > room.memory_bytes, STEP.c.gpu > room.gpu
    )
    return sa.and_(STEP.c.executor == "project", more)


def held(claim: Claim) -> sa.ColumnElement[bool]:
    """Return the condition that the claim still holds: a worker that was given up for dead fails it."""
    return sa.and_(
        STEP.c.run_id == claim.run_id,
        STEP.c.name == claim.step.name,
        STEP.c.state == RunState.RUNNING,
        STEP.c.owner == claim.owner,
        STEP.c.epoch == claim.epoch,
    )


def _bare_claim(row: sa.Row[Any], pipeline: str, actor: str) -> Claim:
    return Claim(
        row.run_id,
        pipeline,
        actor,
        msgspec.convert(row.spec, Step),
        row.epoch,
        row.failures,
        row.crashes,
        row.started,
        row.owner,
        job=row.job,
    )
