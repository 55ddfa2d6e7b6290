"""Task: one attempt at a step, ready to run; who may run it; and what its process is told and tells."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from falaj.pipelines.attempt import Result
from falaj.pipelines.child import ChildRequest, ChildResources, ChildResult
from falaj.pipelines.context import EndState, StopSignal
from falaj.pipelines.graph import Step

Report = Callable[[float, str], None]


class Task(msgspec.Struct, frozen=True):
    """One attempt, ready to run.

    Attributes:
        run_id: The run.
        step: The step.
        attempt: Its number.
        inputs: By needed step, plain values and digests.
        files: Where the files of input digests lie.
        folder: Of this attempt; made by whoever runs it.
        checkpoint: Of the step's key, or its own while another attempt has that.
        log: The file that the step's words are added to.
        key: The step's content key.
        arguments: What a step function is called with; None for a function of the context.
        cards: Numbers of the graphics cards that it may use.
    """

    run_id: str
    step: Step
    attempt: int
    inputs: dict[str, dict[str, Any]]
    files: dict[str, Path]
    folder: Path
    checkpoint: Path
    log: Path
    key: str
    arguments: dict[str, Any] | None = None
    cards: tuple[int, ...] = ()

    @property
    def work(self) -> Path:
        """The empty folder that the step function is given, if it asks for one."""
        return self.folder / "work"


class Executor(Protocol):
    """Runs attempts; each comes back as a result, whatever happens in it."""

    def run(self, task: Task, stop: StopSignal, report: Report) -> Result:
        """Run the attempt to its end, or until the stop signal ends it."""
        ...


@runtime_checkable
class JobExecutor(Executor, Protocol):
    """Runs attempts as jobs elsewhere, which outlive the worker: whoever has the step next follows the same job.

    The worker writes a job's name down before the job is begun. It minds the step's `timeout_s` by itself.
    """

    @property
    def shared(self) -> Path:
        """The folder that jobs see under the same name; checkpoints lie in it."""
        ...

    def place(self, job: str) -> Path:
        """Return the folder of a job."""
        ...

    def release(self, job: str) -> None:
        """End what may be left of a job that nobody wants any more, and remove its folder."""
        ...


def job_name(run_id: str, step: str, epoch: int) -> str:
    """Return the name of the job that a step runs as elsewhere: the same for whoever submits it.

    Args:
        run_id: The run.
        step: The step.
        epoch: The attempt that it was first to be submitted in.

    Example:
        >>> job_name("run_01", "fit.3", 2)
        'falaj-run_01-fit.3-2'
    """
    return f"falaj-{run_id}-{step}-{epoch}"


def request_of(
    task: Task,
    *,
    resources: ChildResources | None = None,
    secrets: Path | None = None,
    before: str = "",
    after: str = "",
) -> ChildRequest:
    """Return what a process is told of an attempt: names, digests and plain values.

    Args:
        task: The attempt.
        resources: How the process makes `context.resources`; None for none.
        secrets: Folder of the files that hold secrets; None for none.
        before: `module:name` of a function that the process calls before the step's; empty for none.
        after: The same of one that it calls afterwards.
    """
    folder = task.folder.absolute()
    return ChildRequest(
        function=task.step.function,
        run_id=task.run_id,
        step=task.step.name,
        attempt=task.attempt,
        params=task.step.params,
        inputs=task.inputs,
        folder=str(task.work.absolute()),
        checkpoint=str(task.checkpoint.absolute()),
        files={digest: str(path.absolute()) for digest, path in task.files.items()},
        result_file=str(folder / "result.json"),
        progress_file=str(folder / "progress.json"),
        arguments=task.arguments,
        secrets=None if secrets is None else str(secrets.absolute()),
        resources=resources,
        memory_bytes=task.step.memory_bytes,
        before=before,
        after=after,
    )


def given_result(read: ChildResult) -> Result:
    """Return the result that a process wrote, with its files among its outputs."""
    files = {name: Path(path) for name, path in read.files.items()}
    return msgspec.structs.replace(read.result, outputs={**read.result.outputs, **files})


def why_ended(state: EndState, step: Step) -> str:
    """Return why an attempt was ended from outside, as a sentence."""
    if state is EndState.TIMED_OUT:
        return f"it took longer than its timeout_s = {step.timeout_s:g}"
    return {EndState.PREEMPTED: "the worker was told to stop", EndState.LOST: "another worker took the step"}.get(
        state, "cancelled"
    )
