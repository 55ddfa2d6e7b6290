"""Retrain: what starts a new training run. A trigger starts a run, never a promotion."""

from typing import Literal

import msgspec

from falaj.definitions.schedule import check_schedule
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import DefinitionError

REALISED = ("auc", "average_precision", "precision", "recall")
"""Metrics that are measured on outcomes, and of which more is better."""


class Trigger(msgspec.Struct, frozen=True):
    """One reason to train again.

    Attributes:
        kind: "drift", "schedule", "new_labels" or "performance".
        schedule: For schedules: "hourly", "daily", "weekly", "monthly" or a cron line, in UTC.
        count: For new labels: how many since the last training.
        metric: For performance: the realised metric that fell, one of `REALISED`.
        bound: For performance: the least value allowed.
    """

    kind: Literal["drift", "schedule", "new_labels", "performance"]
    schedule: str = ""
    count: int = 0
    metric: str = ""
    bound: float = 0.0


class Retrain(msgspec.Struct, frozen=True):
    """When to train again by itself.

    Attributes:
        on: The triggers.
        cooldown: The least time between two triggered runs.
        min_new_labels: No run starts before so many labels arrived since the last training.
    """

    on: tuple[Trigger, ...]
    cooldown: str = "6h"
    min_new_labels: int = 1

    def __post_init__(self) -> None:
        if not self.on:
            raise DefinitionError("retrain has no triggers", hint="write on=[fj.on.drift()]")
        duration_us(self.cooldown, field="retrain cooldown")


def retrain(*, on: list[Trigger] | tuple[Trigger, ...], cooldown: str = "6h", min_new_labels: int = 1) -> Retrain:
    """Declare when to train again."""
    return Retrain(tuple(on), cooldown, min_new_labels)


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


def performance(metric: str, *, at_least: float) -> Trigger:
    """Train again when a realised metric falls below the bound.

    Raises:
        DefinitionError: There is no such realised metric, or less of it is better.
    """
    if metric not in REALISED:
        raise DefinitionError(f"performance({metric!r}) is not measured", hint=f"use one of {', '.join(REALISED)}")
    return Trigger("performance", metric=metric, bound=float(at_least))
