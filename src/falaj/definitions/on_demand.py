"""OnDemandView: a feature computed at request time, by the same code offline and online."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from falaj.definitions.captured import capture
from falaj.definitions.declared import Declared
from falaj.definitions.dtype import check_dtype
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name


class OnDemandView(msgspec.Struct, metaclass=Declared, frozen=True, tag="on_demand_view"):
    """A function of the request and of other features: NumPy arrays in, array out.

    Attributes:
        name: The function's name, and the feature's.
        inputs: References like `request:amount`, `card_activity:amount_mean_7d`, or `ratio:ratio` for what another
            on-demand view gives; one per argument, in order.
        code: The function's self-contained source text.
        dtype: The type of what it returns.
    """

    name: str
    inputs: tuple[str, ...]
    code: str
    dtype: str = "float64"

    def __post_init__(self) -> None:
        check_name("on-demand view", self.name)
        check_dtype(f"on-demand view {self.name!r}", self.dtype)
        if not self.inputs:
            raise DefinitionError(
                f"on-demand view {self.name!r} has no inputs", hint="write @fj.on_demand(inputs=['request:amount'])"
            )
        for reference in self.inputs:
            if reference.count(":") != 1 or not all(reference.split(":")):
                raise DefinitionError(
                    f"on-demand view {self.name!r}: input {reference!r} is not a reference",
                    hint="write 'request:FIELD', 'VIEW:FEATURE', or 'NAME:NAME' for the on-demand view NAME",
                )


def computing_order(views: Sequence[OnDemandView]) -> tuple[OnDemandView, ...]:
    """Return on-demand views so that each comes after those that it reads, and otherwise in their order.

    Raises:
        DefinitionError: They read each other in a circle; the message names its path.

    Example:
        >>> ratio = OnDemandView("ratio", ("request:amount",), "...")
        >>> [view.name for view in computing_order([OnDemandView("high", ("ratio:ratio",), "..."), ratio])]
        ['ratio', 'high']
    """
    named = {f"{view.name}:{view.name}": view for view in views}
    ordered: dict[str, OnDemandView] = {}
    path: list[str] = []

    def add(view: OnDemandView) -> None:
        if view.name in ordered:
            return
        if view.name in path:
            circle = " -> ".join([*path[path.index(view.name) :], view.name])
            raise DefinitionError(
                f"on-demand views read each other in a circle: {circle}", hint="compute one of them from something else"
            )
        path.append(view.name)
        for reference in view.inputs:
            if reference in named and not reference.startswith("request:"):
                add(named[reference])
        ordered[path.pop()] = view

    for view in views:
        add(view)
    return tuple(ordered.values())


def on_demand(*, inputs: list[str] | tuple[str, ...], dtype: str = "float64") -> Callable[[Any], OnDemandView]:
    """Declare a function as an on-demand view.

    The function gets one array per input (float64 with NaN for null, timestamps as microseconds since 1970; object for
    strings and for the lists of last_n) and returns an array of the same length. It may use its module's imports,
    literal constants and plain functions.

    Args:
        inputs: References, in the order of the arguments: `request:FIELD`, `VIEW:FEATURE`, or `NAME:NAME` for the
            on-demand view NAME.
        dtype: The type of what it returns.

    Raises:
        DefinitionError: The number of arguments differs, or the function uses what cannot be carried along.
    """

    def declare(function: Any) -> OnDemandView:
        code = capture(function, arguments=len(inputs))
        return OnDemandView(function.__name__, tuple(inputs), code, dtype)

    return declare
