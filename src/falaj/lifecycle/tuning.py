"""The step of the training pipeline that finds what a trainer leaves open; only such a model has it."""

from collections.abc import Mapping
from typing import Any

from falaj.kernel.codec import to_builtins
from falaj.lifecycle.learning import learning_of
from falaj.lifecycle.training import check_files, model_of, service_of
from falaj.models.making import search
from falaj.pipelines.context import StepContext


def tune(context: StepContext) -> Mapping[str, Any]:
    """Find the trainer on training rows; trials that are done survive the attempt."""
    rooms, model = model_of(context)
    check_files(rooms, model, context)
    learning = learning_of(rooms, model, service_of(rooms, model).model_inputs, context)
    journal = context.checkpoint / "trials.jsonl"
    found = search(model.trainer, learning.rows, learning.folds(model), journal, tell=context.progress)
    return {"found": to_builtins(found), "params": found.params}
