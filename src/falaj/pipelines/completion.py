"""The end of an attempt: run, step, artifact, lineage, audit and usage rows in one transaction."""

from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.cost.meter import Meter, Usage
from falaj.governance.audit import record
from falaj.kernel.clock import Clock, to_us
from falaj.pipelines.attempt import Result, judge
from falaj.pipelines.claims import SECOND_US, Claim, held
from falaj.pipelines.context import EndState
from falaj.pipelines.graph import Step
from falaj.pipelines.outputs import Outputs, digests
from falaj.pipelines.runs import RunState
from falaj.pipelines.submission import end_run, end_waiting_steps, step_row
from falaj.pipelines.tables import ARTIFACT, ATTEMPT, LINEAGE, RUN, STEP
from falaj.pipelines.turns import next_turn, turn_of
from falaj.storage.metadata.database import Database

CrashPoint = Callable[[str], None]
"""Called with the name of each place where a death must be survived; tests pass one that kills the process."""


def no_crash(point: str) -> None:
    """Survive every place."""
    del point


class Completion:
    """Ends attempts.

    Args:
        db: The metadata database.
        clock: Gives times.
        crash_at: See `CrashPoint`.
    """

    def __init__(self, db: Database, clock: Clock, crash_at: CrashPoint) -> None:
        self._db = db
        self._clock = clock
        self._meter = Meter(db, clock)
        self._crash_at = crash_at

    def succeeded(self, claim: Claim, key: str, outputs: Outputs, result: Result, *, cached: bool, log: str) -> bool:
        """Write a success down; False, and nothing is written, if another worker has the step now."""
        now_us = to_us(self._clock.now())
        plain = msgspec.to_builtins(outputs)
        values = {"state": RunState.SUCCEEDED, "key": key, "outputs": plain, "cached": cached, "progress": 1.0}
        with self._db.write() as connection:
            if not _leave(connection, claim, {**values, "ended": now_us, "error": None, "log": log, **_job(result)}):
                return False
            if not cached:
                self._keep(connection, claim, key, plain, now_us)
            _link(connection, claim, key, outputs, result)
            _release(connection, claim.run_id, claim.dependents)
            detail = {"state": RunState.SUCCEEDED, "key": key, "cached": cached, "made": digests([outputs])}
            self._note(connection, claim, result, now_us, detail)
            _settle(connection, claim.run_id, now_us)
            self._crash_at("completing")
        return True

    def skipped(self, claim: Claim) -> bool:
        """Write down that a step was not wanted; False if another worker has the step now."""
        now_us = to_us(self._clock.now())
        values = {"state": RunState.SKIPPED, "ended": now_us, "outputs": {}, "key": None, "progress": 1.0}
        with self._db.write() as connection:
            if not _leave(connection, claim, values):
                return False
            _release(connection, claim.run_id, claim.dependents)
            self._note(connection, claim, Result(state=EndState.SKIPPED), now_us, {"state": RunState.SKIPPED})
            _settle(connection, claim.run_id, now_us)
            self._crash_at("skipping")
        return True

    def divided(self, claim: Claim, whole: Step, parts: list[Step]) -> bool:
        """Write down the steps that a step became, which waits for them from now on; False if it is not ours.

        The tries of a part go on counting where those of an earlier part of its name ended, so that a worker that had
        that one and comes back to life holds nothing.
        """
        now_us = to_us(self._clock.now())
        spec = msgspec.to_builtins(whole)
        values = {"state": RunState.PENDING, "spec": spec, "waiting": len(parts), "not_before": now_us}
        with self._db.write() as connection:
            if not _leave(connection, claim, values):
                return False
            if parts:
                connection.execute(STEP.insert(), _part_rows(connection, claim, parts, now_us))
            detail = {"state": RunState.SUCCEEDED, "parts": len(parts)}
            self._note(connection, claim, Result(state=EndState.SUCCEEDED), now_us, detail)
            self._crash_at("dividing")
        return True

    def ended(self, claim: Claim, result: Result, log: str = "") -> bool:
        """Write down an attempt without success, and what follows; False if another worker has the step now."""
        now_us = to_us(self._clock.now())
        with self._db.write() as connection:
            run = connection.execute(sa.select(RUN).where(RUN.c.id == claim.run_id)).one()
            verdict = judge(
                claim.step,
                result,
                failures=claim.failures,
                crashes=claim.crashes,
                run_over=run.cancel_requested or run.ended is not None,
            )
            values: dict[str, Any] = {"failures": verdict.failures, "crashes": verdict.crashes, "error": verdict.error}
            values |= _job(result)
            if verdict.state is None:
                values |= {"state": RunState.PENDING, "not_before": now_us + int(verdict.delay_s * SECOND_US)}
            else:
                values |= {"state": RunState(verdict.state), "ended": now_us}
            if log:
                values["log"] = log
            if not _leave(connection, claim, values):
                return False
            detail = {"state": result.state, "error": result.error, "again": verdict.state is None}
            self._note(connection, claim, result, now_us, detail)
            _settle(connection, claim.run_id, now_us)
            self._crash_at("ending")
        return True

    def _keep(self, connection: sa.Connection, claim: Claim, key: str, outputs: dict[str, Any], now_us: int) -> None:
        # The newest result of a key stands: an older one whose files were removed must not be found again.
        connection.execute(ARTIFACT.delete().where(ARTIFACT.c.key == key))
        connection.execute(
            ARTIFACT.insert().values(
                key=key,
                function=claim.step.function,
                run_id=claim.run_id,
                step=claim.step.name,
                outputs=outputs,
                created=now_us,
            )
        )

    def _note(
        self, connection: sa.Connection, claim: Claim, result: Result, now_us: int, detail: dict[str, Any]
    ) -> None:
        connection.execute(
            ATTEMPT.insert().values(
                run_id=claim.run_id,
                step=claim.step.name,
                epoch=claim.epoch,
                owner=claim.owner,
                state=result.state,
                started=claim.started,
                ended=now_us,
                cpu_seconds=result.cpu_seconds,
                error=result.error,
            )
        )
        wall_seconds = (now_us - claim.started) / SECOND_US
        self._meter.record_in(connection, Usage("pipeline", claim.pipeline, result.cpu_seconds, wall_seconds))
        record(connection, self._clock, claim.actor, "run.step", f"{claim.run_id}/{claim.step.name}", detail)


def _job(result: Result) -> dict[str, None]:
    return {"job": None} if result.job_over else {}


def _leave(connection: sa.Connection, claim: Claim, values: dict[str, Any]) -> bool:
    given_up = {"owner": None, "lease_until": None}
    return connection.execute(STEP.update().where(held(claim)).values({**values, **given_up})).rowcount == 1


def _link(connection: sa.Connection, claim: Claim, key: str, outputs: Outputs, result: Result) -> None:
    """Add the edges into the step's key (needed steps, what it used) and out of it (its files, what it made)."""
    edges = {(source, key) for source in [*claim.needed_keys, *digests(claim.inputs.values()), *result.used]}
    edges |= {(key, target) for target in [*digests([outputs]), *result.made]}
    rows = [
        {"from_digest": source, "to_digest": target, "run_id": claim.run_id, "step": claim.step.name}
        for source, target in sorted(edges)
    ]
    if rows:
        connection.execute(LINEAGE.insert(), rows)


def _release(connection: sa.Connection, run_id: str, dependents: list[str]) -> None:
    """Let the steps that wait for one wait for one less."""
    those = sa.and_(STEP.c.run_id == run_id, STEP.c.name.in_(dependents))
    connection.execute(STEP.update().where(those).values(waiting=STEP.c.waiting - 1))


def _part_rows(connection: sa.Connection, claim: Claim, parts: list[Step], now_us: int) -> list[dict[str, Any]]:
    whole = connection.execute(
        sa.select(STEP.c.position, STEP.c.created).where(STEP.c.run_id == claim.run_id, STEP.c.name == claim.step.name)
    ).one()
    tried = sa.select(ATTEMPT.c.step, sa.func.max(ATTEMPT.c.epoch).label("epoch")).where(
        ATTEMPT.c.run_id == claim.run_id, ATTEMPT.c.step.startswith(f"{claim.step.name}.", autoescape=True)
    )
    epochs = {row.step: row.epoch for row in connection.execute(tried.group_by(ATTEMPT.c.step))}
    first, turn = whole.position - len(parts), next_turn(connection)
    return [
        {
            **step_row(claim.run_id, first + at, part, now_us, [claim.step.name]),
            "created": whole.created,
            "turn": turn_of(part, turn, at),
            "waiting": 0,
            "epoch": epochs.get(part.name, 0),
        }
        for at, part in enumerate(parts)
    ]


def _settle(connection: sa.Connection, run_id: str, now_us: int) -> None:
    """End the run if its steps say so."""
    counted = sa.select(STEP.c.state, sa.func.count()).where(STEP.c.run_id == run_id).group_by(STEP.c.state)
    states = {state for state, _ in connection.execute(counted)}
    if states & {RunState.FAILED, RunState.TIMED_OUT}:
        bad = connection.execute(
            sa.select(STEP.c.name, STEP.c.state, STEP.c.error)
            .where(STEP.c.run_id == run_id, STEP.c.state.in_([RunState.FAILED, RunState.TIMED_OUT]))
            .order_by(STEP.c.position)
            .limit(1)
        ).one()
        end_waiting_steps(connection, run_id, now_us, f"step {bad.name!r} did not succeed")
        end_run(connection, run_id, RunState(bad.state), now_us, f"step {bad.name!r}: {bad.error}")
    elif states <= {RunState.SUCCEEDED, RunState.SKIPPED}:
        end_run(connection, run_id, RunState.SUCCEEDED, now_us, None)
    elif not states & {RunState.RUNNING, RunState.PENDING}:
        end_run(connection, run_id, RunState.CANCELLED, now_us, "cancelled")
