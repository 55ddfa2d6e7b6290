"""Rows: divided into those that train and those that test, and scored."""

from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from falaj.definitions.split import Split
from falaj.definitions.step import step
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import DataError
from falaj.models.split import split_rows
from falaj.steps.trained import Trained, column_of, matrix_of, runtime_of, signature_of, task_of


class Parts(TypedDict):
    """Rows that train, and rows that test."""

    train: pa.Table
    test: pa.Table


@step
def split(
    rows: pa.Table,
    label: str,
    test: float = 0.2,
    time: str = "",
    delay: str = "0s",
    seed: int = 0,
    task: str = "classification",
) -> Parts:
    """Divide rows into those that train and those that test, as a model's `split` does.

    Args:
        rows: The table.
        label: The column that is to be predicted; rows where it is null do neither.
        test: The share that tests.
        time: The column of instants, for a test on the latest rows; empty to draw by class.
        delay: How long after its instant a label becomes known; such rows before the test do neither.
        seed: Of the draw.
        task: "classification" or "regression".

    Raises:
        DataError: A part is empty or has one class only.
    """
    labels = labels_of(rows, label)
    how = Split("time" if time else "random", test, seed)
    event_us = None if not time else instants_of(rows, time)
    train, tests, _ = split_rows(how, event_us, labels, duration_us(delay), task=task_of(task))
    return {"train": rows.take(pa.array(train)), "test": rows.take(pa.array(tests))}


@step
def predict(model: Trained, rows: pa.Table) -> pa.Table:
    """Return the rows with a column `score` at their end: the probability of 1, or the predicted number."""
    scores = runtime_of(model).predict(matrix_of(signature_of(model), rows))
    kept = rows.drop_columns(["score"]) if "score" in rows.column_names else rows
    return kept.append_column("score", pa.array(scores, pa.float64()))


def labels_of(rows: pa.Table, label: str) -> NDArray[np.float64]:
    """Return labels as float64, NaN where there is none, (rows,).

    Raises:
        DataError: The column holds something else than numbers.
    """
    column = column_of(rows, label)
    try:
        labels: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"label {label!r} is of type {column.type}, which holds no numbers: {str(error).splitlines()[0]:.150}",
            hint="make it numbers first: 0 and 1 of a classification, a quantity of a regression",
        ) from None
    return labels


def instants_of(rows: pa.Table, time: str) -> NDArray[np.int64]:
    """Return instants in microseconds, (rows,).

    Raises:
        DataError: One is missing: such a row is neither before nor after others.
    """
    column: Any = column_of(rows, time)
    if column.null_count:
        raise DataError(
            f"column {time!r} is null in {column.null_count:,} rows, which have no place in time",
            hint="leave these rows out, or divide at random: time=''",
        )
    instants: NDArray[np.int64] = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    return instants
