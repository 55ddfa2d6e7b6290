"""Runs: start one, look at it, cancel it, go on after a failure."""

import enum
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.governance.access import Actor
from falaj.governance.audit import record
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.errors import Conflict, NotFound
from falaj.kernel.ids import NewId
from falaj.pipelines.graph import Graph, Step
from falaj.pipelines.outputs import Output, Outputs
from falaj.pipelines.tables import RUN, STEP
from falaj.storage.metadata.database import Database


class RunState(enum.StrEnum):
    """Where a run or a step stands; all but the first two are ends."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

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


class StepRun(msgspec.Struct, frozen=True):
    """One step of a run; times are microseconds since 1970.

    Attributes:
        run_id: The run.
        name: The step's name.
        spec: The step as submitted.
        state: Where it stands.
        key: The content key; None until its inputs are known.
        attempt: How often it was tried.
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
    attempt: int
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


def submit(
    db: Database,
    clock: Clock,
    new_id: NewId,
    graph: Graph,
    *,
    by: Actor,
    reason: str,
    params: dict[str, Any] | None = None,
    dedup_key: str | None = None,
) -> str:
    """Write a run down for any worker to take; the caller has authorised it.

    Returns:
        The run's identifier.

    Raises:
        Conflict: A run with the same `dedup_key` is active; the message names it.
    """
    with db.write() as connection:
        return submit_in(connection, clock, new_id, graph, by=by, reason=reason, params=params, dedup_key=dedup_key)


def submit_in(
    connection: sa.Connection,
    clock: Clock,
    new_id: NewId,
    graph: Graph,
    *,
    by: Actor,
    reason: str,
    params: dict[str, Any] | None = None,
    dedup_key: str | None = None,
) -> str:
    """Write a run down in an open transaction, so that a trigger's own state and its run commit together."""
    if dedup_key is not None:
        active = sa.select(RUN.c.id).where(RUN.c.dedup_key == dedup_key, RUN.c.ended.is_(None))
        other = connection.execute(active).scalar()
        if other is not None:
            raise Conflict(
                f"run {other} of {dedup_key!r} is active", hint=f"wait for it, or end it: falaj runs cancel {other}"
            )
    now_us = to_us(clock.now())
    run_id = new_id("run")
    connection.execute(
        RUN.insert().values(
            id=run_id,
            pipeline=graph.name,
            params=msgspec.to_builtins(params or {}),
            reason=reason,
            actor=by.name,
            state=RunState.PENDING,
            created=now_us,
            cancel_requested=False,
            dedup_key=dedup_key,
        )
    )
    rows = [_step_row(run_id, position, step, now_us) for position, step in enumerate(graph.ordered())]
    connection.execute(STEP.insert(), rows)
    record(connection, clock, by.name, "run.submit", run_id, {"pipeline": graph.name, "reason": reason})
    return run_id


def get_run(db: Database, run_id: str) -> Run:
    """Return a run.

    Raises:
        NotFound: There is none with that identifier.
    """
    with db.read() as connection:
        return _require(connection, run_id)


def list_runs(
    db: Database,
    *,
    pipeline: str | None = None,
    states: Iterable[RunState] | None = None,
    since_us: int | None = None,
    limit: int = 100,
) -> list[Run]:
    """Return runs, the newest first.

    Args:
        db: The metadata database.
        pipeline: Only of this graph.
        states: Only those that stand so.
        since_us: Only those submitted at or after it, microseconds since 1970.
        limit: Most runs returned.
    """
    query = sa.select(RUN).order_by(RUN.c.created.desc(), RUN.c.id.desc()).limit(limit)
    if pipeline is not None:
        query = query.where(RUN.c.pipeline == pipeline)
    if states is not None:
        query = query.where(RUN.c.state.in_([str(state) for state in states]))
    if since_us is not None:
        query = query.where(RUN.c.created >= since_us)
    with db.read() as connection:
        return [_run(row) for row in connection.execute(query)]


def run_steps(db: Database, run_id: str) -> list[StepRun]:
    """Return a run's steps in the order in which they can be done.

    Raises:
        NotFound: There is no such run.
    """
    with db.read() as connection:
        _require(connection, run_id)
        return _steps(connection, run_id)


def run_outputs(db: Database, run_id: str) -> dict[str, dict[str, Any]]:
    """Return, by step, the outputs of the steps that succeeded: plain values, and digests of files."""
    return {
        step.name: {name: output.plain for name, output in step.outputs.items()}
        for step in run_steps(db, run_id)
        if step.state is RunState.SUCCEEDED
    }


def cancel(db: Database, clock: Clock, run_id: str, *, by: Actor) -> Run:
    """Ask a run to stop: waiting steps end now, running ones as soon as their worker looks (within a second).

    Raises:
        NotFound: There is no such run.
        Conflict: It has ended.
    """
    now_us = to_us(clock.now())
    with db.write() as connection:
        run = _require(connection, run_id)
        if run.state.ended:
            raise Conflict(f"run {run_id} is already {run.state}")
        connection.execute(RUN.update().where(RUN.c.id == run_id).values(cancel_requested=True))
        end_waiting_steps(connection, run_id, now_us, f"cancelled by {by.name}")
        running = sa.select(STEP.c.name).where(STEP.c.run_id == run_id, STEP.c.state == RunState.RUNNING)
        if connection.execute(running.limit(1)).first() is None:
            end_run(connection, run_id, RunState.CANCELLED, now_us, f"cancelled by {by.name}")
        record(connection, clock, by.name, "run.cancel", run_id)
        return _require(connection, run_id)


def retry(db: Database, clock: Clock, run_id: str, *, by: Actor) -> Run:
    """Let a run that did not succeed go on: its finished steps are kept, the others get all their tries again.

    Raises:
        NotFound: There is no such run.
        Conflict: It has not ended, or has succeeded, or a newer run with its `dedup_key` is active.
    """
    now_us = to_us(clock.now())
    with db.write() as connection:
        run = _require(connection, run_id)
        if not run.state.ended or run.state is RunState.SUCCEEDED:
            raise Conflict(f"run {run_id} is {run.state}; only a run that ended without success can be retried")
        active = sa.select(RUN.c.id).where(RUN.c.dedup_key == run.dedup_key, RUN.c.ended.is_(None))
        other = connection.execute(active).scalar()
        if other is not None:
            raise Conflict(f"run {other} of {run.dedup_key!r} is active", hint="wait for it, or cancel it")
        connection.execute(
            STEP.update()
            .where(STEP.c.run_id == run_id, STEP.c.state.not_in([RunState.SUCCEEDED, RunState.RUNNING]))
            .values(state=RunState.PENDING, failures=0, crashes=0, not_before=now_us, ended=None, error=None)
        )
        connection.execute(
            RUN.update()
            .where(RUN.c.id == run_id)
            .values(state=RunState.RUNNING, ended=None, error=None, cancel_requested=False)
        )
        record(connection, clock, by.name, "run.retry", run_id)
        return _require(connection, run_id)


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
            now = _require(connection, run_id), _steps(connection, run_id)
        if now != seen:
            yield now
            seen = now
        if now[0].state.ended:
            return
        pause(every_s)


def end_waiting_steps(connection: sa.Connection, run_id: str, now_us: int, error: str) -> None:
    """End the steps of a run that no worker has."""
    connection.execute(
        STEP.update()
        .where(STEP.c.run_id == run_id, STEP.c.state == RunState.PENDING)
        .values(state=RunState.CANCELLED, ended=now_us, error=error)
    )


def end_run(connection: sa.Connection, run_id: str, state: RunState, now_us: int, error: str | None) -> None:
    """End a run that has not ended."""
    connection.execute(
        RUN.update().where(RUN.c.id == run_id, RUN.c.ended.is_(None)).values(state=state, ended=now_us, error=error)
    )


def _step_row(run_id: str, position: int, step: Step, now_us: int) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "name": step.name,
        "position": position,
        "spec": msgspec.to_builtins(step),
        "state": RunState.PENDING,
        "waiting": len(set(step.needs)),
        "not_before": now_us,
        "created": now_us,
        "attempt": 0,
        "failures": 0,
        "crashes": 0,
        "epoch": 0,
        "progress": 0.0,
        "progress_text": "",
        "cached": False,
        "outputs": {},
    }


def _require(connection: sa.Connection, run_id: str) -> Run:
    row = connection.execute(sa.select(RUN).where(RUN.c.id == run_id)).first()
    if row is None:
        raise NotFound(f"run {run_id!r} does not exist", hint="list them with 'falaj runs'")
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
