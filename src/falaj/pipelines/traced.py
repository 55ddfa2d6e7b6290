"""Traced: the graph of a user's pipeline."""

from falaj.definitions.trace import Trace, TracedStep
from falaj.kernel.errors import DefinitionError
from falaj.pipelines.graph import Executor, Graph, Step

OWN_STEPS = "falaj.steps."
"""The module whose steps may be given the project's stores; nothing that a project declares is in it."""
_ENGINES: dict[str, Executor] = {"local": "project", "ray": "ray", "project": "child", "control": "in_process"}


def graph_of(name: str, trace: Trace, *, notify: tuple[str, ...] = (), executor: Executor = "project") -> Graph:
    """Return the graph that a trace means.

    Args:
        name: The pipeline's name.
        trace: The calls of steps.
        notify: Of which ends of its runs people are told.
        executor: Where its steps run; with `project`, those that ask for Ray run there.

    Raises:
        DefinitionError: No step was called.
    """
    if not trace.steps:
        raise DefinitionError(
            f"pipeline {name!r} calls no step with these parameters", hint="call one that @fj.step made"
        )
    return Graph(name, tuple(_step(traced, executor) for traced in trace.steps), notify)


def _step(traced: TracedStep, executor: Executor) -> Step:
    options = traced.options
    if executor == "project":
        executor = _executor(traced)
    return Step(
        name=traced.name,
        function=traced.function,
        needs=traced.needs,
        executor=executor,
        timeout_s=options.timeout_s,
        retries=options.retries,
        retry_delay_s=options.retry_delay_s,
        cache=not options.random,
        memory_bytes=None if executor == "in_process" else options.memory_bytes,
        cpu=options.cpu,
        gpu=options.gpu,
        arguments=traced.arguments,
        optional=traced.optional,
        when=traced.when,
        mapped=traced.mapped,
        each=traced.each,
    )


def _executor(traced: TracedStep) -> Executor:
    engine = traced.options.engine
    if engine in ("project", "control") and not traced.function.startswith(OWN_STEPS):
        raise DefinitionError(
            f"step {traced.name!r} asks for the project's stores, which steps of your own are not given",
            hint="call those of falaj.steps, and give what they return to your own step",
        )
    return _ENGINES[engine]
