"""Project step: one of Falaj's own that works on the project's stores, for whoever starts the run."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

from falaj.definitions.step import StepFunction
from falaj.definitions.trace import StepOptions, Trace
from falaj.definitions.wire import steps_in
from falaj.kernel.errors import DefinitionError

R = TypeVar("R")


def project_step(engine: Literal["project", "control"], **rights: str) -> Callable[[Callable[..., R]], StepFunction[R]]:
    """Declare a step that is given the project's stores. Runs do it anew: what it reads changes by itself.

    Args:
        engine: Where it runs: `project`, in a process of its own that has the stores, or `control`, where they are
            written.
        rights: By parameter, what whoever starts the run must be allowed to do on the thing that it names.
    """
    options = StepOptions(random=True, engine=engine, rights=rights)
    return lambda function: StepFunction(function, options)


def rights_of(trace: Trace) -> Iterator[tuple[str, str]]:
    """Yield what whoever starts a run must be allowed: action, and on what.

    Raises:
        DefinitionError: What a step works on is known only when another has run: nobody could say who may start it.
    """
    for step in trace.steps:
        for parameter, action in step.options.rights.items():
            named: Any = step.arguments.get(parameter)
            if any(True for _ in steps_in(named)):
                raise DefinitionError(
                    f"step {step.name!r}: {parameter} is what another step gives, and must be known when a run starts",
                    hint="write it in the pipeline, or make it a parameter of the pipeline",
                )
            for name in named if parameter in step.mapped else [named]:
                if name:
                    yield action, str(name)
