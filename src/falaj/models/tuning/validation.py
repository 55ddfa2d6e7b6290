"""Validation: which training rows trials learn from, and which judge them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.split import Split
from falaj.definitions.task import Task
from falaj.kernel.errors import DataError
from falaj.models.split import Indices, split_rows

Fold = tuple[Indices, Indices]
"""Row numbers that train, and row numbers that judge."""


def folds_of(
    split: Split,
    share: float,
    folds: int,
    event_us: NDArray[np.int64] | None,
    labels: NDArray[Any],
    delay_us: int,
    task: Task = "classification",
) -> list[Fold]:
    """Divide training rows again, in the way in which the test rows were divided from them.

    By time, one fold judges the latest share; several cut the rows into `folds + 1` stretches, and each but the first
    is judged by a model of all before it (Bergmeir & Benítez 2012: a rolling origin). In both a row trains only if its
    label was known when the judging rows begin. At random, one fold draws the share, of a classification by class;
    several take turns.

    Args:
        split: How test rows were divided.
        share: Of rows that judge, where there is one fold.
        folds: How many.
        event_us: Event times in microseconds, (rows,); None for a timeless source.
        labels: 0 and 1, of a regression any numbers, (rows,).
        delay_us: How long after its event a label becomes known.
        task: What the labels are.

    Raises:
        DataError: A part is empty or has one class only.
    """
    if folds == 1:
        train, judge, _ = _divided(Split(split.kind, share, split.seed), event_us, labels, delay_us, task)
        return [(train, judge)]
    if split.kind == "random" or event_us is None:
        return _taking_turns(split.seed, folds, np.zeros(len(labels)) if task == "regression" else labels)
    order = np.argsort(event_us, kind="stable")
    found: list[Fold] = []
    for stretch in range(1, folds + 1):
        upto = order[: len(order) * (stretch + 1) // (folds + 1)]
        inner = Split("time", 1 / (stretch + 1))
        train, judge, _ = _divided(inner, event_us[upto], labels[upto], delay_us, task)
        found.append((np.sort(upto[train]), np.sort(upto[judge])))
    return found


def _divided(
    split: Split, event_us: NDArray[np.int64] | None, labels: NDArray[Any], delay_us: int, task: Task
) -> tuple[Indices, Indices, Any]:
    try:
        return split_rows(split, event_us, labels, delay_us, task=task)
    except DataError as error:
        raise DataError(
            f"training rows cannot be divided again to compare trials: {error.message}",
            hint="give validation another share, use fewer folds, or ingest more history",
        ) from None


def _taking_turns(seed: int, folds: int, labels: NDArray[Any]) -> list[Fold]:
    rng = np.random.default_rng(seed)
    turn = np.empty(len(labels), np.int64)
    for of_class in (np.flatnonzero(labels == one) for one in np.unique(labels)):
        if len(of_class) < folds:
            raise DataError(
                f"{len(of_class)} rows of one kind cannot be divided into {folds} folds", hint="use fewer folds"
            )
        turn[rng.permutation(of_class)] = np.arange(len(of_class)) % folds
    return [(np.flatnonzero(turn != one), np.flatnonzero(turn == one)) for one in range(folds)]
