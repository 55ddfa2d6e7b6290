"""Shapley values of models that no TreeSHAP reads: what each input adds to a row's score, by the library shap."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from falaj.definitions.task import Task
from falaj.kernel.extra import library
from falaj.models.metrics import Floats
from falaj.models.runtimes.port import Matrix, Scores

BACKGROUND = 50
"""Rows whose values stand in for an input that is taken away."""

_PREDICTIONS = 500_000
"""How often the model is asked at most, in rows; so that what is found does not hang on the machine's speed."""

_MOST_PERMUTATIONS = 10
_AT_ONCE = 10
NEAREST = 1e-4
"""Scores nearer to 0 or 1 count as so near: the log-odds of a certain answer have no end."""


def rows_within_reach(features: int, most: int) -> int:
    """Return how many rows can be explained with as many questions as are allowed.

    Example:
        >>> rows_within_reach(8, 200), rows_within_reach(400, 200)
        (200, 12)
    """
    return max(1, min(most, _PREDICTIONS // (BACKGROUND * (2 * features + 1))))


def margins(scores: Floats, task: Task) -> Floats:
    """Return the scores where contributions add up: the log-odds of probabilities, and numbers as they are."""
    if task == "regression":
        return scores
    held = np.clip(scores, NEAREST, 1 - NEAREST)
    found: Floats = np.log(held / (1 - held))
    return found


def shapley_values(
    predict: Callable[[Matrix], Scores],
    matrix: Matrix,
    background: Matrix,
    *,
    task: Task,
    seed: int,
    clock: Callable[[], float],
    within_s: float,
) -> tuple[Floats, float]:
    """Return what each input adds to each row's margin, by permutations of the inputs there and back.

    Args:
        predict: Scores rows.
        matrix: The rows to explain, float32, (rows, features).
        background: Rows to take values of absent inputs from, (rows, features).
        task: The model's.
        seed: Of the permutations.
        clock: Tells the time in seconds.
        within_s: How long it may take after the first ten rows: the rows that are not reached are left out.

    Returns:
        float64, (rows reached, features), and the mean margin of the background, from which they start. Each row's
        sum and the mean make its margin, whatever the number of permutations.

    Raises:
        ExtraMissing: The library is not installed.
    """
    shap = _library()

    def margin(rows: Any) -> Floats:
        scores = predict(np.ascontiguousarray(rows, np.float32))
        return margins(np.asarray(scores, np.float64), task)

    features = matrix.shape[1]
    once = 2 * features + 1
    asked = max(1, len(matrix)) * once * max(1, len(background))
    permutations = max(1, min(_MOST_PERMUTATIONS, _PREDICTIONS // asked))
    masker = shap.maskers.Independent(background, max_samples=len(background))
    explainer = shap.PermutationExplainer(margin, masker, seed=seed % 2**32)
    ends_at, found = math.inf, []
    for start in range(0, len(matrix), _AT_ONCE):
        if start == _AT_ONCE:  # the first rows wait for what the library compiles, which says nothing of the model
            ends_at = clock() + within_s
        elif clock() >= ends_at:
            break
        some = explainer(matrix[start : start + _AT_ONCE], max_evals=permutations * once, silent=True)
        found.append(np.asarray(some.values, np.float64))
    return np.concatenate(found), float(margin(background).mean())


def _library() -> Any:
    with warnings.catch_warnings():  # it draws with what matplotlib is about to drop, and we draw nothing with it
        warnings.simplefilter("ignore")
        return library("shap", "explain")  # seconds, and only for models that no TreeSHAP reads
