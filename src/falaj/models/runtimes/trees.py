"""Trees: an ensemble of trees as arrays, and its answers by NumPy; `tree_kernel` has them compiled."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.kernel.errors import CorruptionError
from falaj.models.runtimes.port import Matrix, Scores, check_matrix

_DTYPES = {
    "roots": np.int32, "depths": np.int32, "features": np.int32, "thresholds": np.float32, "lefts": np.int32,
    "values": np.float64,
}  # fmt: skip
_DEEPEST = 10_000

GREATEST = np.finfo(np.float32).max


class _Wire(msgspec.Struct, array_like=True):
    width: int
    base: float
    logistic: bool
    arrays: dict[str, bytes]


class Trees(msgspec.Struct, frozen=True, eq=False):
    """All trees of a model, the nodes of each breadth first, so that a right child follows its left one.

    Attributes:
        width: How many columns the model takes.
        base: What the sum begins with.
        logistic: Whether the sum is a log-odds; else it is the probability, or the number.
        roots: int32 per tree: where it begins.
        depths: int32 per tree: how many steps lead from its root to its deepest leaf.
        features: int32 per node: which column of the doubled row it looks at. A missing value is -inf in the row's
            first half and +inf in the second, and the half says which way it goes; a value of +inf is the greatest
            float in both.
        thresholds: float32 per node: left is what is less than this, +inf for every value; NaN in a leaf.
        lefts: int32 per node: the left child; of a leaf its own place less one, so that whoever goes right stays.
        values: float64 per node: what a leaf adds; 0 in other nodes.
    """

    width: int
    base: float
    logistic: bool
    roots: NDArray[Any]
    depths: NDArray[Any]
    features: NDArray[Any]
    thresholds: NDArray[Any]
    lefts: NDArray[Any]
    values: NDArray[Any]

    def encode(self) -> bytes:
        """Return the trees as bytes."""
        arrays = {name: getattr(self, name).astype(dtype).tobytes() for name, dtype in _DTYPES.items()}
        return msgspec.msgpack.encode(_Wire(self.width, self.base, self.logistic, arrays))

    @classmethod
    def decode(cls, raw: bytes, features: int, name: str = "model") -> "Trees":
        """Return the trees of bytes, after seeing that no step leads out of the arrays: compiled code does not look.

        Args:
            raw: What `encode` gave.
            features: How many columns the model must take.
            name: Named in errors.

        Raises:
            CorruptionError: They are no trees, or take another number of columns.
        """
        try:
            wire = msgspec.msgpack.decode(raw, type=_Wire)
            arrays = {part: np.frombuffer(wire.arrays[part], dtype) for part, dtype in _DTYPES.items()}
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            raise CorruptionError(f"artifact {name} holds no trees: {error}", hint="restore it from a backup") from None
        trees = cls(wire.width, wire.base, wire.logistic, **arrays)
        if trees.width != features or not trees._is_sound():
            raise CorruptionError(
                f"artifact {name} holds no trees over {features} columns", hint="restore it from a backup"
            )
        return trees

    def _is_sound(self) -> bool:
        nodes, places = len(self.lefts), np.arange(len(self.lefts))
        sizes = {len(self.features), len(self.thresholds), len(self.values)} == {nodes}
        if not (sizes and nodes and len(self.roots) == len(self.depths) > 0 and self.width > 0):
            return False
        leaf = np.isnan(self.thresholds)
        inner = self.lefts[~leaf]
        return bool(
            ((inner > places[~leaf]) & (inner < nodes - 1)).all()
            and (self.lefts[leaf] == places[leaf] - 1).all()
            and ((self.roots >= 0) & (self.roots < nodes)).all()
            and ((self.depths >= 0) & (self.depths <= _DEEPEST)).all()
            and ((self.features >= 0) & (self.features < 2 * self.width)).all()
        )


class TreesRuntime:
    """Trees that NumPy goes down, all rows and trees a level at a time.

    Args:
        trees: The trees.

    Example:
        >>> numbers = np.array([0], np.int32)
        >>> leaf = np.array([np.nan], np.float32)
        >>> trees = Trees(2, 0.25, False, numbers, numbers, numbers, leaf, numbers - 1, np.array([0.5]))
        >>> TreesRuntime(trees).predict(np.zeros((1, 2), np.float32))
        array([0.75])
    """

    def __init__(self, trees: Trees) -> None:
        self._trees = trees

    @property
    def features(self) -> int:
        """How many columns it takes."""
        return self._trees.width

    def predict(self, matrix: Matrix) -> Scores:
        """Return one score per row."""
        check_matrix(matrix, self._trees.width)
        trees = self._trees
        missing = np.isnan(matrix)
        finite = np.minimum(matrix, GREATEST)
        low, high = np.where(missing, -np.inf, finite), np.where(missing, np.inf, finite)
        doubled = np.concatenate([low, high], axis=1).astype(np.float32)
        places = np.broadcast_to(trees.roots, (len(matrix), len(trees.roots)))
        rows = np.arange(len(matrix))[:, None]
        for _ in range(int(trees.depths.max())):
            left = doubled[rows, trees.features[places]] < trees.thresholds[places]
            places = trees.lefts[places] + ~left
        sums: Scores = trees.base + trees.values[places].sum(axis=1)
        if trees.logistic:
            with np.errstate(over="ignore"):
                sums = 1.0 / (1.0 + np.exp(-sums))
        return sums
