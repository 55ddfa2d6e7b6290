"""Rounds: looking at a model while it is boosted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.models.runtimes.port import Matrix, Scores


@dataclass(frozen=True)
class Rounds:
    """Who wants to see the scores of some rows while a model is boosted.

    Attributes:
        matrix: The rows, (rows, features).
        every: After how many rounds.
        look: Given the number of rounds so far and the rows' scores; ends the fit by raising.
    """

    matrix: Matrix
    every: int
    look: Callable[[int, Scores], None]

    @property
    def labels(self) -> NDArray[Any]:
        """Zeros: libraries want labels beside the rows, and nothing is computed from them."""
        return np.zeros(len(self.matrix), np.int8)

    def after(self, done: int, scores: NDArray[Any]) -> None:
        """Show the scores after a round, if it is a turn to."""
        if done % self.every == 0:
            self.look(done, np.asarray(scores, np.float64))
