"""Task: whether a model decides between two classes or predicts a number, and which gate checks each has."""

from collections.abc import Iterable
from typing import Literal

from falaj.definitions.gate import (
    HIGHER_IS_BETTER,
    REGRESSION,
    Bound,
    Change,
    Fairness,
    GateCheck,
    Leakage,
    Robustness,
)
from falaj.kernel.errors import DefinitionError

Task = Literal["classification", "regression"]
"""Of "classification" the label is 0 or 1 and the score the probability of 1; of "regression" both are any number."""


def check_gates_of(model: str, task: Task, gates: Iterable[GateCheck]) -> None:
    """Refuse checks that the task does not have.

    Args:
        model: The model's name.
        task: Its task.
        gates: Its checks.

    Raises:
        DefinitionError: A check asks for a metric of the other task, or for what only decisions have.
    """
    for check in gates:
        if isinstance(check, Bound | Change | Robustness):
            _check_metric(model, task, check.metric)
        elif isinstance(check, Leakage):
            _check_leakage(model, task, check)
        if task == "regression" and isinstance(check, Fairness):
            raise DefinitionError(
                f"model {model!r}: fairness is of decisions, and a regression makes none",
                hint="bound the error in each group: fj.gate.at_most('mae', 10, slices=['group'])",
            )
        if task == "regression" and isinstance(check, Robustness) and "attack" in check.under:
            raise DefinitionError(
                f"model {model!r}: an attack lets positives score low, and a regression has none",
                hint="leave 'attack' and mutable out",
            )


def _check_metric(model: str, task: Task, metric: str) -> None:
    fitting = [name for name in HIGHER_IS_BETTER if (name in REGRESSION) == (task == "regression")]
    if metric not in fitting:
        raise DefinitionError(
            f"model {model!r}: a {task} has no metric {metric!r}", hint=f"use one of {', '.join(fitting)}"
        )


def _check_leakage(model: str, task: Task, check: Leakage) -> None:
    if task == "regression" and check.r2 is None:
        raise DefinitionError(
            f"model {model!r}: gate no_leak bounds an auc, which a regression does not have",
            hint="say what one feature alone may explain: fj.gate.no_leak(r2=0.98)",
        )
    if task == "classification" and check.r2 is not None:
        raise DefinitionError(
            f"model {model!r}: gate no_leak bounds an r2, which a classification does not have",
            hint="write fj.gate.no_leak(auc=0.99)",
        )
