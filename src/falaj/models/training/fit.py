"""Fitting a trainer's algorithm to rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.task import Task
from falaj.definitions.trainer import Trainer
from falaj.kernel.errors import DataError
from falaj.models.python.place import PythonPlace
from falaj.models.runtimes.library import open_library
from falaj.models.runtimes.port import Matrix, check_matrix
from falaj.models.training.boosting import Boosting
from falaj.models.training.fitted import Fitted
from falaj.models.training.rounds import Rounds


def fit(
    trainer: Trainer,
    matrix: Matrix,
    labels: NDArray[Any],
    feature_names: Sequence[str],
    *,
    vocabularies: Mapping[str, int] = MappingProxyType({}),
    threads: int = 1,
    folder: Path = Path(),
    place: PythonPlace | None = None,
    task: Task = "classification",
    parent: bytes = b"",
    rounds: Rounds | None = None,
) -> Fitted:
    """Fit a binary classifier or a regression; the same inputs, seed and number of threads give the same model.

    Args:
        trainer: The algorithm, its parameters and seed.
        matrix: float32, C-contiguous, (rows, features); NaN is missing.
        labels: 0 and 1, of a regression any numbers, (rows,).
        feature_names: The matrix's columns.
        vocabularies: Feature to the length of its vocabulary, for those whose numbers are codes of texts.
        threads: How many threads the library may use.
        folder: The project's folder, below which a Python model's files are.
        place: Where a Python model's process works.
        task: What is to be learned.
        parent: State of the model that is to be continued on these rows; empty to learn from nothing.
        rounds: Who looks while trees are boosted; other libraries show nothing.

    Raises:
        DataError: There are no rows, the labels are not those of the task, or are all the same.
        DefinitionError: A parameter does not exist, or makes the model something else than the task says.
    """
    names = tuple(feature_names)
    check_matrix(matrix, len(names))
    checked = check_labels(labels, rows=len(matrix), task=task)
    boosting = Boosting(trainer, matrix, checked, names, threads, task, parent, rounds)
    # Imported where used: each library takes a second to load, and a run needs one.
    if trainer.kind == "lightgbm":
        open_library("lightgbm", "lib_lightgbm")  # its package, imported next, cannot find an OpenMP as this can
        from falaj.models.training.lightgbm import fit_lightgbm

        return fit_lightgbm(boosting)
    if trainer.kind == "xgboost":
        from falaj.models.training.xgboost import fit_xgboost

        return fit_xgboost(boosting)
    if trainer.kind == "python":
        from falaj.models.training.python import fit_python

        return fit_python(trainer, matrix, checked, names, folder, place or PythonPlace(), task=task)
    if trainer.kind == "river":
        from falaj.models.training.river import fit_river

        return fit_river(trainer, matrix, checked, names, vocabularies, parent=parent)
    from falaj.models.training.sklearn import fit_sklearn

    return fit_sklearn(trainer, matrix, checked, names, vocabularies, threads=threads, task=task, parent=parent)


def check_labels(
    labels: NDArray[Any], *, rows: int, what: str = "training", task: Task = "classification"
) -> NDArray[Any]:
    """Return the labels as 0 and 1, int8, or of a regression as float64.

    Args:
        labels: Numbers or booleans, (rows,).
        rows: How many there must be.
        what: Which rows they label, for the error.
        task: Whose labels they are.

    Raises:
        DataError: Their number differs, one is missing or not of the task, or they are all the same.
    """
    values = np.asarray(labels)
    if values.shape != (rows,):
        raise DataError(f"there are {rows} {what} rows and labels of shape {values.shape}")
    if rows == 0:
        raise DataError(f"there are no {what} rows", hint="ingest labelled data first, or widen the split")
    if task == "regression":
        return _numbers(values, what)
    if not np.isin(values, (0, 1)).all():
        odd = values[~np.isin(values, (0, 1))][0]
        raise DataError(f"{what} labels must be 0 or 1, and one is {odd!r}", hint="exclude rows whose label is unknown")
    checked = values.astype(np.int8)
    if checked.min() == checked.max():
        raise DataError(
            f"all {rows} {what} labels are {checked[0]}; a classifier needs both classes",
            hint="take more data, or another split",
        )
    return checked


def _numbers(values: NDArray[Any], what: str) -> NDArray[np.float64]:
    checked = values.astype(np.float64)
    if not np.isfinite(checked).all():
        raise DataError(f"a {what} label is not a finite number", hint="exclude rows whose label is unknown")
    if checked.min() == checked.max():
        raise DataError(
            f"all {len(checked)} {what} labels are {checked[0]:g}; there is nothing to learn",
            hint="take more data, or another split",
        )
    return checked
