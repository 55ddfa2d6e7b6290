"""TreeKernel: trees compiled for this processor, where `falaj[kernels]` is installed.

A step down a tree takes one comparison and no branch that the processor could guess wrongly; eight rows go down
together, or four trees for a row that is alone, so that the delays of memory overlap.
"""

from typing import Any

import numpy as np

from falaj.models.runtimes.port import Matrix, Scores, check_matrix
from falaj.models.runtimes.trees import GREATEST, Trees
from falaj.models.runtimes.without import without

with without("scipy"):  # numba takes it for linear algebra, which is not done here
    from numba import float32, float64, int32, int64, njit, void
    from numba.types import Array


class TreeKernel:
    """Trees that compiled code goes down.

    Args:
        trees: The trees.
    """

    def __init__(self, trees: Trees) -> None:
        self._trees = trees
        self._arrays = (trees.features, trees.thresholds, trees.lefts, trees.values, trees.roots, trees.depths)

    @property
    def features(self) -> int:
        """How many columns it takes."""
        return self._trees.width

    def predict(self, matrix: Matrix) -> Scores:
        """Return one score per row."""
        trees = self._trees
        check_matrix(matrix, trees.width)
        if not matrix.flags.aligned:  # as the bytes of a request may lie
            matrix = matrix.copy()
        scores = np.empty(len(matrix), np.float64)
        _score(matrix, *self._arrays, trees.base, int(trees.logistic), scores)
        return scores


@njit(nogil=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _double(row: Any, doubled: Any) -> None:
    width = len(row)
    for column in range(width):
        value = row[column]
        missing = value != value
        value = GREATEST if value > GREATEST else value
        doubled[column] = -np.inf if missing else value
        doubled[width + column] = np.inf if missing else value


@njit(nogil=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _eight(
    rows: Any, features: Any, thresholds: Any, lefts: Any, values: Any, roots: Any, depths: Any, base: float, sums: Any
) -> None:
    t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = base
    for tree in range(len(roots)):
        a = b = c = d = e = f = g = h = roots[tree]
        for _ in range(depths[tree]):
            a = lefts[a] + (not rows[0, features[a]] < thresholds[a])
            b = lefts[b] + (not rows[1, features[b]] < thresholds[b])
            c = lefts[c] + (not rows[2, features[c]] < thresholds[c])
            d = lefts[d] + (not rows[3, features[d]] < thresholds[d])
            e = lefts[e] + (not rows[4, features[e]] < thresholds[e])
            f = lefts[f] + (not rows[5, features[f]] < thresholds[f])
            g = lefts[g] + (not rows[6, features[g]] < thresholds[g])
            h = lefts[h] + (not rows[7, features[h]] < thresholds[h])
        t0, t1, t2, t3 = t0 + values[a], t1 + values[b], t2 + values[c], t3 + values[d]
        t4, t5, t6, t7 = t4 + values[e], t5 + values[f], t6 + values[g], t7 + values[h]
    sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7] = t0, t1, t2, t3, t4, t5, t6, t7


@njit(nogil=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _one(row: Any, features: Any, thresholds: Any, lefts: Any, values: Any, roots: Any, depths: Any) -> float:
    total, tree = 0.0, 0
    while tree + 4 <= len(roots):
        a, b, c, d = roots[tree], roots[tree + 1], roots[tree + 2], roots[tree + 3]
        for _ in range(max(max(depths[tree], depths[tree + 1]), max(depths[tree + 2], depths[tree + 3]))):
            a = lefts[a] + (not row[features[a]] < thresholds[a])
            b = lefts[b] + (not row[features[b]] < thresholds[b])
            c = lefts[c] + (not row[features[c]] < thresholds[c])
            d = lefts[d] + (not row[features[d]] < thresholds[d])
        total += values[a] + values[b] + values[c] + values[d]
        tree += 4
    for last in range(tree, len(roots)):
        a = roots[last]
        for _ in range(depths[last]):
            a = lefts[a] + (not row[features[a]] < thresholds[a])
        total += values[a]
    return total


def _score(
    matrix: Any, features: Any, thresholds: Any, lefts: Any, values: Any, roots: Any, depths: Any, base: float,
    logistic: int, scores: Any,
) -> None:  # fmt: skip
    rows = len(matrix)
    doubled = np.empty((8, 2 * matrix.shape[1]), np.float32)
    begin = 0
    while begin + 8 <= rows:
        for row in range(8):
            _double(matrix[begin + row], doubled[row])
        _eight(doubled, features, thresholds, lefts, values, roots, depths, base, scores[begin : begin + 8])
        begin += 8
    for row in range(begin, rows):
        _double(matrix[row], doubled[0])
        scores[row] = base + _one(doubled[0], features, thresholds, lefts, values, roots, depths)
    if logistic:
        for row in range(rows):
            scores[row] = 1.0 / (1.0 + np.exp(-scores[row]))


def _read(kind: Any, dimensions: int = 1) -> Any:
    return Array(kind, dimensions, "C", readonly=True)


_INT32S = _read(int32)
# For these types alone and at once, since what is compiled when first asked for keeps somebody waiting. An array that
# may be written to is taken as one that may not.
_TYPES = (
    _read(float32, 2), _INT32S, _read(float32), _INT32S, _read(float64), _INT32S, _INT32S, float64, int64, float64[::1],
)  # fmt: skip
with without("scipy"):
    _score = njit([void(*_TYPES)], nogil=True, error_model="numpy")(_score)
