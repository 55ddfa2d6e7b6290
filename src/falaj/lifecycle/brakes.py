"""Brakes: what keeps an occasion from starting a training run for now."""

from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from falaj.cost.report import report
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.retrain import Retrain
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import to_us
from falaj.kernel.duration import duration_us
from falaj.lifecycle.rooms import Rooms
from falaj.models.stages import is_blessed
from falaj.pipelines.runs import Run, RunState, list_runs
from falaj.pipelines.tables import RUN

_FIRST_BACK_OFF_US = 60_000_000
_LONGEST_BACK_OFF_US = 24 * 3_600_000_000
_RUNS = 20
"""So many runs in a row have reached the longest pause."""

DAY = timedelta(days=1)


class Brake(msgspec.Struct, frozen=True):
    """Why no run starts.

    Attributes:
        kind: "active_run", "min_new_labels", "cooldown", "back_off", "max_runs_per_day" or "max_cost_per_day".
        sentence: For people.
        until_us: When it lets go at the latest, in microseconds since 1970; None where that is not known.
    """

    kind: str
    sentence: str
    until_us: int | None = None


def brakes(rooms: Rooms, endpoint: Endpoint, fresh_labels: int, now: datetime) -> list[Brake]:
    """Return what holds a run of an endpoint's model back now.

    Args:
        rooms: The project.
        endpoint: Whose `retrain` says how often.
        fresh_labels: How many labels became known since the last training.
        now: The present.
    """
    retrain, model = endpoint.retrain, endpoint.model.name
    assert retrain is not None
    recent = list_runs(rooms.db, pipeline=f"train:{model}", limit=_RUNS)
    found = [
        _active(recent),
        _labels(retrain, fresh_labels),
        _cooldown(rooms, retrain, model, to_us(now)),
        _back_off(rooms, model, recent, to_us(now)),
        _runs_of_a_day(rooms, retrain, model, now),
        _cost_of_a_day(rooms, retrain, model, now),
    ]
    return [brake for brake in found if brake is not None]


def _active(recent: list[Run]) -> Brake | None:
    active = [run.id for run in recent if not run.state.ended]
    return Brake("active_run", f"run {active[0]} of the model is under way") if active else None


def _labels(retrain: Retrain, fresh: int) -> Brake | None:
    if fresh >= retrain.min_new_labels:
        return None
    return Brake("min_new_labels", f"{fresh:,} new labels, and min_new_labels = {retrain.min_new_labels:,}")


def _cooldown(rooms: Rooms, retrain: Retrain, model: str, now_us: int) -> Brake | None:
    with rooms.db.read() as connection:
        last = connection.execute(sa.select(sa.func.max(RUN.c.created)).where(*_triggered(model))).scalar()
    until_us = None if last is None else last + duration_us(retrain.cooldown)
    if until_us is None or now_us >= until_us:
        return None
    return Brake("cooldown", f"cooldown of {retrain.cooldown} after the last triggered run", until_us)


def _back_off(rooms: Rooms, model: str, recent: list[Run], now_us: int) -> Brake | None:
    """Hold back after triggered runs that led to nothing: twice as long with each in a row."""
    policy = rooms.definitions.policy_of(model)
    passed = {v.run_id for v in rooms.registry.versions(model) if is_blessed(v, policy)}
    failed: list[Run] = []
    for run in recent:
        if run.id in passed or run.actor != SYSTEM.name:
            break
        if run.state.ended and run.state is not RunState.CANCELLED:
            failed.append(run)
    if not failed:
        return None
    until_us = failed[0].created + min(_FIRST_BACK_OFF_US * 2 ** (len(failed) - 1), _LONGEST_BACK_OFF_US)
    if now_us >= until_us:
        return None
    runs = f"the last {len(failed)} triggered runs" if len(failed) > 1 else "the last triggered run"
    return Brake("back_off", f"{runs} led to no version that passed its gate", until_us)


def _runs_of_a_day(rooms: Rooms, retrain: Retrain, model: str, now: datetime) -> Brake | None:
    most = retrain.max_runs_per_day
    if most is None:
        return None
    since_us = to_us(now - DAY)
    query = sa.select(RUN.c.created).where(*_triggered(model), RUN.c.created > since_us).order_by(RUN.c.created.desc())
    with rooms.db.read() as connection:
        created = list(connection.execute(query.limit(most)).scalars())
    if len(created) < most:
        return None
    sentence = f"{most} triggered {'run' if most == 1 else 'runs'} in 24 hours, and max_runs_per_day = {most}"
    return Brake("max_runs_per_day", sentence, created[-1] + to_us(now) - since_us)


def _cost_of_a_day(rooms: Rooms, retrain: Retrain, model: str, now: datetime) -> Brake | None:
    most = retrain.max_cost_per_day
    if most is None:
        return None
    spent = spent_in_a_day(rooms, model, now)
    if spent < most:
        return None
    currency = rooms.settings.cost.currency
    sentence = f"{spent:.2f} {currency} spent on training in 24 hours, and max_cost_per_day = {most:g}"
    return Brake("max_cost_per_day", sentence)


def spent_in_a_day(rooms: Rooms, model: str, now: datetime) -> float:
    """Return what a model's trainings of the last 24 hours cost, whoever asked for them; a step counts when it ends.

    Args:
        rooms: The project.
        model: The model's name.
        now: The present.
    """
    lines = report(rooms.db, rooms.settings.cost, since=now - DAY)
    return sum(line.amount for line in lines if (line.used.kind, line.used.subject) == ("pipeline", f"train:{model}"))


def _triggered(model: str) -> tuple[sa.ColumnElement[bool], ...]:
    return RUN.c.pipeline == f"train:{model}", RUN.c.actor == SYSTEM.name
