"""Where the code of a user's step logs with MLflow: the project's MLflow, below the pipeline's name."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from falaj.kernel.settings import Settings
from falaj.lifecycle.rooms import Rooms
from falaj.models.mlflow_capture import (
    KEY_TAG,
    RUN_TAG,
    STEP_TAG,
    TRY_TAG,
    capture_environment,
    capture_here,
    may_capture,
)
from falaj.models.mlflow_reading import LoggedRun, logged_runs
from falaj.pipelines.runs import StepRun, get_run
from falaj.pipelines.task import Task
from falaj.storage.folder import StateFolder


def step_tracking(rooms: Rooms, task: Task, code: str) -> dict[str, str]:
    """Return the environment by which a step's process logs to the project's MLflow.

    Args:
        rooms: The project.
        task: The attempt.
        code: Digest of the step's code.
    """
    run = get_run(rooms.db, task.run_id)
    tags = {
        RUN_TAG: run.id,
        STEP_TAG: task.step.name,
        TRY_TAG: str(task.attempt),
        KEY_TAG: task.key,
        "falaj.code_digest": code,
        "mlflow.runName": task.step.name,
        "mlflow.user": run.actor,
        "mlflow.source.name": task.step.function,
        "mlflow.source.type": "JOB",
    }
    commit = git_commit(rooms.folder)
    if commit:
        tags["mlflow.source.git.commit"] = commit
    return capture_environment(rooms.state.mlflow_db, rooms.state.path / "mlflow", run.pipeline, tags)


def capture_notebook(folder: Path, settings: Settings) -> None:
    """Let what this process logs with MLflow go to a project's MLflow.

    Nothing is changed where the environment names another MLflow, and in the process of a step, whose runs are the
    step's.

    Args:
        folder: The project's folder.
        settings: Its settings.
    """
    if not may_capture():
        return
    state = StateFolder.of(folder, settings.storage)
    state.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    tags = {"falaj.project": settings.project.name, "falaj.notebook": "true"}
    commit = git_commit(folder)
    if commit:
        tags["mlflow.source.git.commit"] = commit
    experiment = f"{settings.project.name}-notebooks"
    capture_here(capture_environment(state.mlflow_db, state.path / "mlflow", experiment, tags))


def logged_by(rooms: Rooms, run_id: str, steps: Sequence[StepRun]) -> list[LoggedRun]:
    """Return what the code of a run's steps logged with MLflow.

    A step whose outputs were taken from an earlier run logged nothing this time; what it logged then counts for it.

    Args:
        rooms: The project.
        run_id: The run.
        steps: Its steps.
    """
    found = [one for one in logged_runs(rooms.state.mlflow_db, RUN_TAG, run_id) if one.step]
    for step in steps:
        if step.cached and step.key is not None:
            earlier = logged_runs(rooms.state.mlflow_db, KEY_TAG, step.key)
            found += [msgspec.structs.replace(one, step=step.name) for one in earlier if one.status == "FINISHED"]
    return found


def git_commit(folder: Path) -> str:
    """Return the commit that is checked out where a folder lies; empty where git does not keep it.

    Read from git's files: starting git would cost each step some milliseconds.
    """
    for place in (folder.resolve(), *folder.resolve().parents):
        git = place / ".git"
        if git.is_dir():
            return _head(git)
    return ""


def _head(git: Path) -> str:
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (git / name).is_file():
            return (git / name).read_text(encoding="utf-8").strip()
        packed = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")
