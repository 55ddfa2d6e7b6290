"""What a step function is given. No SQL and no heavy import: child processes start with this module."""

import atexit
import enum
import functools
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from falaj.kernel.errors import NotFound


class EndState(enum.StrEnum):
    """How an attempt at a step, a step, or a run ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    PREEMPTED = "PREEMPTED"
    """The worker was told to stop; tried again without spending the step's retries."""
    SKIPPED = "SKIPPED"
    """Its condition did not hold, or a step was skipped that it cannot do without."""
    LOST = "LOST"
    """The worker or the child died; tried again likewise, but not more than three times."""


class StepStopped(BaseException):
    """Raised inside a step that must end; no Exception, so that a step's `except Exception` lets it through."""

    def __init__(self, state: EndState) -> None:
        super().__init__(state.value)
        self.state = state


class StopSignal:
    """Says whether a running step must end, and why.

    Args:
        asked: Looks whether a person or the lease wants the step to end; called at most every `every_s`.
        monotonic: Seconds that never go back.
        timeout_s: The step's own limit; None for none.
        shutdown: Set when the worker must stop.
        every_s: How long an answer of `asked` is taken as it is.
    """

    def __init__(
        self,
        asked: Callable[[], EndState | None],
        monotonic: Callable[[], float],
        timeout_s: float | None = None,
        shutdown: threading.Event | None = None,
        every_s: float = 0.25,
    ) -> None:
        self._asked = asked
        self._monotonic = monotonic
        self._shutdown = shutdown
        self._every_s = every_s
        self._deadline = None if timeout_s is None else monotonic() + timeout_s
        self._next_look = monotonic() + every_s
        self._state: EndState | None = None

    def end(self, state: EndState) -> None:
        """Make every later `poll` answer with the state; the first reason given stays."""
        self._state = self._state or state

    def poll(self) -> EndState | None:
        """Return why the step must end, or None while it may go on."""
        if self._state is None:
            self._state = self._look()
        return self._state

    def _look(self) -> EndState | None:
        now = self._monotonic()
        if self._deadline is not None and now >= self._deadline:
            return EndState.TIMED_OUT
        if now >= self._next_look:
            self._next_look = now + self._every_s
            asked = self._asked()
            if asked is not None:
                return asked
        return EndState.PREEMPTED if self._shutdown is not None and self._shutdown.is_set() else None


class StepContext:
    """What a step function is given.

    Attributes:
        run_id: The run.
        step: The step's name.
        attempt: 1 for the first try.
        params: The step's parameters.
        inputs: By needed step, its outputs by name: plain values, and digests of files.
        arguments: What a step function is called with, where files still stand by digest; None for a function of this
            context.
        secrets: Folder of the files that hold secrets; None for none.
        hidden: Values of the secrets that it was given: they are kept out of logs and errors.
    """

    def __init__(
        self,
        *,
        run_id: str,
        step: str,
        attempt: int,
        params: dict[str, Any],
        inputs: dict[str, dict[str, Any]],
        folder: Path,
        checkpoint: Path,
        files: Mapping[str, Path],
        arguments: dict[str, Any] | None = None,
        secrets: Path | None = None,
        hidden: list[str] | None = None,
        open_resources: Callable[[], Any] | None = None,
        log: Callable[[str], None] = print,
        report: Callable[[float, str], None] | None = None,
        stop: StopSignal | None = None,
    ) -> None:
        self.run_id = run_id
        self.step = step
        self.attempt = attempt
        self.params = params
        self.inputs = inputs
        self._folder = folder
        self._checkpoint = checkpoint
        self.arguments = arguments
        self.secrets = secrets
        self.hidden: list[str] = [] if hidden is None else hidden
        self._open_resources = open_resources
        self.used_digests: list[str] = []
        self.made_digests: list[str] = []
        self._files = files
        self._log = log
        self._report = report
        self._stop = stop

    @classmethod
    def alone(cls, step: str) -> "StepContext":
        """Return the context of a step that is called directly, in a notebook or a test.

        Its folder stays until the process ends, since what the step returns may be a file in it.
        """
        import tempfile  # child processes start with this module, and need it seldom

        folder = Path(tempfile.mkdtemp(prefix=f"falaj-{step}-"))
        atexit.register(_removed_by_its_maker, folder, os.getpid())
        return cls(
            run_id="",
            step=step,
            attempt=1,
            params={},
            inputs={},
            folder=folder,
            checkpoint=folder / "checkpoint",
            files={},
        )

    @functools.cached_property
    def folder(self) -> Path:
        """An empty working folder, made when first asked for and removed when the attempt ends."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    @functools.cached_property
    def checkpoint(self) -> Path:
        """A folder that belongs to the step's key: a later attempt finds what an earlier one left in it."""
        self._checkpoint.mkdir(parents=True, exist_ok=True)
        return self._checkpoint

    @functools.cached_property
    def resources(self) -> Any:
        """What the worker's owner passes in: project, stores, clock; opened when first asked for."""
        return None if self._open_resources is None else self._open_resources()

    def input(self, step: str, name: str) -> Any:
        """Return an output of a needed step: a plain value, or a file's digest.

        Raises:
            NotFound: The step is not needed, or gave no such output.
        """
        try:
            return self.inputs[step][name]
        except KeyError:
            self._missing(f"{step}.{name}")

    def path(self, digest: str) -> Path:
        """Return where the file of an input digest lies; it must not be changed.

        Raises:
            NotFound: No needed step gave it.
        """
        try:
            return self._files[digest]
        except KeyError:
            self._missing(digest)

    def log(self, text: str) -> None:
        """Add lines to the step's log."""
        self._log(text)

    def progress(self, share: float, text: str = "") -> None:
        """Say how far the step is, and end it here if it must end.

        Args:
            share: 0 to 1.
            text: What it is doing, for people.
        """
        if self._report is not None:
            self._report(min(max(float(share), 0.0), 1.0), text)
        self.check()

    def check(self) -> None:
        """Return while the step may go on; a long step in process calls this so that it can be cancelled.

        Raises:
            StepStopped: It was cancelled, timed out, or its worker must stop. Let it pass.
        """
        state = None if self._stop is None else self._stop.poll()
        if state is not None:
            raise StepStopped(state)

    def used(self, digest: str) -> None:
        """Record that the outputs come from something that no needed step gave, such as a dataset."""
        self.used_digests.append(digest)

    def made(self, digest: str) -> None:
        """Record that the step made something besides its files, such as a dataset or a model version."""
        self.made_digests.append(digest)

    def _missing(self, what: str) -> NoReturn:
        known = ", ".join(f"{step}.{name}" for step, outputs in self.inputs.items() for name in outputs)
        raise NotFound(f"step {self.step!r} has no input {what!r}", hint=f"its inputs are: {known or 'none'}")


def _removed_by_its_maker(folder: Path, maker: int) -> None:
    """Remove a folder at the end of the process that made it; a fork of it ends before and must leave it."""
    if os.getpid() == maker:
        import shutil  # see `StepContext.alone`

        shutil.rmtree(folder, ignore_errors=True)
