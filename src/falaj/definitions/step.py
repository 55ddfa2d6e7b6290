"""Step: an ordinary function that a pipeline calls, with what a run needs to know of it."""

import inspect
import types
import typing
from collections.abc import Callable, Sequence
from functools import cached_property, update_wrapper
from typing import Any, Generic, Literal, TypeVar, overload

from falaj.definitions.frame import as_frame, frame_form
from falaj.definitions.trace import Skipped, StepOptions, TracedStep, called_in_pipeline, current_trace, holds_skipped
from falaj.definitions.wire import Wire, steps_in, wired
from falaj.kernel.duration import SECOND_US, duration_us, positive_duration_us
from falaj.kernel.errors import DefinitionError, InputError
from falaj.kernel.names import did_you_mean
from falaj.kernel.size import size_bytes

R = TypeVar("R")
RESERVED = ("when", "after")
PROJECT_PREFIX = "_falaj_project_"
"""What the modules of a project's files are called while their definitions are read."""


class StepFunction(Generic[R]):
    """A function as a step.

    Called in a pipeline that a run is made of, it becomes a step of the run. Called anywhere else, it runs at once.

    Args:
        function: The function; its parameters' and result's types say how values travel between processes.
        options: How it runs.
    """

    def __init__(self, function: Callable[..., R], options: StepOptions) -> None:
        self.function = function
        self.options = options
        self.name = function.__name__
        update_wrapper(self, function)
        for parameter in self.signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise DefinitionError(
                    f"step {self.name!r}: parameter {parameter.name!r} takes what has no name",
                    hint="name every parameter; a list or a dict may hold any number of values",
                )
            if parameter.name in RESERVED:
                raise DefinitionError(
                    f"step {self.name!r}: parameter {parameter.name!r} is what pipelines say to steps", hint="rename it"
                )

    def __repr__(self) -> str:
        """Return what `help` shows above the documentation, where it has room for a hundred characters."""
        given = (one.name for one in self.signature.parameters.values() if not is_context(one.annotation))
        return f"<step {self.name}({', '.join(given)})>"

    @property
    def __signature__(self) -> inspect.Signature:
        return self.signature

    @cached_property
    def signature(self) -> inspect.Signature:
        """The function's parameters."""
        return inspect.signature(self.function)

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The types of parameters and result."""
        return typing.get_type_hints(self.function)

    @property
    def context_parameters(self) -> tuple[str, ...]:
        """The parameters that are given the step's context."""
        return tuple(name for name in self.signature.parameters if is_context(self.hints.get(name)))

    def __call__(self, *args: Any, when: Any = True, after: Sequence[Any] = (), **named: Any) -> R:
        """Call the function, or make it a step of the run that is being traced.

        Args:
            args: The function's own arguments; each may be what another step gives.
            when: A condition; where it does not hold, the step is skipped, and so is what cannot do without it.
            after: What other steps give that must be done before, without being given.
            named: The function's own arguments by name.
        """
        trace = current_trace()
        if trace is not None:
            wire: R = self._traced(self._bound(args, named), (), when, after)
            return wire
        returned: R = self._direct(self._bound(args, named), when)
        return returned

    def map(self, *parts: Any, when: Any = True, after: Sequence[Any] = (), **same: Any) -> list[R]:
        """Call the function once for each part, in parallel where a run does it.

        Args:
            parts: Lists that are gone over together; the first goes to the function's first parameter. Each may be a
                list that a step will give.
            when: See `__call__`; of the whole.
            after: See `__call__`.
            same: Arguments that are the same in each call, by name.

        Returns:
            What each call gave, in the order of the parts.

        Raises:
            DefinitionError: There is nothing to go over.
            InputError: The lists are not of one length.
        """
        return self._mapped("map", parts, same, when, after)  # type: ignore[no-any-return]

    def map_each(self, *lists: Any, when: Any = True, after: Sequence[Any] = (), **same: Any) -> list[list[R]]:
        """Call the function once for each part of each list: a map within a map.

        Args:
            lists: Lists of lists that are gone over together, such as what `map` gives of a step that returns a list;
                the first goes to the function's first parameter.
            when: See `__call__`; of the whole.
            after: See `__call__`.
            same: Arguments that are the same in each call, by name.

        Returns:
            What each call gave, in lists of the same lengths.

        Raises:
            DefinitionError: There is nothing to go over.
            InputError: The lists are not of one length.

        Example:
            >>> @step
            ... def double(number: int) -> int:
            ...     return 2 * number
            >>> double.map_each([[1, 2], [], [3]])
            [[2, 4], [], [6]]
        """
        return self._mapped("map_each", lists, same, when, after)  # type: ignore[no-any-return]

    def _mapped(self, how: str, parts: tuple[Any, ...], same: dict[str, Any], when: Any, after: Sequence[Any]) -> Any:
        names = tuple(list(self.signature.parameters)[: len(parts)])
        if not parts or len(names) < len(parts):
            raise DefinitionError(
                f"step {self.name!r}: {how}() got {len(parts)} lists to go over",
                hint=f"give one list for each of the first parameters of {self.signature}",
            )
        bound = self._bound(parts, same)
        if current_trace() is not None:
            return self._traced(bound, names, when, after, each=how == "map_each")
        if isinstance(when, Skipped) or not when or holds_skipped(parts):
            return Skipped() if called_in_pipeline() else None

        def one(*given: Any) -> Any:
            return self._direct({**same, **dict(zip(names, given, strict=True))}, when)

        if how == "map":
            return [one(*given) for given in self._together(how, parts)]
        return [[one(*given) for given in self._together(how, lists)] for lists in self._together(how, parts)]

    def _together(self, how: str, lists: Sequence[Any]) -> list[tuple[Any, ...]]:
        if len({len(part) for part in lists}) > 1:
            lengths = ", ".join(str(len(part)) for part in lists)
            raise InputError(
                f"step {self.name!r}: {how}() got lists of {lengths} parts", hint="give lists of one length"
            )
        return list(zip(*lists, strict=True))

    @property
    def reference(self) -> str:
        """Where other processes find it, as `module:name`.

        Raises:
            DefinitionError: They could not: it is not a function of a file under its own name.
        """
        module = self.function.__module__.removeprefix(PROJECT_PREFIX)
        if self.function.__globals__.get(self.name) is not self or module == "__main__":
            raise DefinitionError(
                f"step {self.name!r} cannot be found by other processes",
                hint=f"define it in a file, at the top, as 'def {self.name}' with @fj.step above it",
            )
        return f"{module}:{self.name}"

    def takes_none(self, parameter: str) -> bool:
        """Return whether a parameter's type says that it may be None."""
        hint = self.hints.get(parameter)
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        return hint is None or hint is Any or (union and type(None) in typing.get_args(hint))

    def _bound(self, args: Sequence[Any], named: dict[str, Any]) -> dict[str, Any]:
        try:
            given = self.signature.bind_partial(*args, **named).arguments
        except TypeError as error:
            raise self._misfit(str(error), named) from None
        absent = [
            name
            for name, parameter in self.signature.parameters.items()
            if name not in given and parameter.default is parameter.empty and name not in self.context_parameters
        ]
        if absent:
            raise self._misfit(f"needs {', '.join(absent)}", named)
        return given

    def _misfit(self, why: str, named: dict[str, Any]) -> DefinitionError:
        taken = [name for name in self.signature.parameters if name not in self.context_parameters]
        unknown = next((name for name in named if name not in self.signature.parameters), None)
        what = f"step {self.name!r} {why}" if unknown is None else f"step {self.name!r} has no parameter {unknown!r}"
        close = "" if unknown is None else did_you_mean(unknown, taken)
        said = f"{close} " if close.startswith("did you mean") else ""
        return DefinitionError(what, hint=f"{said}it takes {', '.join(taken) or 'nothing'}")

    def _traced(
        self, bound: dict[str, Any], mapped: tuple[str, ...], when: Any, after: Sequence[Any], *, each: bool = False
    ) -> Any:
        trace = current_trace()
        assert trace is not None
        arguments = {name: _argument(self.name, name, value) for name, value in bound.items()}
        condition = None if when is True else wired(when)
        order = [wired(one) for one in (after if isinstance(after, list | tuple) else [after])]
        name = trace.name_for(self.name)
        needs = dict.fromkeys(steps_in([*arguments.values(), condition, *order]))
        optional = tuple(one for one in arguments if self.takes_none(one))
        trace.steps.append(
            TracedStep(
                name=name,
                function=self.reference,
                arguments=arguments,
                needs=tuple(needs),
                mapped=mapped,
                each=each,
                optional=optional,
                when=condition,
                options=self.options,
                context=bool(self.context_parameters),
            )
        )
        return Wire(name, kind=None if mapped else self.hints.get("return"))

    def _direct(self, bound: dict[str, Any], when: Any) -> Any:
        missing = [n for n, value in bound.items() if holds_skipped(value) and not self.takes_none(n)]
        if missing or isinstance(when, Skipped) or not when:
            return Skipped() if called_in_pipeline() else None
        given = {name: self._fitted(name, value) for name, value in bound.items()}
        for name in self.context_parameters:
            if name not in given:
                given[name] = self.hints[name].alone(self.name)
        return self.function(**given)

    def _fitted(self, name: str, value: Any) -> Any:
        if isinstance(value, Skipped):
            return None
        hint = self.hints.get(name)
        return (
            as_frame(value, hint) if isinstance(hint, type) and frame_form(hint) and frame_form(type(value)) else value
        )


def is_context(hint: object) -> bool:
    """Return whether a type is that of a step's context, which lives in a room above this one."""
    return isinstance(hint, type) and (hint.__module__, hint.__name__) == ("falaj.pipelines.context", "StepContext")


@overload
def step(function: Callable[..., R]) -> StepFunction[R]: ...


@overload
def step(
    *,
    retries: int = ...,
    retry_delay: str = ...,
    timeout: str | None = ...,
    cpu: float = ...,
    memory: str | None = ...,
    gpu: int = ...,
    random: bool = ...,
    engine: Literal["local", "ray"] = ...,
) -> Callable[[Callable[..., R]], StepFunction[R]]: ...


def step(
    function: Callable[..., Any] | None = None,
    *,
    retries: int = 0,
    retry_delay: str = "1s",
    timeout: str | None = None,
    cpu: float = 1.0,
    memory: str | None = None,
    gpu: int = 0,
    random: bool = False,
    engine: Literal["local", "ray"] = "local",
) -> Any:
    """Declare a function as a step of pipelines.

    Args:
        function: The function, where nothing else is said: `@fj.step`.
        retries: How often a failure or a timeout is tried again.
        retry_delay: Pause before the first retry, such as "30s"; doubled for each one after.
        timeout: Ended after it, such as "10m"; None for never.
        cpu: Cores that it needs; a worker that has fewer leaves it alone and says so.
        memory: Memory that it needs, such as "4GiB"; its process may not take more.
        gpu: Graphics cards that it needs.
        random: Whether the result depends on chance, the clock or the world outside, and not only on code and
            arguments. Such a step runs anew in every run.
        engine: Where it runs in a run: `local`, in a process beside control, or `ray`, as a job of the cluster that
            the settings name. Called directly, it runs here whatever this says.

    Raises:
        DefinitionError: An option makes no sense, or a parameter has no name that could be wired.

    Example:
        >>> @step(retries=2)
        ... def double(number: int) -> int:
        ...     return 2 * number
        >>> double(21)
        42
    """
    for name, value in (("retries", retries), ("gpu", gpu)):
        if not isinstance(value, int) or value < 0:
            raise DefinitionError(f"step: {name} = {value!r} is not a whole number from 0 on")
    if engine not in ("local", "ray"):
        raise DefinitionError(f"step: engine = {engine!r} is none", hint="write 'local' or 'ray'")
    if not cpu > 0:
        raise DefinitionError(f"step: cpu = {cpu!r} is not above zero", hint="give cores, such as 2 or 0.5")
    options = StepOptions(
        retries=retries,
        retry_delay_s=duration_us(retry_delay, field="retry_delay") / SECOND_US,
        timeout_s=None if timeout is None else positive_duration_us(timeout, field="timeout") / SECOND_US,
        cpu=float(cpu),
        memory_bytes=None if memory is None else size_bytes(memory, field="memory"),
        gpu=gpu,
        random=random,
        engine=engine,
    )
    if function is not None:
        return StepFunction(function, options)
    return lambda declared: StepFunction(declared, options)


def _argument(step_name: str, parameter: str, value: Any) -> Any:
    try:
        return wired(value)
    except DefinitionError as error:
        raise DefinitionError(f"step {step_name!r}, {parameter}: {error.message}", hint=error.hint) from None
