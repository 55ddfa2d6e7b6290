"""Operations on runs: list, show, cancel, resume."""

from falaj.app.values.run import RunDetail, RunQuery, RunsQuery, StepStatus
from falaj.app.values.status import RunStatus
from falaj.governance.access import Actor
from falaj.kernel.clock import to_us
from falaj.lifecycle.rooms import Rooms
from falaj.pipelines.runs import Run, RunState, StepRun, get_run, run_outputs, run_steps
from falaj.pipelines.runs import list_runs as find_runs
from falaj.pipelines.submission import cancel as cancel_run
from falaj.pipelines.submission import retry

_SECOND_US = 1_000_000


def list_runs(rooms: Rooms, actor: Actor, params: RunsQuery) -> list[RunStatus]:
    """Return runs, the newest first."""
    del actor
    runs = find_runs(rooms.db, pipeline=params.pipeline or None, limit=params.limit)
    return [run_status(rooms, run) for run in runs]


def show(rooms: Rooms, actor: Actor, params: RunQuery) -> RunDetail:
    """Return one run and its steps."""
    del actor
    run = get_run(rooms.db, params.run_id)
    steps = tuple(_step(rooms, step) for step in run_steps(rooms.db, run.id))
    return RunDetail(run_status(rooms, run), steps, run_outputs(rooms.db, run.id))


def cancel(rooms: Rooms, actor: Actor, params: RunQuery) -> RunStatus:
    """Ask a run to stop."""
    return run_status(rooms, cancel_run(rooms.db, rooms.clock, params.run_id, by=actor))


def resume(rooms: Rooms, actor: Actor, params: RunQuery) -> RunStatus:
    """Let a run go on where it stopped.

    A run whose worker died has not ended: it needs no more than somebody who works on it, which whoever asks does.
    """
    run = get_run(rooms.db, params.run_id)
    if not run.state.ended:
        return run_status(rooms, run)
    return run_status(rooms, retry(rooms.db, rooms.clock, params.run_id, by=actor))


def run_status(rooms: Rooms, run: Run) -> RunStatus:
    """Return a run as the command line and the page show it."""
    step = next((s.name for s in run_steps(rooms.db, run.id) if s.state not in _DONE), "")
    seconds = _seconds(rooms, run.started, run.ended)
    return RunStatus(run.id, run.pipeline, run.state, run.reason, run.started, seconds, step, run.error or "")


_DONE = (RunState.SUCCEEDED, RunState.PENDING)


def _step(rooms: Rooms, step: StepRun) -> StepStatus:
    seconds = _seconds(rooms, step.started, step.ended)
    return StepStatus(
        step.name,
        step.state,
        seconds,
        step.progress,
        step.progress_text,
        step.cached,
        step.epoch,
        step.error or "",
        step.log or "",
    )


def _seconds(rooms: Rooms, started: int | None, ended: int | None) -> float | None:
    if started is None:
        return None
    return ((ended or to_us(rooms.clock.now())) - started) / _SECOND_US
