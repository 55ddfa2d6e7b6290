"""Operations on runs: list, show, cancel, resume."""

import re
from pathlib import Path
from typing import Any

from falaj.app.values.run import (
    CompareRuns,
    Comparison,
    LogPart,
    Logs,
    LogsQuery,
    RunDetail,
    RunQuery,
    RunResume,
    RunsQuery,
    Side,
    StepStatus,
)
from falaj.app.values.status import RunStatus
from falaj.governance.access import Actor
from falaj.kernel.clock import to_us
from falaj.kernel.errors import InputError, NotFound
from falaj.kernel.names import did_you_mean
from falaj.lifecycle.mirror import HOUSEKEEPING
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.step_tracking import logged_by
from falaj.models.mlflow_reading import logged_runs, values_by_name
from falaj.models.tracking import RUN_TAG as MIRRORED_TAG
from falaj.pipelines.arguments import RESULT
from falaj.pipelines.runs import Run, RunState, StepRun, get_run, run_outputs, run_steps
from falaj.pipelines.runs import list_runs as find_runs
from falaj.pipelines.submission import cancel as cancel_run
from falaj.pipelines.submission import retry

_SECOND_US = 1_000_000
_SHORT = 80
_PIECE = 64 << 10
_DIGEST = re.compile(r"[0-9a-f]{64}")


def list_runs(rooms: Rooms, actor: Actor, params: RunsQuery) -> list[RunStatus]:
    """Return runs, the newest first."""
    del actor
    states = [_state(params.state)] if params.state else None
    without = None if params.housekeeping else HOUSEKEEPING
    runs = find_runs(rooms.db, pipeline=params.pipeline or None, without=without, states=states, limit=params.limit)
    return [run_status(rooms, run) for run in runs]


def show(rooms: Rooms, actor: Actor, params: RunQuery) -> RunDetail:
    """Return one run and its steps."""
    del actor
    run = get_run(rooms.db, params.run_id)
    steps = run_steps(rooms.db, run.id)
    logged: dict[str, list[str]] = {}
    for one in logged_by(rooms, run.id, steps):
        logged.setdefault(one.step, []).append(one.id)
    shown = tuple(_step(rooms, step, tuple(logged.get(step.name, ()))) for step in steps)
    mirrored = [one.id for one in logged_runs(rooms.state.mlflow_db, MIRRORED_TAG, run.id)]
    return RunDetail(run_status(rooms, run), shown, run_outputs(rooms.db, run.id), "".join(mirrored[:1]))


def cancel(rooms: Rooms, actor: Actor, params: RunQuery) -> RunStatus:
    """Ask a run to stop."""
    return run_status(rooms, cancel_run(rooms.db, rooms.clock, params.run_id, by=actor))


def resume(rooms: Rooms, actor: Actor, params: RunResume) -> RunStatus:
    """Let a run go on where it stopped.

    A run whose worker died has not ended: it needs no more than somebody who works on it, which whoever asks does.
    """
    run = get_run(rooms.db, params.run_id)
    if not run.state.ended and not params.step:
        return run_status(rooms, run)
    return run_status(rooms, retry(rooms.db, rooms.clock, params.run_id, by=actor, step=params.step))


def logs(rooms: Rooms, actor: Actor, params: LogsQuery) -> Logs:
    """Return what the steps of a run have said since."""
    del actor
    run, steps = get_run(rooms.db, params.run_id), run_steps(rooms.db, params.run_id)
    if params.step and params.step not in {step.name for step in steps}:
        raise NotFound(
            f"run {run.id} has no step {params.step!r}", hint=did_you_mean(params.step, [step.name for step in steps])
        )
    parts = []
    for step in steps:
        if params.step in ("", step.name):
            part = _log_part(rooms.state.log / "runs" / run.id / f"{step.name}.log", step.name, params.after)
            parts.extend([part] if part.text else [])
    # Looked at before the logs were read: what an ended run says is whole by then.
    return Logs(tuple(parts), run.state.ended and not any(step.state is RunState.RUNNING for step in steps))


def compare(rooms: Rooms, actor: Actor, params: CompareRuns) -> Comparison:
    """Return two runs side by side."""
    del actor
    left, right = get_run(rooms.db, params.run_id), get_run(rooms.db, params.other)
    steps = [{step.name: step for step in run_steps(rooms.db, run.id)} for run in (left, right)]
    both = list(zip((left, right), steps, strict=True))
    values = [_values(run_outputs(rooms.db, run.id)) for run in (left, right)]
    states = [{name: str(step.state) for name, step in one.items()} for one in steps]
    seconds = [{name: _seconds(rooms, step.started, step.ended) for name, step in one.items()} for one in steps]
    logged = [values_by_name(logged_by(rooms, run.id, tuple(own.values()))) for run, own in both]
    return Comparison(
        run_status(rooms, left),
        run_status(rooms, right),
        _sides(left.params, right.params),
        _sides(*seconds),
        _sides(*states),
        _sides(*values),
        _sides(*logged),
    )


def _sides(left: dict[str, Any], right: dict[str, Any]) -> tuple[Side, ...]:
    return tuple(Side(name, left.get(name), right.get(name)) for name in dict.fromkeys([*left, *right]))


def _values(outputs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for step, given in outputs.items():
        # What a step function returned is the step's own; beside it stand digests of files.
        found |= _scalars(given.get(RESULT, given), step)
    return found


def _scalars(tree: Any, name: str) -> dict[str, Any]:
    """Return the numbers, truths and short texts of a tree, by their dotted names."""
    if isinstance(tree, dict):
        found: dict[str, Any] = {}
        for key, part in tree.items():
            if not key.startswith("$"):
                found |= _scalars(part, f"{name}.{key}")
        return found
    short = isinstance(tree, str) and len(tree) <= _SHORT and not _DIGEST.fullmatch(tree)
    return {name: tree} if short or isinstance(tree, int | float) else {}


def _log_part(path: Path, step: str, after: dict[str, int]) -> LogPart:
    first = after.get(step, 0)
    try:
        with path.open("rb") as file:
            file.seek(first)
            raw = file.read(_PIECE)
    except FileNotFoundError:
        raw = b""
    # Not through the middle of a letter, unless nothing would ever be whole.
    whole = raw[: raw.rfind(b"\n") + 1] or raw
    return LogPart(step, whole.decode(errors="replace"), first + len(whole))


def _state(text: str) -> RunState:
    try:
        return RunState(text.upper())
    except ValueError:
        raise InputError(f"state {text!r} does not exist", hint=did_you_mean(text.upper(), list(RunState))) from None


def run_status(rooms: Rooms, run: Run) -> RunStatus:
    """Return a run as the command line and the page show it."""
    step = next((s.name for s in run_steps(rooms.db, run.id) if s.state not in _DONE), "")
    seconds = _seconds(rooms, run.started, run.ended)
    error = run.error or ""
    return RunStatus(run.id, run.pipeline, run.state, run.reason, run.started, seconds, step, error, run.params)


_DONE = (RunState.SUCCEEDED, RunState.PENDING, RunState.SKIPPED)


def _step(rooms: Rooms, step: StepRun, mlflow: tuple[str, ...]) -> StepStatus:
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
        step.spec.needs,
        step.spec.parts,
        mlflow,
        step.spec.executor,
    )


def _seconds(rooms: Rooms, started: int | None, ended: int | None) -> float | None:
    if started is None:
        return None
    return ((ended or to_us(rooms.clock.now())) - started) / _SECOND_US
