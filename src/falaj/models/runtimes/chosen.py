"""ChosenRuntime: the runtimes of one model that agree to the last bit, each asked where it is the fastest."""

import logging
import time
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from falaj.kernel.errors import FalajError
from falaj.models.parity import TOLERANCE, compare
from falaj.models.runtimes.port import Matrix, Runtime, Scores

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 512)
_ROUNDS = 5
_PROBE_ROWS = 512

_log = logging.getLogger("falaj.models.runtimes")


class ChosenRuntime:
    """A model that scores by whichever of its runtimes is fastest for that many rows.

    Two runtimes add a model's parts in other orders, or as other floats, and differ in the last digits. A row would
    then get another score with other rows beside it, or from another worker, so only such runtimes take turns as give
    the same bits as the preferred one.

    Args:
        runtimes: By name, all of one model, the one whose answers count first. One whose answers to random rows, some
            values of which are missing, differ from the first's by more than the last digits is left out.
        preferred: Whose bits count; None to let all take turns, last digits or not.

    Attributes:
        names: Which runtime is asked for up to 1, 2, 4, ... rows.

    Example:
        >>> from falaj.models.runtimes.port import Runtime
        >>> class Half:
        ...     features = 2
        ...     def predict(self, matrix):
        ...         return np.full(len(matrix), 0.5)
        >>> ChosenRuntime([("half", Half())], preferred="half").names[0]
        'half'
    """

    def __init__(self, runtimes: Sequence[tuple[str, Runtime]], *, preferred: str | None) -> None:
        (first_name, first), *others = runtimes
        rows = _probe_rows(first.features)
        expected = first.predict(rows)
        agreeing = [(first_name, first), *((n, r) for n, r in others if _agrees(n, r, rows, expected))]
        times = [[_fastest_s(runtime, rows[:size]) for size in _SIZES] for _, runtime in agreeing]
        turns = range(len(agreeing)) if preferred is None else _same_bits(agreeing, preferred, rows)
        best = [min(turns, key=lambda which: times[which][at]) for at in range(len(_SIZES))]
        self._features = first.features
        self._runtimes = [agreeing[which][1] for which in best]
        self._most = len(_SIZES) - 1
        self.names = tuple(agreeing[which][0] for which in best)

    @property
    def features(self) -> int:
        """How many columns it takes."""
        return self._features

    def predict(self, matrix: Matrix) -> Scores:
        """Return one score per row."""
        return self._runtimes[min(bisect_left(_SIZES, len(matrix)), self._most)].predict(matrix)


def _probe_rows(features: int) -> Matrix:
    rng = np.random.default_rng(0)
    # Of all sizes, so that whatever the thresholds are, rows take different ways through the trees
    rows = rng.normal(size=(_PROBE_ROWS, features)) * 10.0 ** rng.uniform(-3, 4, (_PROBE_ROWS, features))
    rows[rng.random(rows.shape) < 0.1] = np.nan
    rows[rng.random(rows.shape) < 0.1] = 0.0
    return np.ascontiguousarray(rows, np.float32)


def _agrees(name: str, runtime: Runtime, rows: Matrix, expected: Scores) -> bool:
    try:
        # Of probabilities the range is at most 1. Of a regression it is that of rows like none it has seen, so that
        # this finds another model, and its export has shown that it is as near on real rows.
        tolerance = TOLERANCE * max(1.0, float(np.ptp(expected)))
        parity = compare(expected, runtime.predict(rows), tolerance)
    except FalajError as error:
        _log.warning("the runtime %s does not answer and is not used: %s", name, error.message)
        return False
    if not parity.holds:
        _log.warning("the runtime %s differs by %s and is not used", name, parity.max_abs)
    return parity.holds


def _same_bits(agreeing: Sequence[tuple[str, Runtime]], preferred: str, rows: Matrix) -> list[int]:
    """Return the places of the runtimes with the bits of the preferred one; of the first, where that is not there."""
    bits = [runtime.predict(rows).tobytes() for _, runtime in agreeing]
    names = [name for name, _ in agreeing]
    wanted = bits[names.index(preferred) if preferred in names else 0]
    return [place for place, found in enumerate(bits) if found == wanted]


def _fastest_s(runtime: Runtime, rows: Matrix) -> float:
    runtime.predict(rows)
    spent = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        runtime.predict(rows)
        spent.append(time.perf_counter() - began)
    return min(spent)
