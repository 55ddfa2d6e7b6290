"""Constructor: what makes a definition in Python, and so what may be said of it in YAML.

Nothing is listed here. What `fj.count(window="1h")` takes is read from `fj.count` itself, so a new parameter, or a new
function beside it, is part of YAML at once.
"""

import inspect
import re
import sys
import typing
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

_SECTION = re.compile(r"^ *(?:Args|Attributes):\n(.*?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r"^(\w+): ")


class Parameter(msgspec.Struct, frozen=True):
    """One thing that a constructor takes.

    Attributes:
        name: Its name, the same in YAML.
        annotation: Its type.
        required: Whether it must be given.
        positional: Whether Python takes it without its name.
        default: What holds without it, where that is a plain value.
        description: What its documentation says.
    """

    name: str
    annotation: Any
    required: bool
    positional: bool
    default: Any = None
    description: str = ""


class Constructor(msgspec.Struct, frozen=True):
    """A public class or function that makes a definition or a part of one.

    Attributes:
        name: What it is called in YAML.
        make: Makes the value from parameters by name.
        parameters: What it takes, by name.
        more: The type of further parameters of any name; None where there are none.
        description: The first line of its documentation.
    """

    name: str
    make: Callable[..., Any]
    parameters: dict[str, Parameter]
    more: Any = None
    description: str = ""

    @property
    def short(self) -> Parameter | None:
        """The parameter that a single value means, as in `last: country`; None where one value is not enough."""
        required = [parameter for parameter in self.parameters.values() if parameter.required]
        first = next(iter(self.parameters.values()), None)
        return first if first is not None and first.positional and required in ([], [first]) else None

    @property
    def bare(self) -> bool:
        """Whether its name alone is enough, as in `on: [drift]`."""
        return not any(parameter.required for parameter in self.parameters.values())


@cache
def constructors_of(kind: type[msgspec.Struct]) -> dict[str, Constructor]:
    """Return what makes values of a class: the public functions beside it that return one, or else the class itself.

    Args:
        kind: The class.

    Example:
        >>> from falaj.definitions.split import Split
        >>> list(constructors_of(Split))
        ['by_time', 'random']
    """
    module = sys.modules[kind.__module__]
    functions = [
        value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
        if typing.get_type_hints(value).get("return") is kind
    ]
    return {function.__name__: constructor(function) for function in functions} or {noun(kind): constructor(kind)}


def constructor(make: Callable[..., Any]) -> Constructor:
    """Return what a class or function takes, by its signature, its annotations and its documentation."""
    hints = typing.get_type_hints(make)
    sections = _described(make)
    parameters, more = {}, None
    for parameter in inspect.signature(make).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            more = hints[parameter.name]
            continue
        plain = parameter.default if isinstance(parameter.default, str | int | float) else None
        parameters[parameter.name] = Parameter(
            parameter.name,
            hints[parameter.name],
            required=parameter.default is parameter.empty,
            positional=parameter.kind is not parameter.KEYWORD_ONLY,
            default=plain,
            description=sections.get(parameter.name, ""),
        )
    first = (inspect.getdoc(make) or "").partition("\n")[0]
    return Constructor(noun(make) if isinstance(make, type) else make.__name__, make, parameters, more, first)


def noun(kind: type) -> str:
    """Return what a class is called in YAML: its tag, or its name in small letters.

    Example:
        >>> from falaj.definitions.source import Parquet
        >>> noun(Parquet)
        'parquet'
    """
    tag = kind.__struct_config__.tag if issubclass(kind, msgspec.Struct) else None
    return tag if isinstance(tag, str) else re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def _described(make: Callable[..., Any]) -> dict[str, str]:
    section = _SECTION.search(inspect.getdoc(make) or "")
    entries: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(section[1]).splitlines() if section else ():
        if match := _ENTRY.match(line):
            name = match[1]
        if name:
            entries[name] = f"{entries.get(name, '')} {line.removeprefix(f'{name}: ').strip()}".strip()
    return entries
