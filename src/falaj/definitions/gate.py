"""Gate checks: what a version must show before it may move."""

from typing import Literal

import msgspec

from falaj.kernel.errors import DefinitionError

HIGHER_IS_BETTER = {
    "auc": True,
    "average_precision": True,
    "precision": True,
    "recall": True,
    "f1": True,
    "accuracy": True,
    "log_loss": False,
    "brier": False,
}


class GateCheck(msgspec.Struct, frozen=True):
    """One check.

    Attributes:
        kind: An absolute bound (inclusive), a change against production on the same snapshot, or latency.
        metric: The metric's name.
        bound: The bound, the tolerated loss, or milliseconds.
    """

    kind: Literal["at_least", "at_most", "no_worse_than_production", "latency"]
    metric: str
    bound: float

    def __post_init__(self) -> None:
        if self.kind != "latency" and self.metric not in HIGHER_IS_BETTER:
            raise DefinitionError(
                f"gate {self.kind}: metric {self.metric!r} does not exist",
                hint=f"use one of {', '.join(HIGHER_IS_BETTER)}",
            )
        if self.kind in ("no_worse_than_production", "latency") and not self.bound >= 0:
            raise DefinitionError(f"gate {self.kind}: {self.bound} is negative", hint="give zero or more")

    @property
    def name(self) -> str:
        """How reports call it.

        Example:
            >>> at_least("auc", 0.9).name
            'auc >= 0.9'
        """
        return {
            "at_least": f"{self.metric} >= {self.bound:g}",
            "at_most": f"{self.metric} <= {self.bound:g}",
            "no_worse_than_production": f"{self.metric} no worse than production by {self.bound:g}",
            "latency": f"p99 <= {self.bound:g} ms",
        }[self.kind]


def at_least(metric: str, bound: float) -> GateCheck:
    """Pass when the metric on the test rows is at least the bound."""
    return GateCheck("at_least", metric, float(bound))


def at_most(metric: str, bound: float) -> GateCheck:
    """Pass when the metric on the test rows is at most the bound."""
    return GateCheck("at_most", metric, float(bound))


def no_worse_than_production(metric: str, *, by: float = 0.0) -> GateCheck:
    """Pass when the metric is at most `by` worse than the production version's on the same rows."""
    return GateCheck("no_worse_than_production", metric, float(by))


def latency(*, p99_ms: float) -> GateCheck:
    """Pass when 99 of 100 single rows are scored within the time in the serving runtime."""
    return GateCheck("latency", "p99_ms", float(p99_ms))
