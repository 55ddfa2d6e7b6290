"""Deciding: from which score on a version says yes, by training rows that what is asked was not fitted to.

Rows that a model was fitted to flatter it: what costs least there costs more on any others.
"""

from collections.abc import Callable

import numpy as np

from falaj.definitions.model import Model
from falaj.definitions.trainer import Trainer
from falaj.kernel.errors import DataError
from falaj.lifecycle.learning import Learning
from falaj.models.evaluation import best_threshold
from falaj.models.making import Made, keep_back, rehearse
from falaj.models.split import Indices


def unseen_threshold(
    model: Model,
    trainer: Trainer,
    learning: Learning,
    made: Made,
    parent: tuple[Indices, bytes] | None,
    tell: Callable[[float, str], None],
) -> float | None:
    """Return the threshold that rows choose which nothing was fitted to, or None where there are no such rows.

    A calibrated model has rows that it was not fitted to. For others with a cost, a model is fitted to all but the
    newest fifth (a drawn fifth where the split is at random) and asked about that fifth; the version itself learns
    from all rows.

    Args:
        model: The definition.
        trainer: A plain one, as the model was fitted by.
        learning: What the model learned from.
        made: The model.
        parent: The rows to go on with, and the state of the model that was continued; None where nothing was.
        tell: Given the share that is done, and words.
    """
    if model.task == "regression":
        return None
    if made.calibration is not None:
        held = learning.held
        scores = made.calibration.apply(made.fitted.predict(held.matrix))
        return best_threshold(scores, held.labels, model.cost)
    if model.cost is None:
        return None
    rows, event_us = learning.rows, learning.event_us
    among = np.arange(len(rows.labels)) if parent is None else parent[0]
    try:
        fitted, kept = keep_back(
            model.split, None if event_us is None else event_us[among], rows.labels[among], model.label.delay_us
        )
    except DataError:  # too few for two parts: the rows that it was fitted to choose
        return None
    tell(0.9, f"choosing the threshold on {len(kept):,} rows")
    held = rows.at(among[kept])
    scores = rehearse(trainer, rows.at(among[fitted]), held, b"" if parent is None else parent[1])
    return best_threshold(scores, held.labels, model.cost)
