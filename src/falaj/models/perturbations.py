"""Perturbations: rows as they come when something upstream is broken, or when somebody means harm."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.signature import Signature
from falaj.kernel.digest import digest_bytes
from falaj.models.metrics import Floats
from falaj.models.runtimes.port import Matrix, Scores

Predict = Callable[[Matrix], Scores]

UNIT_ERRORS = (100.0, 0.001)
ATTACK_STEPS = 30
"""How often an attacker may ask for the score of a changed row."""


class Perturbation(msgspec.Struct, frozen=True):
    """One way in which inputs are not what they should be.

    Attributes:
        kind: missing, noise, units or attack.
        feature: The input concerned; empty where it is all of them.
        factor: For units: what its values are multiplied with.
    """

    kind: str
    feature: str = ""
    factor: float = 1.0

    @property
    def label(self) -> str:
        """How reports call it.

        Example:
            >>> Perturbation("units", "amount", 100.0).label
            'amount times 100'
        """
        if self.kind == "missing":
            return f"{self.feature} missing"
        return f"{self.feature} times {self.factor:g}" if self.kind == "units" else self.kind


def perturbations_of(kind: str, signature: Signature) -> Iterator[Perturbation]:
    """Give the perturbations of a kind that a model's inputs can meet.

    Args:
        kind: missing, noise, units or attack.
        signature: The inputs.
    """
    if kind == "missing":
        yield from (Perturbation(kind, spec.name) for spec in signature.inputs)
    elif kind == "units":
        numbers = [spec.name for spec in signature.inputs if spec.dtype in ("float64", "int64")]
        yield from (Perturbation(kind, name, factor) for name in numbers for factor in UNIT_ERRORS)
    else:
        yield Perturbation(kind)


def perturbed(
    perturbation: Perturbation,
    signature: Signature,
    matrix: Matrix,
    *,
    deviations: Mapping[str, float],
    strength: float,
    seed: int,
) -> Matrix:
    """Return rows under a perturbation that is no attack.

    Noise comes from the seed and the input's name, so that two models with an input in common meet the same.

    Args:
        perturbation: Which.
        signature: The matrix's columns.
        matrix: The rows, (rows, features).
        deviations: Input to its standard deviation on training rows.
        strength: How far noise moves a number, in standard deviations.
        seed: Of the noise.
    """
    changed = matrix.copy()
    for column, spec in enumerate(signature.inputs):
        if perturbation.kind == "noise" and spec.dtype in ("float64", "int64"):
            rng = np.random.default_rng([seed, int(digest_bytes(spec.name.encode())[:8], 16)])
            step = strength * deviations.get(spec.name, 0.0)
            changed[:, column] += (rng.standard_normal(len(matrix)) * step).astype(np.float32)
        elif spec.name == perturbation.feature and perturbation.kind == "missing":
            changed[:, column] = np.nan
        elif spec.name == perturbation.feature:
            changed[:, column] *= np.float32(perturbation.factor)
    return changed


def deviations_of(signature: Signature, matrix: Matrix) -> dict[str, float]:
    """Return the standard deviation of each input that is a number, of those of its values that are known."""
    found = {}
    for column, spec in enumerate(signature.inputs):
        known = matrix[:, column][np.isfinite(matrix[:, column])].astype(np.float64)
        if spec.dtype in ("float64", "int64") and len(known):
            found[spec.name] = float(known.std())
    return found


def attack(
    predict: Predict,
    signature: Signature,
    matrix: Matrix,
    *,
    mutable: Sequence[str],
    deviations: Mapping[str, float],
    strength: float,
    seed: int,
    steps: int = ATTACK_STEPS,
) -> Floats:
    """Return the lowest scores that an attacker finds, who sees nothing but scores and can change some inputs a little.

    Each step draws a change of every mutable input: a number moves by no more than `strength` standard deviations from
    where it was, a text becomes another known one. The row with the lowest score so far is gone on from.

    Args:
        predict: Scores rows.
        signature: The matrix's columns.
        matrix: The rows, (rows, features).
        mutable: The inputs that can change.
        deviations: Input to its standard deviation on training rows.
        strength: How far a number may move, in standard deviations.
        seed: Of the search.
        steps: How often each row is asked about.

    Returns:
        float64, (rows,).
    """
    rng = np.random.default_rng([seed, 1])
    best_rows, best = matrix.copy(), np.asarray(predict(matrix), np.float64)
    columns = [(i, spec) for i, spec in enumerate(signature.inputs) if spec.name in mutable]
    for _ in range(steps):
        tried = best_rows.copy()
        for column, spec in columns:
            moved = rng.random(len(matrix)) < 0.5  # not all at once: the score may hang on one of them
            reach = strength * deviations.get(spec.name, 0.0)
            tried[moved, column] = _drawn(rng, spec.categories, matrix[moved, column], reach)
        scores = np.asarray(predict(tried), np.float64)
        lower = scores < best
        best_rows[lower], best[lower] = tried[lower], scores[lower]
    return best


def _drawn(
    rng: np.random.Generator, categories: Sequence[str], values: NDArray[np.float32], reach: float
) -> NDArray[np.float32]:
    if categories:
        return rng.integers(0, len(categories), len(values)).astype(np.float32)
    # Half of the changes go all the way: what a tree decides by is mostly beyond a small step.
    ends, between = rng.choice([-1.0, 1.0], len(values)), rng.uniform(-1, 1, len(values))
    step = np.where(rng.random(len(values)) < 0.5, ends, between)
    return values + (step * reach).astype(np.float32)
