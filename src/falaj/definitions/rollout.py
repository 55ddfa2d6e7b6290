"""Rollout: how a new version takes over an endpoint's traffic."""

from typing import Literal, get_args

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import DefinitionError

_Metric = Literal["error_ratio", "p99_ms"]


class AbortRule(msgspec.Struct, metaclass=Declared, frozen=True):
    """Stop the rollout when the measured value is proven to be above the bound.

    Attributes:
        metric: "error_ratio" (share of failed requests) or "p99_ms".
        bound: The ratio, or milliseconds.
    """

    metric: _Metric
    bound: float

    def __post_init__(self) -> None:
        limit = 1.0 if self.metric == "error_ratio" else float("inf")
        if not 0 < self.bound < limit:
            raise DefinitionError(
                f"abort rule {self.metric} > {self.bound}: the bound is out of range",
                hint="a ratio lies between 0 and 1; milliseconds are above 0",
            )


class _Measure:
    """A measured value that an abort rule compares: `fj.error_ratio > 0.05`."""

    def __init__(self, metric: _Metric) -> None:
        self._metric = metric

    def __gt__(self, bound: float) -> AbortRule:
        return AbortRule(self._metric, float(bound))

    def __repr__(self) -> str:
        return f"fj.{self._metric}"


error_ratio = _Measure("error_ratio")
p99_ms = _Measure("p99_ms")


def abort_rule(text: str) -> AbortRule:
    """Stop the rollout when what the text says is proven: a measured value, `>`, and its bound.

    This is how YAML says `fj.error_ratio > 0.05`.

    Raises:
        DefinitionError: It says something else.

    Example:
        >>> abort_rule("error_ratio > 0.05") == (error_ratio > 0.05)
        True
    """
    metric, _, bound = (part.strip() for part in text.partition(">"))
    try:
        return AbortRule(msgspec.convert(metric, _Metric), float(bound))
    except (msgspec.ValidationError, ValueError):
        raise DefinitionError(
            f"abort rule {text!r} is not one", hint=f"write a measure ({', '.join(get_args(_Metric))}), > and a number"
        ) from None


class Canary(msgspec.Struct, metaclass=Declared, frozen=True):
    """Send a growing share of units to the new version, and stop by itself when it is worse than allowed.

    Attributes:
        steps: Percentages, growing, the last one 100.
        bake: The least time at each step.
        abort_if: Any of these proven aborts at once.
        min_requests: The least number of the new version's answers at each step before it may grow.
        deadline: A step that has not gathered them by then rolls back.
    """

    steps: tuple[int, ...]
    bake: str
    abort_if: tuple[AbortRule, ...]
    min_requests: int = 100
    deadline: str = "1d"

    def __post_init__(self) -> None:
        steps = self.steps
        if not steps or steps[-1] != 100 or list(steps) != sorted(set(steps)) or steps[0] < 1:
            raise DefinitionError(
                f"canary steps {list(steps)} are not growing percentages that end at 100",
                hint="write steps=[10, 50, 100]",
            )
        if self.min_requests < 1:
            raise DefinitionError(
                f"canary min_requests {self.min_requests} is below 1", hint="missing data is no proof"
            )
        duration_us(self.bake, field="canary bake")
        duration_us(self.deadline, field="canary deadline")


def canary(
    *,
    steps: list[int] | tuple[int, ...] = (10, 50, 100),
    bake: str = "10m",
    abort_if: list[AbortRule] | tuple[AbortRule, ...] = (),
    min_requests: int = 100,
    deadline: str = "1d",
) -> Canary:
    """Declare a canary rollout.

    Example:
        >>> canary(steps=[10, 100], bake="30s", abort_if=[error_ratio > 0.05]).steps
        (10, 100)
    """
    return Canary(tuple(steps), bake, tuple(abort_if), min_requests, deadline)
