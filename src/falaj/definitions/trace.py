"""Trace: the steps that a pipeline's function called, and how it wired them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import msgspec

from falaj.kernel.errors import DefinitionError


class StepOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a step runs.

    Attributes:
        retries: How often a failure or a timeout is tried again.
        retry_delay_s: Pause before the first retry; doubled for each one after.
        timeout_s: Ended after it; None for never.
        cpu: Cores that it needs.
        memory_bytes: Memory that it needs, and may not exceed; None for any.
        gpu: Graphics cards that it needs.
        random: Whether its result depends on chance, the clock or the world outside.
        engine: Where it runs in a run: `local`, beside control; `ray`; and for steps of Falaj's own that work on the
            project's stores, `project`, a process that has them, or `control`, where they are written.
        rights: By parameter, what whoever starts the run must be allowed to do on the thing that it names.
    """

    retries: int = 0
    retry_delay_s: float = 0.0
    timeout_s: float | None = None
    cpu: float = 1.0
    memory_bytes: int | None = None
    gpu: int = 0
    random: bool = False
    engine: Literal["local", "ray", "project", "control"] = "local"
    rights: dict[str, str] = {}


class TracedStep(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a step.

    Attributes:
        name: Unique in its pipeline.
        function: `module:name`.
        arguments: By parameter, as `wired` writes them.
        needs: Names of the steps that come before it.
        mapped: The parameters whose lists are gone over.
        each: Whether they are lists of lists.
        optional: The parameters that take None where a step was skipped.
        when: The condition, wired; None for always.
        options: How it runs.
        context: Whether its function takes a `StepContext`.
    """

    name: str
    function: str
    arguments: dict[str, Any] = {}
    needs: tuple[str, ...] = ()
    mapped: tuple[str, ...] = ()
    each: bool = False
    optional: tuple[str, ...] = ()
    when: Any = None
    options: StepOptions = StepOptions()
    context: bool = False


class Trace:
    """Collects calls while a pipeline's function runs."""

    def __init__(self) -> None:
        self.steps: list[TracedStep] = []

    def name_for(self, function: str) -> str:
        """Return a name for one more call of a function: its own, then with -2, -3 behind it."""
        taken = {step.name for step in self.steps}
        name, number = function, 1
        while name in taken:
            number += 1
            name = f"{function}-{number}"
        return name


class Skipped:
    """Stands for what a step that was not run would have given, where a pipeline is called directly."""

    def __bool__(self) -> bool:
        return False

    def __getitem__(self, key: object) -> "Skipped":
        return self

    def __iter__(self) -> Iterator[Any]:
        raise DefinitionError("a step that was skipped gives nothing to take apart", hint="skip what needs it too")

    def _compared(self, other: object) -> "Skipped":
        del other
        return self

    __lt__ = __le__ = __gt__ = __ge__ = _compared

    def __repr__(self) -> str:
        return "<skipped>"


def holds_skipped(value: object) -> bool:
    """Return whether a value is, or holds, what a skipped step would have given.

    Example:
        >>> holds_skipped({"a": [Skipped()]}), holds_skipped([None])
        (True, False)
    """
    if isinstance(value, dict):
        return any(holds_skipped(part) for part in value.values())
    return any(holds_skipped(part) for part in value) if isinstance(value, list | tuple) else isinstance(value, Skipped)


_TRACE: ContextVar[Trace | None] = ContextVar("falaj_trace", default=None)
_DIRECT: ContextVar[bool] = ContextVar("falaj_pipeline_is_called_directly", default=False)


def current_trace() -> Trace | None:
    """Return the trace that a pipeline's function runs for, if it does."""
    return _TRACE.get()


def called_in_pipeline() -> bool:
    """Return whether a pipeline's function runs directly, in a notebook or a test."""
    return _DIRECT.get()


@contextmanager
def tracing() -> Iterator[Trace]:
    """Collect the calls of steps in the block instead of running them."""
    trace = Trace()
    token = _TRACE.set(trace)
    try:
        yield trace
    finally:
        _TRACE.reset(token)


@contextmanager
def directly() -> Iterator[None]:
    """Run the calls of steps in the block at once."""
    token = _DIRECT.set(True)
    try:
        yield
    finally:
        _DIRECT.reset(token)
