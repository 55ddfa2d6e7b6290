"""Runs and their steps: what they are and how they are looked at."""

import enum
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.kernel.errors import NotFound
from falaj.pipelines.context import EndState
from falaj.pipelines.graph import Step
from falaj.pipelines.outputs import Output, Outputs
from falaj.pipelines.tables import ATTEMPT, RUN, STEP
from falaj.storage.metadata.database import Database


class RunState(enum.StrEnum):
    """Where a run or a step stands; all but the first two are ends, and steps alone are skipped."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    SKIPPED = "SKIPPED"

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (RunState.PENDING, RunState.RUNNING)


class Run(msgspec.Struct, frozen=True):
    """One durable execution of a graph; times are microseconds since 1970.

    Attributes:
        id: Identifier.
        pipeline: Name of the graph.
        params: What it was started with, for people and queries; steps see their own parameters only.
        reason: Why it was started: a person's word, a trigger and its evidence.
        actor: Who started it.
        state: Where it stands.
        created: When it was submitted.
        started: When its first step was claimed.
        ended: When it ended.
        cancel_requested: Whether somebody asked it to stop.
        dedup_key: No second run with the same key can be active.
        error: Why it did not succeed.
        notify: Of which ends people are told.
        told: Whether they have been.
    """

    id: str
    pipeline: str
    params: dict[str, Any]
    reason: str
    actor: str
    state: RunState
    created: int
    started: int | None = None
    ended: int | None = None
    cancel_requested: bool = False
    dedup_key: str | None = None
    error: str | None = None
    notify: list[str] = []
    told: bool = False


class StepRun(msgspec.Struct, frozen=True):
    """One step of a run; times are microseconds since 1970.

    Attributes:
        run_id: The run.
        name: The step's name.
        spec: The step as submitted.
        state: Where it stands.
        key: The content key; None until its inputs are known.
        epoch: How often it was tried.
        failures: How many of the tries failed or timed out.
        crashes: How many of the tries killed their process.
        started: When the last try began.
        ended: When the step ended.
        progress: 0 to 1.
        progress_text: What it is doing.
        cached: Whether the outputs were taken from an earlier run.
        outputs: What it gave, by name.
        error: Why the last try did not succeed.
        log: Path of its log.
        owner: The worker that has it, as text.
    """

    run_id: str
    name: str
    spec: Step
    state: RunState
    key: str | None
    epoch: int
    failures: int
    crashes: int
    started: int | None
    ended: int | None
    progress: float
    progress_text: str
    cached: bool
    outputs: Outputs
    error: str | None
    log: str | None
    owner: str | None


class Attempt(msgspec.Struct, frozen=True):
    """One try of a step that has ended; times are microseconds since 1970.

    Attributes:
        step: The step's name.
        epoch: Number of the try.
        owner: The worker that had it, as text.
        state: How it ended; PREEMPTED and LOST are tried again without spending the step's retries.
        started: When it began.
        ended: When its end was written down.
        cpu_seconds: Core-seconds spent, as far as known.
        error: Why it did not succeed.
    """

    step: str
    epoch: int
    owner: str
    state: EndState
    started: int
    ended: int
    cpu_seconds: float
    error: str | None


def get_run(db: Database, run_id: str) -> Run:
    """Return a run.

    Raises:
        NotFound: There is none with that identifier.
    """
    with db.read() as connection:
        return require_run(connection, run_id)


def list_runs(
    db: Database,
    *,
    pipeline: str | None = None,
    without: str | None = None,
    states: Iterable[RunState] | None = None,
    since_us: int | None = None,
    limit: int = 100,
) -> list[Run]:
    """Return runs, the newest first.

    Args:
        db: The metadata database.
        pipeline: Only of this graph.
        without: Of no graph whose name begins so.
        states: Only those that stand so.
        since_us: Only those submitted at or after it, microseconds since 1970.
        limit: Most runs returned.
    """
    query = sa.select(RUN).order_by(RUN.c.created.desc(), RUN.c.id.desc()).limit(limit)
    if pipeline is not None:
        query = query.where(RUN.c.pipeline == pipeline)
    if without is not None:
        query = query.where(~RUN.c.pipeline.startswith(without, autoescape=True))
    if states is not None:
        query = query.where(RUN.c.state.in_([str(state) for state in states]))
    if since_us is not None:
        query = query.where(RUN.c.created >= since_us)
    with db.read() as connection:
        return [_run(row) for row in connection.execute(query)]


def count_runs(connection: sa.Connection) -> tuple[tuple[str, str, int], ...]:
    """Return how many runs there are by pipeline and state."""
    columns = (RUN.c.pipeline, RUN.c.state)
    query = sa.select(*columns, sa.func.count()).group_by(*columns).order_by(*columns)
    return tuple((pipeline, state, count) for pipeline, state, count in connection.execute(query))


def untold_runs(db: Database, limit: int = 100) -> list[Run]:
    """Return runs that have ended and of whose end people have not been told yet, the first to end first."""
    query = sa.select(RUN).where(RUN.c.told.is_(False), RUN.c.ended.is_not(None)).order_by(RUN.c.ended).limit(limit)
    with db.read() as connection:
        return [_run(row) for row in connection.execute(query)]


def run_steps(db: Database, run_id: str) -> list[StepRun]:
    """Return a run's steps in the order in which they can be done.

    Raises:
        NotFound: There is no such run.
    """
    with db.read() as connection:
        require_run(connection, run_id)
        return _steps(connection, run_id)


def run_outputs(db: Database, run_id: str) -> dict[str, dict[str, Any]]:
    """Return, by step, the outputs of the steps that succeeded: plain values, and digests of files."""
    return {
        step.name: {name: output.plain for name, output in step.outputs.items()}
        for step in run_steps(db, run_id)
        if step.state is RunState.SUCCEEDED
    }


def run_attempts(db: Database, run_id: str) -> list[Attempt]:
    """Return the tries of a run's steps that have ended, in the order of their ends."""
    query = sa.select(ATTEMPT).where(ATTEMPT.c.run_id == run_id).order_by(ATTEMPT.c.ended, ATTEMPT.c.epoch)
    with db.read() as connection:
        return [
            Attempt(
                row.step,
                row.epoch,
                row.owner,
                EndState(row.state),
                row.started,
                row.ended,
                row.cpu_seconds,
                row.error,
            )
            for row in connection.execute(query)
        ]


def follow(
    db: Database, run_id: str, *, every_s: float = 0.2, pause: Callable[[float], None] = time.sleep
) -> Iterator[tuple[Run, list[StepRun]]]:
    """Yield the run and its steps now, and again after each change, until it has ended.

    Args:
        db: The metadata database.
        run_id: The run.
        every_s: Pause between looks.
        pause: Waits the given seconds; tests pass their own.

    Raises:
        NotFound: There is no such run.
    """
    seen: tuple[Run, list[StepRun]] | None = None
    while True:
        with db.read() as connection:
            now = require_run(connection, run_id), _steps(connection, run_id)
        if now != seen:
            yield now
            seen = now
        if now[0].state.ended:
            return
        pause(every_s)


def require_run(connection: sa.Connection, run_id: str) -> Run:
    """Return a run as an open transaction sees it.

    Raises:
        NotFound: There is none with that identifier.
    """
    row = connection.execute(sa.select(RUN).where(RUN.c.id == run_id)).first()
    if row is None:
        raise NotFound(f"run {run_id!r} does not exist", hint="list them with 'falaj runs list'")
    return _run(row)


def _steps(connection: sa.Connection, run_id: str) -> list[StepRun]:
    rows = connection.execute(sa.select(STEP).where(STEP.c.run_id == run_id).order_by(STEP.c.position))
    return [_step_run(row) for row in rows]


def _run(row: sa.Row[Any]) -> Run:
    return Run(**{**row._mapping, "state": RunState(row.state)})


def _step_run(row: sa.Row[Any]) -> StepRun:
    fields = {name: getattr(row, name) for name in StepRun.__struct_fields__}
    fields["spec"] = msgspec.convert(row.spec, Step)
    fields["state"] = RunState(row.state)
    fields["outputs"] = msgspec.convert(row.outputs, dict[str, Output])
    return StepRun(**fields)
