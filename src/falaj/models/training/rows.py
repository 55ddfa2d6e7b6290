"""TrainingRows: what a trainer is fitted to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.task import Task
from falaj.definitions.trainer import Trainer
from falaj.models.python.place import PythonPlace
from falaj.models.runtimes.port import Matrix
from falaj.models.training.fit import fit
from falaj.models.training.fitted import Fitted
from falaj.models.training.rounds import Rounds


class TrainingRows(msgspec.Struct, frozen=True, eq=False):
    """Rows to learn from, and all that a fit needs beside the trainer.

    Attributes:
        matrix: float32, C-contiguous, (rows, features); NaN is missing.
        labels: 0 and 1, of a regression any numbers, (rows,).
        names: The matrix's columns.
        vocabularies: Feature to the length of its vocabulary, for those whose numbers are codes of texts.
        folder: The project's folder, below which a Python model's files are.
        place: Where a Python model's process works.
        task: What is to be learned.
    """

    matrix: Matrix
    labels: NDArray[Any]
    names: Sequence[str]
    vocabularies: Mapping[str, int] = MappingProxyType({})
    folder: Path = Path()
    place: PythonPlace | None = None
    task: Task = "classification"

    def at(self, rows: NDArray[np.int64]) -> "TrainingRows":
        """Return some of the rows.

        Args:
            rows: Their numbers.
        """
        matrix = np.ascontiguousarray(self.matrix[rows])
        return msgspec.structs.replace(self, matrix=matrix, labels=self.labels[rows])

    def fit(self, trainer: Trainer, *, threads: int, rounds: Rounds | None = None, parent: bytes = b"") -> Fitted:
        """Fit a trainer to the rows; see `falaj.models.training.fit`.

        Args:
            trainer: A plain one.
            threads: How many threads the library may use.
            rounds: Who looks while trees are boosted.
            parent: State of the model that is continued; empty to learn from nothing.
        """
        return fit(
            trainer, self.matrix, self.labels, self.names, vocabularies=self.vocabularies, threads=threads,
            folder=self.folder, place=self.place, rounds=rounds, task=self.task,
            parent=parent,
        )  # fmt: skip
