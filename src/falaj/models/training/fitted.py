"""Fitted: what a trainer hands over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from falaj.definitions.task import Task
from falaj.models.runtimes.port import Matrix, Scores


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
        kind: Which library trained it.
        model: The library's own object, for export.
        native: The library's own file format; None for scikit-learn, whose only own format is pickle.
        predict: The library's own predictor: the probability of class 1 per row, or what a regression predicts.
        feature_names: The matrix's columns.
        importance: Feature to its share of the model's total gain (or absolute weight), adding up to 1; empty where
            the model has none.
        params: The library's parameters as used.
        task: What was learned.
        state: What a later training can go on from; empty where it cannot.
    """

    kind: str
    model: Any
    native: bytes | None
    predict: Callable[[Matrix], Scores]
    feature_names: tuple[str, ...]
    importance: dict[str, float]
    params: dict[str, Any]
    task: Task = "classification"
    state: bytes = b""


def shares(names: tuple[str, ...], amounts: Any) -> dict[str, float]:
    """Return each feature's share of the amounts, the greatest first; empty when all are zero.

    Example:
        >>> shares(("a", "b"), [1.0, 3.0])
        {'b': 0.75, 'a': 0.25}
    """
    values = [abs(float(amount)) for amount in amounts]
    total = sum(values)
    if not total:
        return {}
    ranked = sorted(zip(names, values, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return {name: value / total for name, value in ranked}
