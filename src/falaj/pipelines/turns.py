"""Turns: in which order the steps of users' runs are taken, so that no run waits for all of another.

A step has a turn, and the least one that is ready goes first. A run that is submitted gets the turns that follow the
one which is being served: its steps and those of a run with hundreds more alternate from then on, with no count to keep
and nothing to look up when a step is claimed. Falaj's own steps all have turn 0: they go in the order of submission.
"""

import sqlalchemy as sa

from falaj.pipelines.graph import Step
from falaj.pipelines.runs import RunState
from falaj.pipelines.tables import STEP

OWN = ("in_process", "child")
"""Executors of Falaj's own steps."""


def turn_of(step: Step, first: int, at: int) -> int:
    """Return the turn of a step.

    Args:
        step: The step.
        first: The turn of the first step of its run, or of the first of the parts that it belongs to.
        at: Its place among them, from 0.
    """
    return 0 if step.executor in OWN else first + at


def next_turn(connection: sa.Connection) -> int:
    """Return the turn of whoever comes now: after the one that is being served, or beside the one that will be next."""
    users = STEP.c.turn > 0
    served = sa.select(sa.func.max(STEP.c.turn)).where(STEP.c.state == RunState.RUNNING, users)
    found = connection.execute(served).scalar()
    if found is not None:
        return int(found) + 1
    ready = sa.select(sa.func.min(STEP.c.turn)).where(STEP.c.state == RunState.PENDING, users, STEP.c.waiting == 0)
    return int(connection.execute(ready).scalar() or 1)


def wait_anew(connection: sa.Connection, run_id: str) -> None:
    """Give the steps of a run that goes on the turns of one that comes now; those it had may be long past."""
    mine = sa.and_(STEP.c.run_id == run_id, STEP.c.state == RunState.PENDING, STEP.c.turn > 0)
    least = connection.execute(sa.select(sa.func.min(STEP.c.turn)).where(mine)).scalar()
    others = next_turn(connection)
    if least is not None and others > least:
        connection.execute(STEP.update().where(mine).values(turn=STEP.c.turn + (others - least)))
