"""Found: the trainer that a search ended with, and the trials that led there."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.gate import HIGHER_IS_BETTER
from falaj.definitions.task import Task
from falaj.definitions.trainer import Trainer
from falaj.definitions.tuning import METRICS
from falaj.kernel.errors import DataError
from falaj.models.metrics import Scored
from falaj.models.predicted import Predicted
from falaj.models.runtimes.port import Scores
from falaj.models.tuning.trial import Trial


class Found(msgspec.Struct, frozen=True):
    """What a search ended with.

    Attributes:
        trainer: A plain trainer, as if it had been written down.
        metric: What trials were compared by.
        value: Its metric on validation rows.
        trials: All of them, in the order in which they were done.
    """

    trainer: Trainer
    metric: str
    value: float
    trials: tuple[Trial, ...]

    @property
    def params(self) -> dict[str, Any]:
        """The search in a few values, for records of the run."""
        return {
            "search.trials": len(self.trials),
            "search.pruned": sum(trial.state == "pruned" for trial in self.trials),
            f"search.{self.metric}": self.value,
        }


def metric_of(task: Task, metric: str) -> str:
    """Return what trials are compared by: what was named, or the task's first.

    Example:
        >>> metric_of("regression", "")
        'rmse'
    """
    return metric or METRICS[task][0]


def measured(task: Task, metric: str, scores: Scores, labels: NDArray[Any]) -> float:
    """Return a metric of validation rows.

    Args:
        task: What the labels are.
        metric: Its name.
        scores: Probabilities of class 1, or predicted numbers, (rows,).
        labels: 0 and 1, of a regression any numbers, (rows,).

    Example:
        >>> measured("classification", "auc", np.array([0.1, 0.9]), np.array([0, 1]))
        1.0
    """
    rows = Predicted(scores, labels) if task == "regression" else Scored(scores, labels, 0.5)
    return float(rows.measure(np.ones((1, len(labels))), [metric])[metric][0])


def best_of(trials: Sequence[Trial], metric: str) -> Trial:
    """Return the trial of the best value; of equal ones the first.

    Raises:
        DataError: None was done to its end with a value that is a number.
    """
    done = [trial for trial in trials if trial.state == "done" and trial.value is not None]
    if not done:
        raise DataError(
            f"none of {len(trials)} trials came to a {metric} that is a number",
            hint="let more of them end: more trials, a longer timeout, or prune='none'",
        )
    sign = -1 if HIGHER_IS_BETTER[metric] else 1
    return min(done, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def in_silence(share: float, text: str) -> None:
    """Tell nobody how far a search is."""
    del share, text
