"""Operations on pipelines: list, start, backfill, export."""

from falaj.app.operations.run import run_status
from falaj.app.values.pipeline import ExportPipeline, PipelineExport, PipelinesQuery, PipelineStatus
from falaj.app.values.run import Backfill, CallStep, StartRun
from falaj.app.values.status import RunStatus
from falaj.definitions.event import Event
from falaj.definitions.pipeline import Pipeline
from falaj.governance.access import Actor
from falaj.kernel.clock import to_us
from falaj.lifecycle.own_exports import export_pipeline
from falaj.lifecycle.own_runs import backfill, local_instant, start_call, start_run
from falaj.lifecycle.rooms import Rooms
from falaj.pipelines.runs import get_run
from falaj.pipelines.runs import list_runs as find_runs
from falaj.pipelines.schedule import next_due


def list_pipelines(rooms: Rooms, actor: Actor, params: PipelinesQuery) -> list[PipelineStatus]:
    """Return the applied pipelines, by name."""
    del actor
    known = rooms.definitions.pipelines
    wanted = [rooms.definitions.pipeline(params.pipeline)] if params.pipeline else list(known.values())
    return [_status(rooms, pipeline) for pipeline in sorted(wanted, key=lambda one: one.name)]


def export(rooms: Rooms, actor: Actor, params: ExportPipeline) -> PipelineExport:
    """Return a pipeline in the words of another platform."""
    del actor
    made = export_pipeline(
        rooms,
        params.pipeline,
        params.params,
        to=params.to,
        image=params.image,
        folder=params.folder,
        secret=params.secret,
    )
    return PipelineExport(params.pipeline, params.to, made.text, made.notes)


def start(rooms: Rooms, actor: Actor, params: StartRun) -> RunStatus:
    """Start a run of a pipeline."""
    run_id = start_run(rooms, params.pipeline, params.params, actor, params.reason)
    return run_status(rooms, get_run(rooms.db, run_id))


def call_step(rooms: Rooms, actor: Actor, params: CallStep) -> RunStatus:
    """Start a run of one of Falaj's steps on the project, as a notebook calls it."""
    return run_status(rooms, get_run(rooms.db, start_call(rooms, params.function, params.arguments, actor)))


def backfill_runs(rooms: Rooms, actor: Actor, params: Backfill) -> list[RunStatus]:
    """Start a run of a pipeline for each instant of a range."""
    pipeline = rooms.definitions.pipeline(params.pipeline)
    runs = backfill(
        rooms,
        pipeline.name,
        params.params,
        actor,
        first=local_instant(params.first, pipeline),
        last=local_instant(params.last, pipeline),
        every=params.every,
    )
    return [run_status(rooms, get_run(rooms.db, run_id)) for run_id in runs]


def _status(rooms: Rooms, pipeline: Pipeline) -> PipelineStatus:
    due = next_due(pipeline.schedule, rooms.clock.now(), pipeline.time_zone) if pipeline.schedule else None
    newest = find_runs(rooms.db, pipeline=pipeline.name, limit=1)
    return PipelineStatus(
        pipeline.name,
        pipeline.function,
        pipeline.schedule,
        pipeline.time_zone,
        None if due is None else to_us(due),
        tuple(_sentence(event) for event in pipeline.on),
        run_status(rooms, newest[0]) if newest else None,
    )


def _sentence(event: Event) -> str:
    if event.kind == "file":
        return f"a file of source {event.source!r}"
    return f"{event.at_least:,} rows of source {event.source!r}"
