"""The step of the training pipeline that finds what a trainer leaves open; only such a model has it."""

import os
from collections.abc import Mapping
from typing import Any

from falaj.kernel.codec import to_builtins
from falaj.lifecycle.learning import learning_of
from falaj.lifecycle.training import check_files, model_of, service_of
from falaj.models.tuning.automl import search_automl
from falaj.models.tuning.tune import tune as tune_trainer
from falaj.pipelines.context import StepContext


def tune(context: StepContext) -> Mapping[str, Any]:
    """Find the trainer on training rows; trials that are done survive the attempt."""
    rooms, model = model_of(context)
    check_files(rooms, model, context)
    learning = learning_of(rooms, model, service_of(rooms, model).model_inputs, context)
    folds = learning.folds(model)
    threads = max(1, os.cpu_count() or 2)
    if model.trainer.automl is not None:
        found = search_automl(model.trainer, learning.rows, folds[0], threads=threads, tell=context.progress)
    else:
        journal = context.checkpoint / "trials.jsonl"
        found = tune_trainer(
            model.trainer, learning.rows, folds, journal, threads=threads, tell=context.progress
        )  # fmt: skip
    return {"found": to_builtins(found), "params": found.params}
