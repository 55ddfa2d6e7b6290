"""Tuning: how a trainer's parameters, or the trainer itself, are found by trying."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.definitions.gate import REGRESSION
from falaj.definitions.search import Range
from falaj.definitions.task import Task
from falaj.kernel.duration import SECOND_US, positive_duration_us
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import did_you_mean

METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("auc", "average_precision", "log_loss", "brier"),
    "regression": REGRESSION,
}
"""By task, what trials are compared by, the default first: metrics that need no threshold."""
Family = Literal["lightgbm", "xgboost", "random_forest", "extra_trees", "logistic_regression"]
FAMILIES: dict[Task, tuple[Family, ...]] = {
    "classification": ("lightgbm", "xgboost", "random_forest", "extra_trees", "logistic_regression"),
    "regression": ("lightgbm", "xgboost", "random_forest", "extra_trees"),
}
"""By task, what may be tried."""


class Tuning(msgspec.Struct, metaclass=Declared, frozen=True):
    """How parameters are searched.

    Attributes:
        space: Parameter to the values that it may take.
        trials: How many are tried.
        timeout: After it no further trial begins; empty for none.
        metric: What trials are compared by, on validation rows; empty for the task's first.
        validation: The share of training rows that validate, where there is one fold.
        folds: Into how many parts training rows are divided; 1 for one part that validates.
        parallel: How many trials run at the same time.
        prune: How trials that promise little are ended early.
    """

    space: dict[str, Range]
    trials: int = 50
    timeout: str = ""
    metric: str = ""
    validation: float = 0.2
    folds: int = 1
    parallel: int = 1
    prune: Literal["median", "hyperband", "none"] = "median"

    def __post_init__(self) -> None:
        if not self.space:
            raise DefinitionError(
                "tuned trainer: no parameter is searched",
                hint="name one: fj.tuned(fj.lightgbm(), {'num_leaves': fj.search.int(8, 128)})",
            )
        for field in ("trials", "folds", "parallel"):
            if getattr(self, field) < 1:
                raise DefinitionError(f"tuned trainer: {field} = {getattr(self, field)} must be 1 or more")
        check_search("tuned trainer", self.metric, self.validation)
        if self.timeout:
            positive_duration_us(self.timeout, field="tuned trainer: timeout")

    @property
    def timeout_s(self) -> float | None:
        """The timeout in seconds; None for none."""
        return positive_duration_us(self.timeout) / SECOND_US if self.timeout else None


class AutoML(msgspec.Struct, metaclass=Declared, frozen=True):
    """How a trainer and its parameters are searched within a time.

    Attributes:
        budget: How long is searched.
        metric: What is compared by, on validation rows; empty for the task's first.
        families: Which trainers are tried; empty for all that the model's task has.
        validation: The share of training rows that validate.
    """

    budget: str
    metric: str = ""
    families: Sequence[Family] = ()
    validation: float = 0.2

    def __post_init__(self) -> None:
        positive_duration_us(self.budget, field="automl: budget")
        check_search("automl", self.metric, self.validation)
        known = FAMILIES["classification"]
        for family in self.families:
            if family not in known:
                raise DefinitionError(f"automl: family {family!r} is unknown", hint=did_you_mean(family, known))

    @property
    def budget_s(self) -> float:
        """The budget in seconds."""
        return positive_duration_us(self.budget) / SECOND_US

    def families_of(self, task: Task) -> Sequence[Family]:
        """Return which trainers are tried of a task's.

        Example:
            >>> AutoML("60s").families_of("regression")
            ('lightgbm', 'xgboost', 'random_forest', 'extra_trees')
        """
        return self.families or FAMILIES[task]


def check_search(what: str, metric: str, validation: float) -> None:
    """Refuse a metric that trials cannot be compared by, and a share that leaves no rows.

    Args:
        what: Whose, for the error.
        metric: The metric's name; empty for the task's first.
        validation: A share between 0 and 1.

    Raises:
        DefinitionError: One of them cannot be used.
    """
    known = [name for names in METRICS.values() for name in names]
    if metric and metric not in known:
        raise DefinitionError(f"{what}: metric {metric!r} cannot compare trials", hint=did_you_mean(metric, known))
    if not 0 < validation < 1:
        raise DefinitionError(f"{what}: validation share {validation} is not between 0 and 1", hint="write '20%'")


def check_search_of(model: str, task: Task, search: Tuning | AutoML) -> None:
    """Refuse a search that a model's task does not have.

    Args:
        model: The model's name.
        task: Its task.
        search: What its trainer searches.

    Raises:
        DefinitionError: The metric or a family is of another task.
    """
    if search.metric and search.metric not in METRICS[task]:
        raise DefinitionError(
            f"model {model!r}: trials of a {task} cannot be compared by {search.metric!r}",
            hint=f"use one of {', '.join(METRICS[task])}",
        )
    for family in search.families if isinstance(search, AutoML) else ():
        if family not in FAMILIES[task]:
            raise DefinitionError(
                f"model {model!r}: family {family!r} is a classifier's",
                hint=f"name some of {', '.join(FAMILIES[task])}, or leave families out for all of them",
            )
