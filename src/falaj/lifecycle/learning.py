"""Learning: a model's training rows as trainers take them, with those that are kept back to calibrate."""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from falaj.definitions.model import Model
from falaj.definitions.signature import Signature
from falaj.features.entity_frame import TIME_COLUMN
from falaj.lifecycle.dataset import SPLIT
from falaj.lifecycle.examples import LABEL
from falaj.lifecycle.rooms import Rooms
from falaj.models.encoding import encode_columns, fit_signature
from falaj.models.making import keep_back
from falaj.models.training.rows import TrainingRows
from falaj.models.tuning.validation import Fold, folds_of
from falaj.pipelines.context import StepContext


@dataclass(frozen=True)
class Learning:
    """What a model learns from.

    Attributes:
        signature: Its inputs.
        rows: What trainers are fitted to.
        held: What calibrates; no rows where nothing does.
        event_us: When the fitted rows happened, (rows,); None for a timeless source.
    """

    signature: Signature
    rows: TrainingRows
    held: TrainingRows
    event_us: NDArray[np.int64] | None

    def folds(self, model: Model) -> list[Fold]:
        """Return which of the fitted rows train and which judge, while something is searched.

        Raises:
            DataError: A part is empty or has one class only.
        """
        search = model.trainer.tuning or model.trainer.automl
        assert search is not None
        folds = model.trainer.tuning.folds if model.trainer.tuning is not None else 1
        return folds_of(
            model.split, search.validation, folds, self.event_us, self.rows.labels, model.label.delay_us, model.task
        )


def learning_of(rooms: Rooms, model: Model, inputs: tuple[tuple[str, str], ...], context: StepContext) -> Learning:
    """Return what a model learns from: the dataset's training rows, and no test row.

    Args:
        rooms: The project.
        model: The definition.
        inputs: The model's inputs and their types.
        context: Of a step that needs the features.

    Raises:
        DataError: Too few rows are left beside those that calibrate.
    """
    dataset = context.input("features", "dataset")
    context.used(dataset)
    training = rooms.datasets.load(dataset).filter(pc.field(SPLIT) == "train")
    columns = {name: training.column(name) for name, _ in inputs}
    signature = fit_signature(columns, dict(inputs))
    if model.task == "regression":
        signature = msgspec.structs.replace(signature, output="prediction")
    everything = TrainingRows(
        encode_columns(signature, columns),
        labels_of(training),
        [each.name for each in signature.inputs],
        {each.name: len(each.categories) for each in signature.inputs if each.dtype == "string"},
        rooms.folder,
        rooms.python_place(model.name),
        model.task,
    )
    event_us = _instants(training)
    if not model.calibrate:
        return Learning(signature, everything, everything.at(np.arange(0)), event_us)
    fitted, held = keep_back(model.split, event_us, everything.labels, model.label.delay_us)
    return Learning(
        signature, everything.at(fitted), everything.at(held), None if event_us is None else event_us[fitted]
    )


def labels_of(rows: pa.Table) -> NDArray[Any]:
    """Return the labels, int64, or of a regression float64, (rows,)."""
    labels: NDArray[Any] = rows.column(LABEL).to_numpy(zero_copy_only=False)
    return labels


def _instants(rows: pa.Table) -> NDArray[np.int64] | None:
    if TIME_COLUMN not in rows.column_names:
        return None
    instants: NDArray[np.int64] = rows.column(TIME_COLUMN).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return instants
