"""Boosting: what is asked of a library of boosted trees."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from falaj.definitions.task import Task
from falaj.definitions.trainer import Trainer
from falaj.models.runtimes.port import Matrix
from falaj.models.training.rounds import Rounds


@dataclass(frozen=True)
class Boosting:
    """What is asked of a library of boosted trees; `falaj.models.training.fit` checks it.

    Attributes:
        trainer: The algorithm.
        matrix: float32, (rows, features); NaN is missing.
        labels: 0 and 1, of a regression any numbers, (rows,).
        names: The matrix's columns.
        threads: How many threads the library may use.
        task: What is to be learned.
        parent: State of the model that is to be continued; empty to learn from nothing.
        rounds: Who looks while trees are boosted.
    """

    trainer: Trainer
    matrix: Matrix
    labels: NDArray[Any]
    names: tuple[str, ...]
    threads: int
    task: Task
    parent: bytes = b""
    rounds: Rounds | None = None

    def rounds_apart(self, *aliases: str) -> tuple[int, dict[str, Any]]:
        """Return how many rounds this training makes, and the library's other parameters.

        Args:
            aliases: The library's other names of `num_trees`: left among the parameters, they would win over the rounds
                of a continuation, unseen.
        """
        params, made = dict(self.trainer.params), 100
        for name in ("num_trees", *aliases):
            if name in params:
                made = int(params.pop(name))
        if self.parent and self.trainer.warm_start is not None:
            made = self.trainer.warm_start.rounds
        return made, params
