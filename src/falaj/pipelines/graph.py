"""A graph of steps: what is to be run, as a plain value that any worker can read."""

import graphlib
import re
from typing import Any, Literal

import msgspec

from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import did_you_mean

Executor = Literal["in_process", "child", "project", "ray"]

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_STEP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,79}")

MOST_STEPS = 10_000


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One unit of work: a function, what it is given, and how it may end.

    Attributes:
        name: Unique in its graph.
        function: `module:qualname` of a function that takes a `StepContext` and returns outputs by name; where there
            are `arguments`, of a step function that takes those.
        needs: Names of the steps whose outputs it is given.
        params: Plain JSON values; everything the result depends on besides code and inputs, the data version too.
        executor: `in_process` for tiny steps; `child` for a process group of its own, which can be killed; `project`
            for one that runs the project's own code; `ray` for such a one as a job of a Ray cluster.
        timeout_s: Ended as TIMED_OUT after it; None for never. In process it takes hold where the step calls
            `context.check()` only.
        retries: How often a failure or a timeout is tried again.
        retry_delay_s: Pause before the first retry; doubled for each one after.
        cache: Whether a result with the same key may be taken from any earlier run; if not, only from this run.
        memory_bytes: What it needs; a child that allocates more fails (Linux only). None for any.
        cpu: Cores that it needs.
        gpu: Graphics cards that it needs.
        arguments: By parameter, values that are plain or name what other steps give; None for a function of a context.
        optional: The parameters that are None where the step they need was skipped.
        when: A condition on what other steps give; None for always.
        mapped: The parameters whose lists are gone over: the step becomes one for each part, and then gathers them.
        each: Whether what is gone over are lists of lists.
        parts: How many steps it became; None before it did.
        shape: How many of them each of the lists gave, where there are lists of lists.
        again: How often somebody asked for it to be done anew.

    Example:
        >>> Step(name="train", function="shop.steps:train", needs=("features",), params={"trees": 150}).executor
        'in_process'
    """

    name: str
    function: str
    needs: tuple[str, ...] = ()
    params: dict[str, Any] = {}
    executor: Executor = "in_process"
    timeout_s: float | None = None
    retries: int = 0
    retry_delay_s: float = 0.0
    cache: bool = True
    memory_bytes: int | None = None
    cpu: float = 1.0
    gpu: int = 0
    arguments: dict[str, Any] | None = None
    optional: tuple[str, ...] = ()
    when: Any = None
    mapped: tuple[str, ...] = ()
    each: bool = False
    parts: int | None = None
    shape: tuple[int, ...] | None = None
    again: int = 0

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The steps that must be done before it: those it needs, or those it became."""
        return self.needs if self.parts is None else tuple(part_name(self.name, at) for at in range(self.parts))

    def __post_init__(self) -> None:
        if not _STEP_NAME.fullmatch(self.name):
            raise DefinitionError(
                f"step name {self.name!r} cannot be used", hint="use letters, digits, dots, dashes and underscores"
            )
        if not _FUNCTION.fullmatch(self.function):
            raise DefinitionError(
                f"step {self.name!r}: function = {self.function!r} is not importable",
                hint="write 'module:function', a function at the top of a module",
            )
        if self.retries < 0 or self.retry_delay_s < 0:
            raise DefinitionError(f"step {self.name!r}: retries and retry_delay_s must not be negative")
        for field in ("timeout_s", "memory_bytes"):
            value = getattr(self, field)
            if value is not None and value <= 0:
                raise DefinitionError(f"step {self.name!r}: {field} = {value} must be above zero, or None for no limit")
        if self.memory_bytes is not None and self.executor == "in_process":
            raise DefinitionError(
                f"step {self.name!r}: a memory limit cannot hold in process", hint="set executor='child'"
            )


def part_name(step: str, at: int) -> str:
    """Return the name of one part of a step that goes over a list.

    Example:
        >>> part_name("clean", 3)
        'clean.3'
    """
    return f"{step}.{at}"


class Graph(msgspec.Struct, frozen=True):
    """Steps and what each needs, checked on construction.

    Attributes:
        name: The pipeline's name.
        steps: The steps in any order.
        notify: Of which ends of its runs people are told: "failure", "success".

    Example:
        >>> steps = (Step(name="b", function="m:f", needs=("a",)), Step(name="a", function="m:f"))
        >>> [step.name for step in Graph("p", steps).ordered()]
        ['a', 'b']
    """

    name: str
    steps: tuple[Step, ...]
    notify: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if not names:
            raise DefinitionError(f"pipeline {self.name!r} has no steps", hint="give at least one")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DefinitionError(f"pipeline {self.name!r} has two steps named {twice[0]!r}", hint="rename one")
        for step in self.steps:
            for need in step.needs:
                if need not in names:
                    raise DefinitionError(
                        f"step {step.name!r} of pipeline {self.name!r} needs {need!r}, which is not a step of it",
                        hint=did_you_mean(need, names),
                    )
        if len(names) > MOST_STEPS:
            raise DefinitionError(
                f"pipeline {self.name!r} has {len(names):,} steps; there may be {MOST_STEPS:,}",
                hint="go over a list with STEP.map(...)",
            )
        self.ordered()

    def dependents(self) -> dict[str, list[str]]:
        """Return, by step, the names of the steps that need it."""
        found: dict[str, list[str]] = {step.name: [] for step in self.steps}
        for step in self.steps:
            for need in dict.fromkeys(step.needs):
                found[need].append(step.name)
        return found

    def ordered(self) -> list[Step]:
        """Return the steps so that each comes after what it needs.

        Raises:
            DefinitionError: The steps need one another in a circle.
        """
        by_name = {step.name: step for step in self.steps}
        sorter = graphlib.TopologicalSorter({step.name: step.needs for step in self.steps})
        try:
            return [by_name[name] for name in sorter.static_order()]
        except graphlib.CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            raise DefinitionError(
                f"the steps of pipeline {self.name!r} need one another in a circle: {circle}", hint="remove one need"
            ) from None
