"""Pipeline: a function that calls steps, what starts it, and who hears how it ended."""

import inspect
import json
import re
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Literal, overload
from zoneinfo import ZoneInfo

import msgspec

from falaj.definitions.declared import Declared
from falaj.definitions.event import Event
from falaj.definitions.schedule import check_schedule, check_time_zone
from falaj.definitions.step import PROJECT_PREFIX
from falaj.definitions.trace import Skipped, Trace, current_trace, directly, tracing
from falaj.kernel.errors import DefinitionError, InputError
from falaj.kernel.names import check_name, did_you_mean

_KINDS: dict[Any, str] = {int: "integer", float: "number", bool: "boolean", list: "list", dict: "object"}
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Pipeline(msgspec.Struct, metaclass=Declared, frozen=True, dict=True, tag="pipeline"):
    """A function that calls steps and wires what they give; a run is made of the steps.

    Attributes:
        name: Its name.
        function: `FILE:FUNCTION`, where FILE.py is a file of the project; or `PACKAGE.MODULE:FUNCTION`.
        schedule: When it starts by itself: "hourly", "daily", "weekly", "monthly", or a cron line of five fields; empty
            for never.
        time_zone: Of the schedule, such as "Europe/Berlin".
        at: The parameter, of type date or datetime, that is given the instant which the schedule or the backfill is
            about; empty for none.
        on: The events that start it.
        notify: Of which ends an alert tells.
    """

    name: str
    function: str
    schedule: str = ""
    time_zone: str = "UTC"
    at: str = ""
    on: tuple[Event, ...] = ()
    notify: tuple[Literal["failure", "success"], ...] = ("failure",)

    def __post_init__(self) -> None:
        check_name("pipeline", self.name)
        if not _FUNCTION.fullmatch(self.function):
            raise DefinitionError(
                f"pipeline {self.name!r}: function {self.function!r} is none",
                hint="write FILE:FUNCTION, as in etl:nightly",
            )
        if self.schedule:
            check_schedule(self.schedule)
        check_time_zone(self.time_zone)
        for end in self.notify:
            if end not in ("failure", "success"):
                raise DefinitionError(
                    f"pipeline {self.name!r}: notify names {end!r}", hint="write 'failure', 'success' or both"
                )

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Run the function here, and each step as soon as it is called; inside a trace, add its steps to it."""
        function = self.__dict__.get("declared")
        if function is None:
            raise DefinitionError(f"pipeline {self.name!r} is not here as a function", hint="import it from its file")
        if current_trace() is not None:
            return function(*args, **named)
        with directly():
            returned = function(*args, **named)
        return None if isinstance(returned, Skipped) else returned

    def instant(self, at: datetime) -> date | datetime:
        """Return an instant in this pipeline's time zone, for the parameter `at`."""
        return at.astimezone(ZoneInfo(self.time_zone))


@overload
def pipeline(function: Callable[..., Any]) -> Pipeline: ...


@overload
def pipeline(
    *,
    schedule: str = ...,
    time_zone: str = ...,
    at: str = ...,
    on: list[Event] | tuple[Event, ...] | Event = ...,
    notify: list[str] | tuple[str, ...] = ...,
) -> Callable[[Callable[..., Any]], Pipeline]: ...


def pipeline(
    function: Callable[..., Any] | None = None,
    *,
    schedule: str = "",
    time_zone: str = "UTC",
    at: str = "",
    on: list[Event] | tuple[Event, ...] | Event = (),
    notify: list[str] | tuple[str, ...] = ("failure",),
) -> Any:
    """Declare a function that calls steps as a pipeline.

    The function runs once when a run is submitted, with the run's parameters, and only to see which steps it calls and
    how it wires them. Called directly, it runs the steps at once and returns what it returns.

    Args:
        function: The function, where nothing else is said: `@fj.pipeline`.
        schedule: When it starts by itself: "hourly", "daily", "weekly", "monthly", or a cron line of five fields.
        time_zone: Of the schedule. A time that a change of clocks skips counts as the first instant after; one that
            comes twice counts once, unless the line is for every hour.
        at: The parameter, of type date or datetime, that is given the instant which a schedule or a backfill is about.
        on: The events that start it: `fj.on.rows("transactions")`, `fj.on.file("transactions")`.
        notify: Of which ends an alert tells: "failure", "success", both or none.

    Returns:
        The pipeline; call it as the function.

    Raises:
        DefinitionError: An option makes no sense.

    Example:
        >>> from falaj.definitions.step import step
        >>> @step
        ... def double(number: int) -> int:
        ...     return 2 * number
        >>> @pipeline(schedule="daily")
        ... def four_times(number: int = 1) -> int:
        ...     return double(double(number))
        >>> four_times(3), four_times.schedule
        (12, 'daily')
    """

    def declare(declared: Callable[..., Any]) -> Pipeline:
        parameters = inspect.signature(declared).parameters
        if at and at not in parameters:
            raise DefinitionError(
                f"pipeline {declared.__name__!r}: at={at!r} is no parameter of it", hint=did_you_mean(at, parameters)
            )
        module = declared.__module__.removeprefix(PROJECT_PREFIX)
        events = (on,) if isinstance(on, Event) else tuple(on)
        made = Pipeline(
            declared.__name__,
            f"{module}:{declared.__name__}",
            schedule,
            time_zone,
            at,
            events,
            tuple(notify),  # type: ignore[arg-type]
        )
        made.__dict__["declared"] = declared
        return made

    return declare if function is None else declare(function)


def bound(name: str, function: Callable[..., Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a pipeline's parameters as its function takes them, and as plain JSON.

    Args:
        name: The pipeline's name.
        function: Its function.
        given: Parameters by name: plain JSON, typed values, or text as a command line has it.

    Raises:
        InputError: One is unknown, is missing, or is not of its type.
    """
    parameters, hints = inspect.signature(function).parameters, typing.get_type_hints(function)
    for key in given:
        if key not in parameters:
            raise InputError(f"pipeline {name!r} has no parameter {key!r}", hint=did_you_mean(key, parameters))
    typed: dict[str, Any] = {}
    for key, parameter in parameters.items():
        if key in given:
            typed[key] = _typed(name, key, given[key], hints.get(key, Any))
        elif parameter.default is parameter.empty:
            raise InputError(f"pipeline {name!r} needs parameter {key!r}", hint=f"give it: --param {key}=...")
        else:
            typed[key] = parameter.default
    try:
        plain = json.loads(msgspec.json.encode(typed))
    except (TypeError, ValueError) as error:
        raise InputError(f"pipeline {name!r}: {error}", hint="give parameters that JSON can hold") from None
    return typed, plain


def trace_of(name: str, function: Callable[..., Any], given: Mapping[str, Any]) -> tuple[Trace, dict[str, Any]]:
    """Run a pipeline's function to see its steps.

    Args:
        name: The pipeline's name.
        function: Its function.
        given: Parameters by name.

    Returns:
        The trace, and the parameters as plain JSON.

    Raises:
        InputError: A parameter is unknown, is missing, or is not of its type.
        DefinitionError: The function asks for what is not known before a step has run.
    """
    typed, plain = bound(name, function, given)
    with tracing() as trace:
        function(**typed)
    return trace, plain


def kinds_of(function: Callable[..., Any]) -> dict[str, str]:
    """Return the types of a pipeline's parameters, as JSON has types; what is none of them is written as text.

    Example:
        >>> def nightly(day: date, trees: int = 10, shares: list[float] | None = None) -> None: ...
        >>> kinds_of(nightly)
        {'day': 'string', 'trees': 'integer', 'shares': 'string'}
    """
    hints = typing.get_type_hints(function)
    plain = {name: typing.get_origin(hint) or hint for name, hint in hints.items()}
    return {name: _KINDS.get(plain.get(name), "string") for name in inspect.signature(function).parameters}


def _typed(name: str, key: str, value: Any, hint: Any) -> Any:
    if hint is date and isinstance(value, datetime):
        value = value.date()
    if isinstance(value, str) and hint is not str and value[:1] in ("[", "{", '"'):
        try:
            value = json.loads(value)
        except ValueError:
            raise InputError(f"pipeline {name!r}: {key}={value!r} is not JSON") from None
    try:
        return msgspec.convert(value, hint, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"pipeline {name!r}: {key}={value!r}: {error}", hint=f"it is of type {hint}") from None
