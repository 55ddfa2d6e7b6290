"""What people and triggers do to runs: submit, cancel, retry. The caller has authorised it; each is audited."""

from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.governance.access import Actor
from falaj.governance.audit import record
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.errors import Conflict
from falaj.kernel.ids import NewId
from falaj.pipelines.anew import do_anew
from falaj.pipelines.arguments import MOST_PARTS
from falaj.pipelines.graph import Graph, Step
from falaj.pipelines.runs import Run, RunState, require_run
from falaj.pipelines.tables import RUN, STEP
from falaj.pipelines.turns import next_turn, turn_of, wait_anew
from falaj.storage.metadata.database import Database

POSITIONS = MOST_PARTS + 1
"""Between a step and the next, so that the parts of one that goes over a list stand before it."""


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
    turn: int | None = None,
) -> str:
    """Write a run down in an open transaction, so that a trigger's own state and its run commit together.

    Args:
        connection: Of the transaction.
        clock: Gives the time.
        new_id: Gives the identifier.
        graph: The steps.
        by: Who submits it; already authorised.
        reason: Why.
        params: What it was started with.
        dedup_key: No second run with the same key can be active.
        turn: Of its first step; None for that of a run which comes now.

    Raises:
        Conflict: A run with the same `dedup_key` is active; the message names it.
    """
    if dedup_key is not None:
        active = sa.select(RUN.c.id).where(RUN.c.dedup_key == dedup_key, RUN.c.ended.is_(None))
        other = connection.execute(active).scalar()
        if other is not None:
            raise Conflict(
                f"run {other} of {dedup_key!r} is active",
                hint=f"wait for it, or go on with it: falaj runs resume {other}; to end it: falaj runs cancel {other}",
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
            notify=list(graph.notify),
            told=not graph.notify,
        )
    )
    ordered, dependents = graph.ordered(), graph.dependents()
    first = next_turn(connection) if turn is None else turn
    rows = [
        {**step_row(run_id, at * POSITIONS, step, now_us, dependents[step.name]), "turn": turn_of(step, first, at - 1)}
        for at, step in enumerate(ordered, 1)
    ]
    connection.execute(STEP.insert(), rows)
    record(connection, clock, by.name, "run.submit", run_id, {"pipeline": graph.name, "reason": reason})
    return run_id


def cancel(db: Database, clock: Clock, run_id: str, *, by: Actor) -> Run:
    """Ask a run to stop: waiting steps end now, running ones as soon as their worker looks (within a second).

    Raises:
        NotFound: There is no such run.
        Conflict: It has ended.
    """
    now_us = to_us(clock.now())
    with db.write() as connection:
        run = require_run(connection, run_id)
        if run.state.ended:
            raise Conflict(f"run {run_id} is already {run.state}")
        connection.execute(RUN.update().where(RUN.c.id == run_id).values(cancel_requested=True))
        end_waiting_steps(connection, run_id, now_us, f"cancelled by {by.name}")
        running = sa.select(STEP.c.name).where(STEP.c.run_id == run_id, STEP.c.state == RunState.RUNNING)
        if connection.execute(running.limit(1)).first() is None:
            end_run(connection, run_id, RunState.CANCELLED, now_us, f"cancelled by {by.name}")
        record(connection, clock, by.name, "run.cancel", run_id)
        return require_run(connection, run_id)


def retry(db: Database, clock: Clock, run_id: str, *, by: Actor, step: str = "") -> Run:
    """Let a run go on: its finished steps are kept, the others get all their tries again.

    Args:
        db: The metadata database.
        clock: Gives the time.
        run_id: The run, which has ended; without success, unless a step is named.
        by: Who asks; already authorised.
        step: A step that is done anew, whatever it gave before, with all that needs what it gives; empty for none.

    Raises:
        NotFound: There is no such run, or no such step.
        Conflict: It has not ended, or has succeeded, or a newer run with its `dedup_key` is active.
    """
    now_us = to_us(clock.now())
    with db.write() as connection:
        run = require_run(connection, run_id)
        if not run.state.ended or (run.state is RunState.SUCCEEDED and not step):
            raise Conflict(
                f"run {run_id} is {run.state}; only a run that ended without success can be retried",
                hint="name a step to do it anew: falaj runs resume RUN --from STEP" if run.state.ended else "",
            )
        if run.dedup_key is not None:
            active = sa.select(RUN.c.id).where(RUN.c.dedup_key == run.dedup_key, RUN.c.ended.is_(None))
            other = connection.execute(active).scalar()
            if other is not None:
                raise Conflict(
                    f"run {other} of {run.dedup_key!r} is active",
                    hint=f"go on with it: falaj runs resume {other}; or end it: falaj runs cancel {other}",
                )
        if step:
            do_anew(connection, run_id, step)
        done = [RunState.SUCCEEDED, RunState.RUNNING, RunState.SKIPPED]
        connection.execute(
            STEP.update()
            .where(STEP.c.run_id == run_id, STEP.c.state.not_in(done))
            .values(
                state=RunState.PENDING, failures=0, crashes=0, not_before=now_us, started=None, ended=None, error=None
            )
        )
        wait_anew(connection, run_id)
        connection.execute(
            RUN.update()
            .where(RUN.c.id == run_id)
            .values(state=RunState.RUNNING, ended=None, error=None, cancel_requested=False, told=not run.notify)
        )
        record(connection, clock, by.name, "run.retry", run_id, {"from": step} if step else {})
        return require_run(connection, run_id)


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


def step_row(run_id: str, position: int, step: Step, now_us: int, dependents: list[str]) -> dict[str, Any]:
    """Return the row of a step that waits to be done.

    Args:
        run_id: Its run.
        position: Its place among the steps.
        step: The step.
        now_us: The present.
        dependents: Names of the steps that wait for it.
    """
    return {
        "run_id": run_id,
        "name": step.name,
        "position": position,
        "spec": msgspec.to_builtins(step),
        "state": RunState.PENDING,
        "executor": step.executor,
        "cpu_cents": int(step.cpu * 100),
        "memory_bytes": step.memory_bytes or 0,
        "gpu": step.gpu,
        "waiting": len(set(step.needs)),
        "dependents": dependents,
        "not_before": now_us,
        "created": now_us,
        "failures": 0,
        "crashes": 0,
        "epoch": 0,
        "progress": 0.0,
        "progress_text": "",
        "cached": False,
        "outputs": {},
    }
