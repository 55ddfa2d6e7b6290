"""Where a step runs on this machine: in this process, or in a child process group that can really be ended."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from falaj.kernel.codec import to_json
from falaj.pipelines.attempt import Result, attempt
from falaj.pipelines.child import ChildProgress, ChildResources, ChildResult
from falaj.pipelines.context import EndState, StepContext, StopSignal
from falaj.pipelines.process import cpu_seconds_of, process_start
from falaj.pipelines.task import Report, Task, given_result, request_of, why_ended

GRACE_S = 2.0
"""Between SIGTERM, which lets a step write its checkpoint, and SIGKILL."""

_LOOK_EVERY_S = 0.25
_START_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from falaj.pipelines.child import main; main()"


class InProcess:
    """Calls the function in this thread: for tiny steps and notebooks.

    A stop takes hold where the step calls `context.check()` or `context.progress()`.

    Args:
        resources: Given to the steps as `context.resources`.
        secrets: Folder of the files that hold secrets; None for none.
    """

    def __init__(self, resources: Any = None, secrets: Path | None = None) -> None:
        self._resources = resources
        self._secrets = secrets

    def run(self, task: Task, stop: StopSignal, report: Report) -> Result:
        """Call the function, with its log open."""
        with task.log.open("a", encoding="utf-8", buffering=1) as log:

            def context() -> StepContext:
                return StepContext(
                    run_id=task.run_id,
                    step=task.step.name,
                    attempt=task.attempt,
                    # A copy, as the step function may change what it is given.
                    params=json.loads(to_json(task.step.params)),
                    inputs=task.inputs,
                    folder=task.work,
                    checkpoint=task.checkpoint,
                    files=task.files,
                    arguments=task.arguments,
                    secrets=self._secrets,
                    open_resources=lambda: self._resources,
                    log=lambda text: print(text, file=log),
                    report=report,
                    stop=stop,
                )

            return attempt(task.step.function, context, time.thread_time)


class ChildProcess:
    """Runs the function in a new Python process, the leader of its own group.

    Args:
        resources: How the child makes `context.resources`; None for none.
        folder: Where the child works and looks for code first, such as the project's folder; None for this process's.
        secrets: Folder of the files that hold secrets; None for none.
        environment: Returns what an attempt's environment has besides this process's; None for nothing.
        before: `module:name` of a function that the child calls before the step's; empty for none.
        after: The same of one that it calls afterwards, with `succeeded=`; what goes wrong in it is only logged.
    """

    def __init__(
        self,
        resources: ChildResources | None = None,
        *,
        folder: Path | None = None,
        secrets: Path | None = None,
        environment: Callable[[Task], Mapping[str, str]] | None = None,
        before: str = "",
        after: str = "",
    ) -> None:
        self._resources = resources
        self._folder = folder
        self._secrets = secrets
        self._more = environment
        self._before, self._after = before, after
        # As it is now: MLflow's pages, loaded later in this process, put settings of theirs there.
        self._environment = dict(os.environ)

    def run(self, task: Task, stop: StopSignal, report: Report) -> Result:
        """Start the child, pass on its progress, and end its group when it ends or must end."""
        request = request_of(
            task, resources=self._resources, secrets=self._secrets, before=self._before, after=self._after
        )
        task.folder.mkdir(parents=True, exist_ok=True)
        # The child sees exactly this process's import path, however that came about, and the project's code before it.
        own = [] if self._folder is None else [str(self._folder.absolute())]
        command = [
            sys.executable,
            "-u",
            "-c",
            _START_CHILD,
            json.dumps(own + [str(Path(p).absolute()) for p in sys.path]),
        ]
        with task.log.open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**self._environment, **({} if self._more is None else self._more(task)), **_cards(task)},
                start_new_session=True,
                bufsize=0,
            )
        spent = _Spent(child)

        def look() -> None:
            spent.look()
            _pass_on(Path(request.progress_file), report)

        try:
            _pid_file(task.folder).write_text(f"{child.pid} {process_start(child.pid)}", encoding="ascii")
            _send(child, to_json(request).encode() + b"\n")
            state = _watch(child, stop, look)
        finally:
            spent.look()
            _end_group(child)
        if state is not None:
            return Result(state=state, error=why_ended(state, task.step), cpu_seconds=spent.cpu_seconds)
        return _read_result(Path(request.result_file), child.returncode, spent.cpu_seconds)


class _Spent:
    """What a child has used so far: one that is ended from outside tells nothing of it."""

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child
        self.cpu_seconds = 0.0

    def look(self) -> None:
        """Note it as it is now."""
        if self._child.returncode is None:  # else the number may be another process's by now
            self.cpu_seconds = max(self.cpu_seconds, cpu_seconds_of(self._child.pid))


def _cards(task: Task) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, task.cards))} if task.cards else {}


def end_leftover(folder: Path) -> None:
    """Kill the child group of an attempt whose worker died, if it is still there.

    A child kills itself when its worker dies; this one may be too stuck for that.
    """
    with contextlib.suppress(OSError, ValueError):
        pid, started = _pid_file(folder).read_text(encoding="ascii").split()
        if process_start(int(pid)) == started:
            os.killpg(int(pid), signal.SIGKILL)


def _pid_file(folder: Path) -> Path:
    return folder / "child.pid"


def _send(child: "subprocess.Popen[bytes]", data: bytes) -> None:
    # From a thread: a child that dies before it reads must not leave us waiting on a full pipe.
    def write() -> None:
        with contextlib.suppress(OSError):
            child.stdin.write(data)  # type: ignore[union-attr]

    threading.Thread(target=write, daemon=True).start()


def _watch(child: "subprocess.Popen[bytes]", stop: StopSignal, look: Callable[[], None]) -> EndState | None:
    """Wait for the child's end; return why it had to be ended, or None if it ended by itself."""
    while not _ended_within(child, _LOOK_EVERY_S):
        look()
        state = stop.poll()
        if state is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            _ended_within(child, GRACE_S)
            return state
    return None


def _ended_within(child: "subprocess.Popen[bytes]", seconds: float) -> bool:
    if sys.platform == "linux" and child.poll() is None:
        # Woken at once by the end; `Popen.wait` would look only every 50 ms.
        descriptor = os.pidfd_open(child.pid)
        try:
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            ended.poll(seconds * 1000)
        finally:
            os.close(descriptor)
        return child.poll() is not None
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """Kill whatever is left of the group, the processes that the step started included."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.close()


def _pass_on(file: Path, report: Report) -> None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        progress = msgspec.json.decode(file.read_bytes(), type=ChildProgress)
        report(progress.share, progress.text)


def _read_result(file: Path, status: int, cpu_seconds: float) -> Result:
    try:
        read = msgspec.json.decode(file.read_bytes(), type=ChildResult)
    except (OSError, msgspec.DecodeError):
        how = f"was killed by signal {-status}" if status < 0 else f"left with status {status}"
        hint = "; was it out of memory?" if status == -signal.SIGKILL else ""
        error = f"the step's process {how} and gave no result{hint}"
        return Result(state=EndState.LOST, error=error, cpu_seconds=cpu_seconds)
    return given_result(read)
