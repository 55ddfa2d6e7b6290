"""Splitting a dataset's rows into those that train and those that test."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.split import Split
from falaj.definitions.task import Task
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.duration import format_duration
from falaj.kernel.errors import DataError

Indices = NDArray[np.int64]


class SplitSummary(msgspec.Struct, frozen=True):
    """How rows were divided, in plain values for reports.

    Attributes:
        description: One sentence.
        train_rows: Rows that train.
        train_positives: Those of class 1; None of a regression.
        test_rows: Rows that test.
        test_positives: Those of class 1; None of a regression.
        dropped_rows: Rows that do neither: their label was not yet known when the test began, or is not known now.
        test_start_us: When the test begins, in microseconds; None for a random split.
    """

    description: str
    train_rows: int
    train_positives: int | None
    test_rows: int
    test_positives: int | None
    dropped_rows: int
    test_start_us: int | None = None


def split_rows(
    split: Split,
    event_us: NDArray[np.int64] | None,
    labels: NDArray[Any],
    delay_us: int = 0,
    *,
    now_us: int | None = None,
    task: Task = "classification",
) -> tuple[Indices, Indices, SplitSummary]:
    """Divide rows.

    By time: the latest share of rows, and all that share its first instant, test. A row trains only if its label was
    known when the test began: `event_us + delay_us <= test start`. At random: each class is divided by the share.

    Args:
        split: How.
        event_us: Event times in microseconds, (rows,); None for a timeless source.
        labels: 0 and 1, of a regression any numbers, NaN where not known, (rows,).
        delay_us: How long after its event a label becomes known.
        now_us: The present in event time; rows whose label could not be known by then are left out.
        task: What the labels are.

    Returns:
        Ascending row numbers that train, those that test, and a summary.

    Raises:
        DataError: A part is empty or has one class only; the hint says what to change.
    """
    values = np.asarray(labels, np.float64)
    usable = np.flatnonzero(~np.isnan(values))
    if split.kind == "random":
        train, test = _at_random(split, np.zeros(len(values)) if task == "regression" else values, usable)
        start_us = None
        description = (
            f"{split.test:.0%} of rows test, drawn{'' if task == 'regression' else ' by class'} with seed {split.seed}"
        )
    else:
        if event_us is None:
            raise DataError("a split by time needs event times", hint="use split=fj.split.random(test='20%')")
        if now_us is not None:
            usable = usable[event_us[usable] <= now_us - delay_us]
        train, test, start_us = _by_time(split, event_us, usable, delay_us)
        description = (
            f"rows from {rfc3339(from_us(start_us))} on test (the latest {split.test:.0%}); rows train whose label, "
            f"known after {format_duration(delay_us)}, was known by then"
        )
    _check_part("training", values[train], split, task)
    _check_part("test", values[test], split, task)
    summary = SplitSummary(
        description,
        len(train),
        None if task == "regression" else int(values[train].sum()),
        len(test),
        None if task == "regression" else int(values[test].sum()),
        len(values) - len(train) - len(test),
        start_us,
    )
    return train, test, summary


def _by_time(split: Split, event_us: NDArray[np.int64], usable: Indices, delay_us: int) -> tuple[Indices, Indices, int]:
    times = event_us[usable]
    if len(times) == 0:
        raise DataError("there are no rows whose label is known", hint="ingest labels, or shorten the label's delay")
    first_test = min(len(times) - 1, round(len(times) * (1 - split.test)))
    start_us = int(np.sort(times)[first_test])
    # All rows of the first instant test: divided, the same moment would both train and test.
    return usable[times <= start_us - max(delay_us, 1)], usable[times >= start_us], start_us


def _at_random(split: Split, values: NDArray[np.float64], usable: Indices) -> tuple[Indices, Indices]:
    rng = np.random.default_rng(split.seed)
    test = [
        rng.permutation(of_class)[: round(len(of_class) * split.test)]
        for of_class in (usable[values[usable] == 0], usable[values[usable] == 1])
    ]
    chosen = np.sort(np.concatenate(test))
    return np.setdiff1d(usable, chosen, assume_unique=True), chosen


def _check_part(part: str, labels: NDArray[np.float64], split: Split, task: Task) -> None:
    more = "a larger share" if part == "test" else "a smaller share"
    if len(labels) == 0:
        raise DataError(
            f"the split leaves no {part} rows", hint=f"ingest more history, give the test {more}, or shorten the delay"
        )
    if task == "classification" and not np.isin(labels, (0, 1)).all():
        raise DataError(f"{part} labels must be 0 or 1", hint="choose a label column of 0 and 1")
    if labels.min() == labels.max():
        raise DataError(
            f"all {len(labels)} {part} rows have label {labels[0]:g}",
            hint=f"ingest more history, give the test {more}"
            + (", or split at random" if split.kind == "time" else ", or take another seed"),
        )
