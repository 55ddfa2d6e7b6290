"""CalibratedRuntime: a model whose scores become probabilities by a map that was learned on rows kept back for it."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.kernel.errors import CorruptionError
from falaj.models.runtimes.port import Matrix, Runtime, Scores


class Calibration(msgspec.Struct, frozen=True):
    """A map from scores to probabilities that never falls: straight lines between points.

    Whatever the method that found it, it is kept in this one form, so that training, the gate and the gateway compute
    the same numbers.

    Attributes:
        method: "isotonic" or "sigmoid".
        scores: The points' scores, rising, from 0 to 1.
        probabilities: What they become; never falling.
        rows: How many rows it was learned on.
    """

    method: str
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    rows: int = 0

    def apply(self, scores: NDArray[Any]) -> Scores:
        """Return the probabilities of scores, float64, (rows,).

        Example:
            >>> Calibration("sigmoid", (0.0, 0.5, 1.0), (0.0, 0.1, 1.0)).apply(np.array([0.25, 0.75]))
            array([0.05, 0.55])
        """
        probabilities: Scores = np.interp(scores, self.scores, self.probabilities)
        return probabilities

    def encode(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, raw: bytes, name: str = "calibration") -> "Calibration":
        """Return the calibration of JSON.

        Args:
            raw: What `encode` gave.
            name: Named in errors.

        Raises:
            CorruptionError: It is none, or its points do not rise.
        """
        try:
            found = msgspec.json.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
            raise CorruptionError(
                f"artifact {name} holds no calibration: {error}", hint="restore it from a backup"
            ) from None
        scores, probabilities = np.array(found.scores), np.array(found.probabilities)
        sound = len(scores) == len(probabilities) >= 2 and bool(
            (np.diff(scores) > 0).all()
            and (np.diff(probabilities) >= 0).all()
            and probabilities[0] >= 0
            and probabilities[-1] <= 1
        )
        if not sound:
            raise CorruptionError(
                f"artifact {name} holds no calibration: its points do not rise", hint="restore it from a backup"
            )
        return found


class CalibratedRuntime:
    """A runtime and the map of its scores.

    Args:
        runtime: The model.
        calibration: The map.
    """

    def __init__(self, runtime: Runtime, calibration: Calibration) -> None:
        self._runtime = runtime
        self._scores = np.array(calibration.scores)
        self._probabilities = np.array(calibration.probabilities)

    @property
    def features(self) -> int:
        """How many columns it takes."""
        return self._runtime.features

    def predict(self, matrix: Matrix) -> Scores:
        """Return one probability per row."""
        probabilities: Scores = np.interp(self._runtime.predict(matrix), self._scores, self._probabilities)
        return probabilities
