"""Runs of users' own pipelines: started by a person, and for each instant of a range."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from falaj.definitions.pipeline import Pipeline
from falaj.definitions.project_step import rights_of
from falaj.definitions.step import StepFunction
from falaj.definitions.trace import Trace, TracedStep
from falaj.governance.access import Actor, authorise
from falaj.kernel.digest import digest_value
from falaj.kernel.duration import positive_duration_us
from falaj.kernel.errors import InputError
from falaj.lifecycle.project import TracedPipeline, trace_pipeline
from falaj.lifecycle.rooms import Rooms
from falaj.pipelines.arguments import DIGEST, KEPT, NAME, OUTPUT, kept_in
from falaj.pipelines.attempt import load
from falaj.pipelines.ray.jobs import refuse_unsafe
from falaj.pipelines.submission import submit_in
from falaj.pipelines.tables import RUN
from falaj.pipelines.traced import OWN_STEPS, graph_of
from falaj.pipelines.turns import next_turn

MOST_INSTANTS = 10_000
_DAY_US = 86_400_000_000


def start_run(rooms: Rooms, name: str, params: Mapping[str, Any], by: Actor, reason: str) -> str:
    """Submit a run of a pipeline by the project's files as they are now.

    Args:
        rooms: The project.
        name: The pipeline.
        params: Its parameters: JSON, or text as a command line has it.
        by: Who starts it; already authorised.
        reason: Why.

    Returns:
        The run's identifier.

    Raises:
        NotFound: No such pipeline is applied.
        InputError: A parameter is not one of its function, or not of its type.
        ProjectError: Its file cannot be loaded, or its function fails.
    """
    traced = trace_pipeline(rooms.folder, rooms.definitions.pipeline(name), params)
    with rooms.db.write() as connection:
        return submit_traced(connection, rooms, traced, by, reason)


def start_call(rooms: Rooms, function: str, arguments: Mapping[str, Any], by: Actor) -> str:
    """Submit a run of one of Falaj's steps on the project, such as a notebook calls.

    Args:
        rooms: The project.
        function: The step, as `module:name`.
        arguments: By parameter, plain values; what is kept as a file stands by its digest.
        by: Who calls it; already authorised to call steps, and asked here for the rights of this one.

    Returns:
        The run's identifier.

    Raises:
        InputError: It is no such step, or an argument is one that only a pipeline's own function may write.
        AccessDenied: `by` may not do what the step does, or not read what an argument names by its digest.
    """
    declared = load(function) if function.startswith(OWN_STEPS) else None
    if not isinstance(declared, StepFunction) or declared.options.engine == "local":
        raise InputError(f"{function!r} is no step on the project", hint="call those of falaj.steps")
    _refuse_names(arguments)
    for kept in kept_in(dict(arguments)):
        for action in ("dataset.read", "model.read"):
            authorise(by, action, str(kept.get(DIGEST)))
    trace = Trace()
    trace.steps.append(
        TracedStep(
            name=declared.name,
            function=declared.reference,
            arguments=dict(arguments),
            options=declared.options,
            context=True,
        )
    )
    name = f"steps.{declared.name}"
    traced = TracedPipeline(graph_of(name, trace), {}, {}, (declared.name,), tuple(rights_of(trace)))
    with rooms.db.write() as connection:
        return submit_traced(connection, rooms, traced, by, "called from a notebook")


def _refuse_names(tree: Any) -> None:
    """Refuse what stands for something else by name: a file, a secret, another step."""
    if isinstance(tree, Mapping):
        named = [key for key in tree if str(key).startswith("$") and key not in (KEPT, OUTPUT, DIGEST, NAME)]
        if named:
            raise InputError(f"an argument has the key {named[0]!r}", hint="use text that does not begin with '$'")
        for part in tree.values():
            _refuse_names(part)
    elif isinstance(tree, list):
        for part in tree:
            _refuse_names(part)


def submit_traced(
    connection: sa.Connection,
    rooms: Rooms,
    traced: TracedPipeline,
    by: Actor,
    reason: str,
    dedup_key: str | None = None,
    turn: int | None = None,
) -> str:
    """Submit a traced pipeline in an open transaction.

    Args:
        connection: Of the transaction.
        rooms: The project.
        traced: The pipeline.
        by: Who submits it; already authorised.
        reason: Why.
        dedup_key: No second run with the same key can be active.
        turn: Of its first step; None for that of a run which comes now.

    Raises:
        AccessDenied: A step works on the project's stores, and `by` may not do there what it does.
        DefinitionError: A step is to run on Ray, and the settings name none, or one that is not safe to use.
        Conflict: A run with the same `dedup_key` is active.
    """
    for action, resource in traced.rights:
        authorise(by, action, resource)  # here, as a run does not keep the scopes of the token that started it
    if any(step.executor == "ray" for step in traced.graph.steps):
        refuse_unsafe(rooms.settings.ray)
    return submit_in(
        connection,
        rooms.clock,
        rooms.new_id,
        traced.graph,
        by=by,
        reason=reason,
        params=traced.params,
        dedup_key=dedup_key,
        turn=turn,
    )


def backfill(
    rooms: Rooms, name: str, params: Mapping[str, Any], by: Actor, *, first: datetime, last: datetime, every: str
) -> list[str]:
    """Submit a run for each instant of a range, all in one transaction.

    Asked again, it submits what is not under way: steps that were done are found by their keys, so done instants cost
    next to nothing.

    Args:
        rooms: The project.
        name: The pipeline; its `at` says which parameter is given the instant.
        params: Its other parameters.
        by: Who asks; already authorised.
        first: The first instant, aware.
        last: The last one, which is done too if a step meets it.
        every: Between two, such as "1d"; days and weeks are those of the pipeline's time zone.

    Returns:
        The runs, in the order of their instants: new ones, and those that were under way.

    Raises:
        InputError: The pipeline has no `at`, or the range is empty or too long.
    """
    pipeline = rooms.definitions.pipeline(name)
    if not pipeline.at:
        raise InputError(
            f"pipeline {name!r} has no parameter for an instant",
            hint="declare one: @fj.pipeline(at='day') above 'def ...(day: datetime.date)'",
        )
    traced = [
        trace_pipeline(rooms.folder, pipeline, {**params, pipeline.at: pipeline.instant(at)})
        for at in instants(first, last, every, pipeline.time_zone)
    ]
    runs = []
    with rooms.db.write() as connection:
        # One after the other, so that all of them together go forward as fast as one run of somebody else.
        turn = next_turn(connection)
        for one in traced:
            key = f"backfill:{name}:{digest_value(one.params)}"
            active = sa.select(RUN.c.id).where(RUN.c.dedup_key == key, RUN.c.ended.is_(None))
            found = connection.execute(active).scalar()
            reason = f"backfill of {one.params[pipeline.at]}"
            runs.append(found or submit_traced(connection, rooms, one, by, reason, key, turn))
            turn += len(one.graph.steps)
    return runs


def instants(first: datetime, last: datetime, every: str, time_zone: str) -> list[datetime]:
    """Return the instants from first to last, both included where they are met.

    Raises:
        InputError: There are none, or too many.

    Example:
        >>> days = instants(datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC), "1d", "Europe/Berlin")
        >>> [day.hour for day in days]  # midnight in UTC is one o'clock there, and stays so over the change of clocks
        [0, 0, 23]
    """
    found = []
    for at in _instants(first, positive_duration_us(every, field="every"), ZoneInfo(time_zone)):
        if at > last:
            break
        found.append(at)
        if len(found) > MOST_INSTANTS:
            raise InputError(f"the range has more than {MOST_INSTANTS:,} instants", hint="take it in parts")
    if not found:
        raise InputError("the range is empty", hint="give a --from that is not after --to")
    return found


def _instants(first: datetime, every_us: int, zone: ZoneInfo) -> Iterator[datetime]:
    at, whole_days = first, every_us % _DAY_US == 0
    local = first.astimezone(zone).replace(tzinfo=None)
    while True:
        yield at.astimezone(UTC)
        if whole_days:
            local += timedelta(microseconds=every_us)
            at = local.replace(tzinfo=zone)
        else:
            at += timedelta(microseconds=every_us)


def local_instant(text: str, pipeline: Pipeline) -> datetime:
    """Return what a person wrote as a date or an instant; without a time zone it is the pipeline's.

    Raises:
        InputError: It is neither.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no date and no instant", hint="write 2026-01-31 or 2026-01-31T06:00Z") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(pipeline.time_zone))
