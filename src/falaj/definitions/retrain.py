"""Retrain: what starts a new training run. A trigger starts a run, never a promotion."""

import math
from typing import Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.definitions.event import file as file
from falaj.definitions.event import rows as rows
from falaj.definitions.schedule import check_schedule
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import DefinitionError

REALISED = {
    "auc": True,
    "average_precision": True,
    "precision": True,
    "recall": True,
    "r2": True,
    "rmse": False,
    "mae": False,
    "wape": False,
}
"""Metrics that are measured on outcomes, and whether more of each is better."""


class Trigger(msgspec.Struct, metaclass=Declared, frozen=True):
    """One reason to train again.

    Attributes:
        kind: "drift", "schedule", "new_labels", "new_data" or "performance".
        schedule: For schedules: "hourly", "daily", "weekly", "monthly" or a cron line, in UTC.
        count: For new labels and new data: how many since the last training.
        metric: For performance: the realised metric that fell, one of `REALISED`.
        bound: For performance: the least value allowed, or the greatest where less is better.
    """

    kind: Literal["drift", "schedule", "new_labels", "new_data", "performance"]
    schedule: str = ""
    count: int = 0
    metric: str = ""
    bound: float = 0.0

    @property
    def text(self) -> str:
        """How people read it.

        Example:
            >>> performance("auc", at_least=0.9).text
            'realised auc below 0.9'
        """
        return {
            "drift": "drift",
            "schedule": f"schedule {self.schedule!r}",
            "new_labels": f"{self.count:,} new labels",
            "new_data": f"{self.count:,} new rows",
            "performance": f"realised {self.metric} {self.worse} {self.bound:g}",
        }[self.kind]

    @property
    def worse(self) -> str:
        """On which side of the bound a realised metric calls: "below" or "above"."""
        return "below" if REALISED.get(self.metric, True) else "above"

    def is_met(self, lower: float, upper: float) -> bool:
        """Return whether all of a realised metric's interval is on the wrong side of the bound.

        Example:
            >>> performance("rmse", at_most=50).is_met(51.0, 60.0), performance("auc", at_least=0.9).is_met(0.8, 0.95)
            (True, False)
        """
        return upper < self.bound if REALISED[self.metric] else lower > self.bound


class Retrain(msgspec.Struct, metaclass=Declared, frozen=True):
    """When to train again by itself.

    Attributes:
        on: The triggers.
        cooldown: The least time between two triggered runs of the model, whichever endpoint asked.
        min_new_labels: No run starts before there are so many labels more to learn from than at the last training; one
            whose event is younger than the label's delay does not count yet.
        debounce: How long a trigger must call without a break before it starts a run; schedules need not.
        max_runs_per_day: Most triggered runs of the model within 24 hours; None for any number.
        max_cost_per_day: No run starts while the model's trainings of the last 24 hours, whoever asked for them, cost
            so much or more, by the prices of `[cost]`; None for no limit.
    """

    on: tuple[Trigger, ...]
    cooldown: str = "6h"
    min_new_labels: int = 1
    debounce: str = "0s"
    max_runs_per_day: int | None = None
    max_cost_per_day: float | None = None

    def __post_init__(self) -> None:
        if not self.on:
            raise DefinitionError("retrain has no triggers", hint="write on=[fj.on.drift()]")
        duration_us(self.cooldown, field="retrain cooldown")
        duration_us(self.debounce, field="retrain debounce")
        if self.max_runs_per_day is not None and self.max_runs_per_day < 1:
            raise DefinitionError(
                f"retrain max_runs_per_day = {self.max_runs_per_day} is below 1", hint="leave retrain out for none"
            )
        if self.max_cost_per_day is not None and not 0 < self.max_cost_per_day < math.inf:
            raise DefinitionError(
                f"retrain max_cost_per_day = {self.max_cost_per_day} is no amount", hint="give an amount above zero"
            )


def retrain(
    *,
    on: list[Trigger] | tuple[Trigger, ...],
    cooldown: str = "6h",
    min_new_labels: int = 1,
    debounce: str = "0s",
    max_runs_per_day: int | None = None,
    max_cost_per_day: float | None = None,
) -> Retrain:
    """Declare when to train again, and how often at most; the arguments are those of `Retrain`.

    Example:
        >>> retrain(on=[drift()], debounce="30m", max_runs_per_day=2).cooldown
        '6h'
    """
    return Retrain(tuple(on), cooldown, min_new_labels, debounce, max_runs_per_day, max_cost_per_day)


def drift() -> Trigger:
    """Train again when the endpoint's monitor finds drift."""
    return Trigger("drift")


def schedule(when: str) -> Trigger:
    """Train again at set times, in UTC: "hourly", "daily", "weekly", "monthly", or a cron line of five fields.

    Raises:
        DefinitionError: It is none of these, or never due.

    Example:
        >>> schedule("weekly").schedule
        'weekly'
    """
    check_schedule(when)
    return Trigger("schedule", schedule=when)


def new_labels(count: int) -> Trigger:
    """Train again when so many new labels arrived."""
    if count < 1:
        raise DefinitionError(f"new_labels({count}) is below 1", hint="give a positive count")
    return Trigger("new_labels", count=count)


def new_data(rows: int) -> Trigger:
    """Train again when so many new rows came into the label's source since the last training, labelled or not."""
    if rows < 1:
        raise DefinitionError(f"new_data({rows}) is below 1", hint="give a positive count")
    return Trigger("new_data", count=rows)


def performance(metric: str, *, at_least: float | None = None, at_most: float | None = None) -> Trigger:
    """Train again when a realised metric is surely worse than the bound.

    Args:
        metric: auc, average_precision, precision or recall; of a regression r2, rmse, mae or wape.
        at_least: The bound where more is better.
        at_most: The bound where less is better: rmse, mae and wape.

    Raises:
        DefinitionError: There is no such realised metric, or it is bounded on the other side.

    Example:
        >>> performance("rmse", at_most=50).text
        'realised rmse above 50'
    """
    if metric not in REALISED:
        raise DefinitionError(f"performance({metric!r}) is not measured", hint=f"use one of {', '.join(REALISED)}")
    wanted, other = (at_least, at_most) if REALISED[metric] else (at_most, at_least)
    if wanted is None or other is not None or not math.isfinite(wanted):
        side = "at_least" if REALISED[metric] else "at_most"
        raise DefinitionError(f"performance({metric!r}) needs a bound {side} alone", hint=f"write {side}=0.5")
    return Trigger("performance", metric=metric, bound=float(wanted))
