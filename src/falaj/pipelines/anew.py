"""Anew: a step of a run that has ended is done again, with all that needs what it gives."""

from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.kernel.errors import Conflict, NotFound
from falaj.kernel.names import did_you_mean
from falaj.pipelines.graph import Step, part_name
from falaj.pipelines.runs import RunState
from falaj.pipelines.tables import STEP

_DONE = (RunState.SUCCEEDED, RunState.SKIPPED)


def do_anew(connection: sa.Connection, run_id: str, name: str) -> None:
    """Make a step, and every step that comes after it, wait as if none of them had been done.

    A step that went over a list forgets its parts, unless one of those is named: then that part alone is done anew.

    Raises:
        NotFound: The run has no such step.
        Conflict: A step is under way, because the run ended while a worker had it.
    """
    columns = (STEP.c.name, STEP.c.state, STEP.c.spec, STEP.c.dependents)
    rows = {row.name: row for row in connection.execute(sa.select(*columns).where(STEP.c.run_id == run_id))}
    if name not in rows:
        raise NotFound(f"run {run_id} has no step {name!r}", hint=did_you_mean(name, rows))
    running = [row.name for row in rows.values() if row.state == RunState.RUNNING]
    if running:
        raise Conflict(f"step {running[0]!r} of run {run_id} is still under way", hint="wait for its worker to end it")
    after = _after(rows, name)
    forgotten = [part for each in after for part in _parts(rows[each]) if name not in _parts(rows[each])]
    for part in forgotten:
        connection.execute(STEP.delete().where(STEP.c.run_id == run_id, STEP.c.name == part))
    for each in after - set(forgotten):
        spec = msgspec.convert(rows[each].spec, Step)
        keeps_parts = name in _parts(rows[each])
        spec = msgspec.structs.replace(spec, again=spec.again + 1)
        if not keeps_parts:
            spec = msgspec.structs.replace(spec, parts=None, shape=None)
        waiting = sum(need in after or rows[need].state not in _DONE for need in set(spec.waits_for))
        connection.execute(
            STEP.update()
            .where(STEP.c.run_id == run_id, STEP.c.name == each)
            .values(
                state=RunState.PENDING,
                spec=msgspec.to_builtins(spec),
                waiting=waiting,
                key=None,
                outputs={},
                cached=False,
                progress=0.0,
                progress_text="",
            )
        )


def _after(rows: dict[str, Any], name: str) -> set[str]:
    reached, waiting = set[str](), [name]
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            waiting.extend(rows[one].dependents)
    return reached


def _parts(row: Any) -> list[str]:
    return [part_name(row.name, at) for at in range(row.spec.get("parts") or 0)]
