"""Executor on Ray: submits a step's job once, finds it again after a death, and follows it to its end."""

import contextlib
import shlex
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from falaj.kernel.errors import Conflict, FalajError, Unavailable
from falaj.kernel.size import format_size
from falaj.pipelines.attempt import Result, sentence
from falaj.pipelines.completion import CrashPoint, no_crash
from falaj.pipelines.context import EndState, StopSignal
from falaj.pipelines.graph import Step
from falaj.pipelines.ray.assignment import NOT_SHARED, WITHDRAWN, Assignment, AssignmentFolder
from falaj.pipelines.ray.jobs import DIED, ENDED, Job, Jobs
from falaj.pipelines.task import Report, Task, given_result, request_of, why_ended

PATIENCE_S = 60.0
"""So long may Ray be silent before the attempt is LOST, and so long is the pause before the next one."""

_LOOK_EVERY_S = 0.1
_ASK_EVERY_S = 1.0
_SEEN_S = 10.0
"""A result may take so long to be seen here after the job has ended: shared folders are not quick everywhere."""
_STOPPED_S = 8.0
"""Ray gives a job three seconds between SIGTERM and SIGKILL."""
_AGAIN_S = 5.0
_WROTE = (0, 1)
"""What a job leaves with that has written a result."""
_NO_PROGRAM = (126, 127)


class OnRay:
    """Runs steps as jobs of a Ray cluster. The job outlives the worker: whoever has the step next follows it.

    Args:
        jobs: The cluster's.
        shared: A folder of this name that every node sees; jobs' folders and checkpoints are made in it.
        folder: The project's, which every node sees too; None for none.
        secrets: Folder of the files that hold secrets; None for none.
        python: The interpreter on the nodes.
        environment: Returns variables for an attempt's job, no secrets; None for none.
        before: `module:name` of a function that the job calls before the step's; empty for none.
        after: The same of one that it calls afterwards, with `succeeded=`.
        home: The folder that these three are about; None for none. See `Assignment`.
        patience_s: See `PATIENCE_S`.
        crash_at: Called at each place where a death must be survived.
    """

    def __init__(
        self,
        jobs: Jobs,
        shared: Path,
        *,
        folder: Path | None = None,
        secrets: Path | None = None,
        python: str = sys.executable,
        environment: Callable[[Task], Mapping[str, str]] | None = None,
        before: str = "",
        after: str = "",
        home: Path | None = None,
        patience_s: float = PATIENCE_S,
        crash_at: CrashPoint = no_crash,
    ) -> None:
        self.shared = shared.absolute()
        self._jobs = jobs
        self._project = None if folder is None else str(folder.absolute())
        self._secrets = secrets
        self._python = python
        self._environment = environment
        self._before, self._after = before, after
        self._home = None if home is None else str(home.absolute())
        self._patience_s = patience_s
        self._crash_at = crash_at

    def place(self, job: str) -> Path:
        """Return the folder of a job."""
        return self.shared / "jobs" / job

    def release(self, job: str) -> None:
        """End what may be left of a job that nobody wants any more, and remove its folder."""
        with contextlib.suppress(FalajError):  # it ends by itself, without its folder
            self._jobs.stop(job)
        AssignmentFolder(self.place(job)).remove()

    def run(self, task: Task, stop: StopSignal, report: Report) -> Result:
        """Submit the job, unless it was submitted before, and follow it."""
        folder = AssignmentFolder(task.folder)
        given = folder.given()
        if given is not None and given.key != task.key:
            self.release(task.folder.name)
            return _lost("its code or arguments changed while nobody followed its job")
        if given is None:
            folder.give(self._assignment(task))
        return _Following(task, folder, self._jobs, stop, report, self._patience_s).run(
            lambda: self._begin(task, folder)
        )

    def _begin(self, task: Task, folder: AssignmentFolder) -> Result | None:
        """Make sure that Ray has the job; return a result where it cannot have it."""
        if self._jobs.find(task.folder.name) is not None:
            _note(task, f"adopted job {task.folder.name}")
            return None
        if folder.is_taken():
            return _lost("Ray does not know the job any more: it was started anew")
        self._crash_at("named")
        try:
            self._jobs.submit(task.folder.name, self._entrypoint(task.folder), task.step, _labels(task))
        except Conflict as refused:
            if self._jobs.find(task.folder.name) is None:
                return Result(state=EndState.FAILED, error=sentence(refused), retryable=False, job_over=True)
        self._crash_at("submitted")
        _note(task, f"job {task.folder.name}")
        return None

    def _assignment(self, task: Task) -> Assignment:
        return Assignment(
            key=task.key,
            request=request_of(task, secrets=self._secrets, before=self._before, after=self._after),
            project=self._project,
            environment={} if self._environment is None else dict(self._environment(task)),
            home=self._home,
        )

    def _entrypoint(self, folder: Path) -> str:
        # Of names alone: the dashboard shows it. `-P` keeps the node's working folder off the import path.
        words = [self._python, "-P", "-u", "-m", "falaj.pipelines.ray.child", str(folder)]
        return "exec " + shlex.join(words)


class _Following:
    """One worker's look at one job, from now to its end or this worker's."""

    def __init__(
        self, task: Task, folder: AssignmentFolder, jobs: Jobs, stop: StopSignal, report: Report, patience_s: float
    ) -> None:
        self._task = task
        self._folder = folder
        self._jobs = jobs
        self._stop = stop
        self._report = report
        self._patience_s = patience_s
        self._silent_since: float | None = None
        self._waits_for = ""
        self._pause = threading.Event()

    def run(self, begin: Callable[[], Result | None]) -> Result:
        begun, next_ask = False, 0.0
        while True:
            self._folder.copy_log(self._task.log)
            if self._folder.is_done() and (found := self._found()) is not None:
                return found
            self._pass_on()
            state = self._stop.poll() or self._late()
            if state is not None:
                return self._ended(state)
            if time.monotonic() >= next_ask:
                try:
                    over = self._asked() if begun else begin()
                except FalajError as error:
                    over = self._unanswered(error, begun=begun)
                else:
                    begun, self._silent_since = True, None
                if over is not None:
                    return over
                next_ask = time.monotonic() + _ASK_EVERY_S
            self._pause.wait(_LOOK_EVERY_S)

    def _pass_on(self) -> None:
        progress = self._folder.progress()
        if progress is not None:
            self._waits_for = ""
            self._report(progress.share, progress.text)

    def _waits(self, why: str) -> None:
        """Tell what keeps the job, or is unknown of it; with nothing, that it is no more so."""
        if why or self._waits_for:
            self._report(0.0, why)
        self._waits_for = why

    def _found(self) -> Result | None:
        read = self._folder.result()
        if read is None:
            return None
        self._waits("")
        self._folder.copy_log(self._task.log)
        return msgspec.structs.replace(given_result(read), job_over=True)

    def _late(self) -> EndState | None:
        """Return TIMED_OUT if the job has run for too long; the time in Ray's queue does not count."""
        began, limit_s = self._folder.began(), self._task.step.timeout_s
        late = began is not None and limit_s is not None and time.time() - began > limit_s
        return EndState.TIMED_OUT if late else None

    def _ended(self, state: EndState) -> Result:
        error = why_ended(state, self._task.step)
        if state in (EndState.CANCELLED, EndState.TIMED_OUT):
            self._end_job()
            return Result(state=state, error=error, job_over=True)
        return Result(state=state, error=f"{error}; its job goes on")

    def _end_job(self) -> None:
        name, until = self._task.folder.name, time.monotonic() + _STOPPED_S
        with contextlib.suppress(FalajError):
            self._jobs.stop(name)
            while (job := self._jobs.find(name)) is not None and job.status == "RUNNING" and time.monotonic() < until:
                self._pause.wait(_LOOK_EVERY_S)
        self._folder.copy_log(self._task.log)
        self._folder.withdraw()

    def _asked(self) -> Result | None:
        job = self._jobs.find(self._task.folder.name)
        if job is None:
            return self._found() or _lost("Ray does not know the job any more: it was started anew")
        self._waits(f"waits for room on Ray: {needs(self._task.step)}" if job.status == "PENDING" else "")
        return (self._last_look(job) or self._without_result(job)) if job.status in ENDED else None

    def _last_look(self, job: Job) -> Result | None:
        wrote = job.driver_exit_code in _WROTE and self._folder.is_taken()
        until = time.monotonic() + (_SEEN_S if wrote else 0.0)
        while (found := self._found()) is None and time.monotonic() < until and self._stop.poll() is None:
            self._pause.wait(_LOOK_EVERY_S)
        return found

    def _without_result(self, job: Job) -> Result:
        code, why = job.driver_exit_code, (job.message or "").strip().splitlines()[-1:] or ["no word"]
        if job.status == "STOPPED":
            return _failed("its job was stopped on Ray, by nobody of Falaj")
        if code == NOT_SHARED:
            return _failed(
                f"{why[0]} (the project's folder, its state and storage.shared must be on every node of Ray)"
            )
        if code == WITHDRAWN:
            return _lost("its job found nothing to do")
        if job.error_type in DIED or self._folder.is_taken():
            how = "its node died" if job.error_type in DIED else _way(code)
            return Result(state=EndState.LOST, error=f"the step's job gave no result: {how}", job_over=True)
        if code is None and job.status == "FAILED":
            return _lost(f"Ray could not begin its job: {why[0]}", _AGAIN_S)
        if code in _NO_PROGRAM:
            return _failed(f"{why[0]} (give Ray's nodes the interpreter, or name theirs: [ray] python)")
        return _failed(f"its job could not begin: {why[0]} (install Falaj on Ray's nodes: pip install 'falaj[ray]')")

    def _unanswered(self, error: FalajError, *, begun: bool) -> Result | None:
        if not isinstance(error, Unavailable) and not begun and not self._folder.is_taken():
            return _failed(sentence(error))  # a wrong token, or none: waiting would not help
        now = time.monotonic()
        self._silent_since = now if self._silent_since is None else self._silent_since
        self._waits(error.message)
        if now - self._silent_since < self._patience_s:
            return None
        # The job may go on where nobody can look: it keeps its name, and the next attempt asks for it.
        return Result(state=EndState.LOST, error=sentence(error), blameless=True, delay_s=self._patience_s)


def needs(step: Step) -> str:
    """Return what a step needs, in words.

    Example:
        >>> needs(Step(name="fit", function="m:f", cpu=4, gpu=1, executor="ray"))
        '4 cores, 1 graphics card'
    """
    memory = [] if step.memory_bytes is None else [f"{format_size(step.memory_bytes)} of memory"]
    cards = [_counted(step.gpu, "graphics card")] if step.gpu else []
    return ", ".join([_counted(step.cpu, "core"), *memory, *cards])


def _counted(number: float, what: str) -> str:
    return f"{number:g} {what}" if number == 1 else f"{number:g} {what}s"


def _labels(task: Task) -> dict[str, str]:
    return {"falaj_run": task.run_id, "falaj_step": task.step.name}


def _note(task: Task, text: str) -> None:
    with task.log.open("a", encoding="utf-8") as log:
        log.write(f"--- on Ray: {text}\n")


def _failed(why: str) -> Result:
    return Result(state=EndState.FAILED, error=why, retryable=False, job_over=True)


def _lost(why: str, delay_s: float = 0.0) -> Result:
    """Return that the job is gone through no fault of the step's."""
    return Result(state=EndState.LOST, error=why, blameless=True, delay_s=delay_s, job_over=True)


def _way(code: int | None) -> str:
    if code is not None and (code < 0 or code > 128):
        return f"its process was killed by signal {-code if code < 0 else code - 128}; was it out of memory?"
    return f"its process left with status {code}"
