"""The worker: takes steps, runs them, and finishes what dead workers left."""

import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from falaj.kernel.clock import Clock, rfc3339
from falaj.kernel.digest import digest_value
from falaj.kernel.errors import FalajError
from falaj.pipelines.arguments import DIGEST, Needed, divided, gathered, is_wanted, kept_in, resolved
from falaj.pipelines.attempt import Result, sentence
from falaj.pipelines.capacity import Capacity, Room
from falaj.pipelines.checkpoints import held_checkpoint
from falaj.pipelines.claims import Claim, Claims
from falaj.pipelines.completion import Completion, CrashPoint, no_crash
from falaj.pipelines.context import EndState, StopSignal
from falaj.pipelines.executors import end_leftover
from falaj.pipelines.keys import StepKeys
from falaj.pipelines.lease import Heartbeats
from falaj.pipelines.outputs import Output, Outputs, digests
from falaj.pipelines.process import WorkerId, this_worker
from falaj.pipelines.runs import Run, get_run
from falaj.pipelines.task import Executor, JobExecutor, Task, job_name
from falaj.storage.blobs import BlobStore
from falaj.storage.disk import failure
from falaj.storage.metadata.database import Database

LEASE_S = 15.0
_LOG = logging.getLogger(__name__)
_REPORT_EVERY_S = 0.5
_POLL_S = 0.1
UNBOUNDED = Room(1 << 40, 1 << 60, 0)
"""What a worker has of whom nobody said it."""


class Worker:
    """Runs steps one at a time; start several workers, in threads or processes, for more.

    Args:
        db: The metadata database.
        blobs: Keeps the files that steps give out.
        clock: Judges leases and timeouts.
        keys: Computes content keys.
        executors: By the name that steps ask for.
        work: Folder for the attempts' working folders and for checkpoints; the file that locks those lies beside it.
        logs: Folder for the steps' logs.
        lease_s: How long a claim lasts without a heartbeat.
        folder: The project's, where arguments name files; None where none do.
        capacity: What this worker and those beside it may use; None for whatever steps need.
        look_every_s: Pause of `run_forever` when nothing is ready.
        id: Who this worker is; a new identity by default.
        crash_at: Called at each place where a death must be survived.
    """

    def __init__(
        self,
        db: Database,
        blobs: BlobStore,
        clock: Clock,
        keys: StepKeys,
        executors: Mapping[str, Executor],
        *,
        work: Path,
        logs: Path,
        lease_s: float = LEASE_S,
        folder: Path | None = None,
        capacity: Capacity | None = None,
        look_every_s: float = 0.25,
        id: WorkerId | None = None,
        crash_at: CrashPoint = no_crash,
    ) -> None:
        # A step in this process may be the first to import MLflow, and with it this part of SQLAlchemy, which takes a
        # hand in everybody's statements from its first line on: threads that used the database meanwhile would fail.
        import_module("sqlalchemy.orm")
        self.id = id or this_worker()
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._keys = keys
        self._executors = executors
        self._work = work
        self._logs = logs
        self._lease_s = lease_s
        self._folder = folder
        self._capacity = capacity or Capacity(UNBOUNDED)
        self._look_every_s = look_every_s
        self._elsewhere = {name: one for name, one in executors.items() if isinstance(one, JobExecutor)}
        self._claims = Claims(db, clock, self.id, lease_s, executors=executors, capacity=capacity)
        self._completion = Completion(db, clock, crash_at)
        self._crash_at = crash_at
        self._heartbeats = Heartbeats(lease_s)
        self._next_recovery = 0.0

    def run_until_idle(self, stop: threading.Event | None = None) -> int:
        """Run steps of any run until none is ready, or until `stop` is set; return how many were tried."""
        stop = stop or threading.Event()
        tried = 0
        while not stop.is_set():
            claim = self._next(None)
            if claim is None:
                break
            self._try(claim, stop)
            tried += 1
        return tried

    def run_forever(self, stop: threading.Event) -> None:
        """Run steps as they become ready, until `stop` is set."""
        said = ""
        while not stop.is_set():
            try:
                self.run_until_idle(stop)
                said = ""
            except Exception as error:  # noqa: BLE001 the worker loop
                # A full disk or a broken database may pass; the step that met it is lost when its lease is over.
                if said != str(error):  # once, not four times a second for as long as a server is away
                    said = str(error)
                    _LOG.error("worker %s failed and goes on", self.id, exc_info=not isinstance(error, FalajError))
                    _LOG.error("%s", said)
            stop.wait(self._look_every_s)

    def run_one(self, run_id: str, stop: threading.Event | None = None) -> Run:
        """Run one run to its end, beside other workers that may have steps of it; return it as it ended.

        Returns:
            The run; not ended only if `stop` was set.

        Raises:
            NotFound: There is no such run.
        """
        stop = stop or threading.Event()
        while not (run := get_run(self._db, run_id)).state.ended and not stop.is_set():
            claim = self._next(run_id)
            if claim is None:
                # Another worker has a step, or a retry is not due yet.
                stop.wait(_POLL_S)
            else:
                self._try(claim, stop)
        return run

    def recover(self) -> int:
        """Give back the steps of dead workers, so that they can be tried again; return how many."""
        lost = self._claims.lost()
        for claim in lost:
            end_leftover(self._place(claim))
            error = f"worker {claim.owner} died or lost its lease"
            # A job elsewhere goes on without its worker, so that no death of one is the step's doing.
            result = Result(state=EndState.LOST, error=error, blameless=claim.job is not None)
            self._completion.ended(claim, result)
            shutil.rmtree(self._place(claim), ignore_errors=True)
        for run_id, name, job in self._claims.unwanted_jobs() if self._elsewhere else ():
            for executor in self._elsewhere.values():
                executor.release(job)
            self._claims.forget_job(run_id, name, job)
        return len(lost)

    def _next(self, run_id: str | None) -> Claim | None:
        now = self._clock.monotonic()
        if now >= self._next_recovery:
            self._next_recovery = now + self._lease_s / 3
            self.recover()
            self._claims.too_large()
        claim = self._claims.take(run_id)
        if claim is None and self.recover():
            claim = self._claims.take(run_id)
        if claim is not None:
            self._crash_at("claimed")
        return claim

    def _try(self, claim: Claim, stop: threading.Event) -> None:
        timeout_s = None if claim.step.executor in self._elsewhere else claim.step.timeout_s
        signal = StopSignal(lambda: self._claims.wanted_end(claim), self._clock.monotonic, timeout_s, shutdown=stop)
        log = self._logs / claim.run_id / f"{claim.step.name}.log"
        with self._heartbeats.during(lambda: self._claims.renew(claim), lambda: signal.end(EndState.LOST)):
            try:
                self._finish(claim, signal, log)
            except (FalajError, OSError) as error:
                # No code of a module, no input file, no space for an output: the step's misfortune, not the worker's.
                named = error if isinstance(error, FalajError) else failure(error, "its working files")
                result = Result(state=EndState.FAILED, error=sentence(named), retryable=named.retryable)
                self._completion.ended(claim, result, str(log))
            except (KeyboardInterrupt, SystemExit):
                self._completion.ended(claim, Result(state=EndState.PREEMPTED, error="the worker was stopped"))
                raise
        shutil.rmtree(self._place(claim), ignore_errors=True)
        self._crash_at("completed")

    def _finish(self, claim: Claim, signal: StopSignal, log: Path) -> None:
        step, arguments = claim.step, None
        if step.arguments is not None:
            if step.parts is not None:
                self._gather(claim)
                return
            needed = Needed(claim.inputs, claim.skipped, self._keep_file)
            if not is_wanted(step, needed):
                self._completion.skipped(claim)
                return
            if step.mapped:
                self._completion.divided(claim, *divided(step, needed))
                return
            arguments = resolved(step, needed)
        self._execute(claim, arguments, signal, log)

    def _execute(self, claim: Claim, arguments: dict[str, Any] | None, signal: StopSignal, log: Path) -> None:
        key = self._keys.key(claim.step, claim.run_id, claim.inputs, arguments)
        known = self._claims.cached(key)
        if known is not None and all(self._blobs.exists(digest) for digest in digests([known])):
            done = Result(state=EndState.SUCCEEDED)
            self._completion.succeeded(claim, key, known, done, cached=True, log=str(log))
            return
        step = f"{claim.run_id}.{claim.step.name}"
        with self._checkpoint(claim, key, step) as checkpoint:
            self._attempt(claim, self._task(claim, key, arguments, log, checkpoint), signal, log)

    def _checkpoint(self, claim: Claim, key: str, step: str) -> AbstractContextManager[Path]:
        executor = self._elsewhere.get(claim.step.executor)
        if executor is not None:  # a job outlives whoever follows it, and with it what that one holds
            return nullcontext(executor.shared / "checkpoints" / key)
        lock = self._work.with_name(f"{self._work.name}.lock")
        return held_checkpoint(self._work / "checkpoints", lock, key, step)

    def _attempt(self, claim: Claim, task: Task, signal: StopSignal, log: Path) -> None:
        result = self._run(claim, task, signal)
        if result is None:
            return
        self._crash_at("executed")
        if result.state is not EndState.SUCCEEDED:
            held = self._completion.ended(claim, result, str(log))
        else:
            outputs = self._stored(result)
            self._crash_at("stored")
            held = self._completion.succeeded(claim, task.key, outputs, result, cached=False, log=str(log))
            if held:
                shutil.rmtree(task.checkpoint, ignore_errors=True)
        if held and result.job_over:
            shutil.rmtree(task.folder, ignore_errors=True)

    def _run(self, claim: Claim, task: Task, signal: StopSignal) -> Result | None:
        """Run an attempt; None if the step is no longer ours."""
        executor, report = self._executors[claim.step.executor], self._reporter(claim)
        if claim.step.executor in self._elsewhere:
            if claim.job is None and not self._claims.name_job(claim, task.folder.name):
                return None
            return executor.run(task, signal, report)
        with self._capacity.taken(claim.step) as cards:
            return executor.run(msgspec.structs.replace(task, cards=cards), signal, report)

    def _gather(self, claim: Claim) -> None:
        outputs = gathered([claim.inputs[name] for name in claim.step.waits_for], claim.step.shape)
        # Of this run alone: whoever wants the list elsewhere makes it of the parts, each of which is found.
        key = digest_value(["gathered", claim.run_id, claim.step.name, claim.step.again, claim.needed_keys])
        self._completion.succeeded(claim, key, outputs, Result(state=EndState.SUCCEEDED), cached=False, log="")

    def _keep_file(self, path: str) -> str:
        return self._blobs.put_file((self._folder or Path()) / path)

    def _task(self, claim: Claim, key: str, arguments: dict[str, Any] | None, log: Path, checkpoint: Path) -> Task:
        if arguments is None:
            inputs = {
                need: {name: output.plain for name, output in outputs.items()} for need, outputs in claim.inputs.items()
            }
            used = digests(claim.inputs.values())
        else:
            inputs, used = {}, [kept[DIGEST] for kept in kept_in(list(arguments.values()))]
        folder = self._place(claim)
        executor = self._elsewhere.get(claim.step.executor)
        if executor is not None:
            # By the attempt that was the first to ask for it: the same for every worker that comes after.
            folder = executor.place(claim.job or job_name(claim.run_id, claim.step.name, claim.epoch))
        else:
            shutil.rmtree(folder, ignore_errors=True)
        task = Task(
            claim.run_id,
            claim.step,
            claim.epoch,
            inputs,
            {digest: self._blobs.path(digest) for digest in used},
            folder,
            checkpoint,
            log,
            key,
            arguments,
        )
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"--- {rfc3339(self._clock.now())} try {claim.epoch} by {self.id}\n")
        return task

    def _stored(self, result: Result) -> Outputs:
        outputs: Outputs = {}
        for name, value in result.outputs.items():
            if isinstance(value, Path):
                outputs[name] = Output(blob=self._blobs.put_file(value), size_bytes=value.stat().st_size)
            else:
                outputs[name] = Output(value=value)
        return outputs

    def _reporter(self, claim: Claim) -> Callable[[float, str], None]:
        next_write, last = 0.0, (0.0, "")

        def report(share: float, text: str) -> None:
            nonlocal next_write, last
            now = self._clock.monotonic()
            if now >= next_write and (share, text) != last:
                next_write, last = now + _REPORT_EVERY_S, (share, text)
                self._claims.report(claim, share, text)

        return report

    def _place(self, claim: Claim) -> Path:
        return self._work / f"{claim.run_id}.{claim.step.name}.{claim.epoch}"
