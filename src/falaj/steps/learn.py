"""Learning: trainers tuned and fitted on a table."""

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from falaj.definitions.signature import Signature
from falaj.definitions.split import Split
from falaj.definitions.step import step
from falaj.definitions.trainer import Trainer, lightgbm
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import DataError
from falaj.models.encoding import encode_columns, fit_signature
from falaj.models.making import keep_back, make, search
from falaj.models.training.rows import TrainingRows
from falaj.models.tuning.found import Found
from falaj.models.tuning.validation import folds_of
from falaj.pipelines.context import StepContext
from falaj.steps.rows import instants_of, labels_of
from falaj.steps.trained import Trained, column_of, dtype_of, task_of, trained


@step
def tune(
    rows: pa.Table,
    label: str,
    trainer: Trainer,
    context: StepContext,
    features: list[str] | None = None,
    time: str = "",
    delay: str = "0s",
    task: str = "classification",
) -> dict[str, Any]:
    """Find what a trainer leaves open, on training rows alone; an attempt that is killed is gone on with.

    Args:
        rows: Training rows.
        label: The column that is to be predicted.
        trainer: `fj.tuned(...)` or `fj.automl(...)`.
        context: Given by itself.
        features: The columns to learn from; all but label and time by default.
        time: The column of instants, so that the latest rows judge; empty to draw by class.
        delay: How long after its instant a label becomes known.
        task: "classification" or "regression".

    Returns:
        `trainer`, a plain one for `train`, with `metric`, `value` and `trials`.

    Raises:
        DataError: The trainer leaves nothing open, or no trial came to a number.
    """
    _, learning, event_us = _learning(rows, label, features, time, task)
    found = _found(trainer, learning, event_us, delay, context)
    trials = msgspec.to_builtins(found.trials)
    return {"trainer": found.trainer, "metric": found.metric, "value": found.value, "trials": trials}


@step
def train(
    rows: pa.Table,
    label: str,
    context: StepContext,
    trainer: Trainer = lightgbm(),  # noqa: B008 - a frozen value
    features: list[str] | None = None,
    calibrate: str = "",
    time: str = "",
    delay: str = "0s",
    task: str = "classification",
) -> Trained:
    """Tune a trainer where it searches, fit it to rows, calibrate it, and export it to the file that serves.

    Args:
        rows: Training rows.
        label: The column that is to be predicted.
        context: Given by itself.
        trainer: As a model's.
        features: The columns to learn from; all but label and time by default.
        calibrate: "isotonic" or "sigmoid", on a fifth of the rows, which is kept back; empty for scores as they are.
        time: The column of instants, so that the latest rows calibrate and judge trials; empty to draw by class.
        delay: How long after its instant a label becomes known.
        task: "classification" or "regression".

    Raises:
        DataError: The rows cannot be learned from.
        DefinitionError: The library does not know a parameter.
    """
    if calibrate not in ("", "isotonic", "sigmoid"):
        raise DataError(f"calibrate = {calibrate!r} is no method", hint="write 'isotonic' or 'sigmoid'")
    if calibrate and task == "regression":
        raise DataError("a regression gives no probabilities", hint="leave calibrate out")
    signature, learning, event_us = _learning(rows, label, features, time, task)
    held = None
    if calibrate:
        split = Split("time" if time else "random", 0.5, trainer.seed)
        fitted, kept = keep_back(split, event_us, learning.labels, duration_us(delay))
        held, learning = learning.at(kept), learning.at(fitted)
        event_us = None if event_us is None else event_us[fitted]
    found = _found(trainer, learning, event_us, delay, context) if trainer.searches else None
    plain = trainer if found is None else found.trainer
    made = make(plain, learning, held, calibrate, tell=context.progress)
    return trained(made, found, plain, signature, label, context.folder)


def _learning(
    rows: pa.Table, label: str, features: list[str] | None, time: str, task: str
) -> tuple[Signature, TrainingRows, NDArray[np.int64] | None]:
    labels = labels_of(rows, label)
    known = np.flatnonzero(~np.isnan(labels))
    rows, labels = rows.take(pa.array(known)), labels[known]
    names = [name for name in rows.column_names if name not in (label, time)] if features is None else features
    if not names:
        raise DataError("there are no features to learn from", hint="name some, or leave features out for every column")
    if label in names:
        raise DataError(f"the label {label!r} is among the features", hint="leave it out of features=[...]")
    dtypes = {name: dtype_of(name, column_of(rows, name).type) for name in names}
    columns = {name: rows.column(name) for name in names}
    signature = fit_signature(columns, dtypes)
    if task_of(task) == "regression":
        signature = msgspec.structs.replace(signature, output="prediction")
    vocabularies = {spec.name: len(spec.categories) for spec in signature.inputs if spec.dtype == "string"}
    matrix = encode_columns(signature, columns)
    learning = TrainingRows(matrix, labels, names, vocabularies, task=task_of(task))
    return signature, learning, instants_of(rows, time) if time else None


def _found(
    trainer: Trainer, rows: TrainingRows, event_us: NDArray[np.int64] | None, delay: str, context: StepContext
) -> Found:
    asked = trainer.tuning or trainer.automl
    if asked is None:
        raise DataError(f"the {trainer.kind} trainer leaves nothing open", hint="give fj.tuned(...) or fj.automl(...)")
    how = Split("random" if event_us is None else "time", 0.5, trainer.seed)
    folds = trainer.tuning.folds if trainer.tuning is not None else 1
    parts = folds_of(how, asked.validation, folds, event_us, rows.labels, duration_us(delay), rows.task)
    return search(trainer, rows, parts, context.checkpoint / "trials.jsonl", tell=context.progress)
