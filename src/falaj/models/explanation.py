"""Explanation: what a version's scores on test rows rest on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.task import Task
from falaj.models.metrics import Floats, Scored
from falaj.models.predicted import Predicted
from falaj.models.runtimes.lightgbm import LightgbmRuntime
from falaj.models.runtimes.port import Matrix, Scores

MOST_ROWS = 1_000


class Attribution(msgspec.Struct, frozen=True):
    """One input's part in the scores.

    Attributes:
        feature: Its name.
        amount: By TreeSHAP: how far it moves the log-odds of a row, or what is predicted of it, on average, whichever
            way. By permutation: how much auc, or of a regression r2, is lost when its values are dealt out anew.
        direction: By TreeSHAP: the correlation of its values with what they add; above zero, greater values mean
            greater scores. None where it is a text, or does not vary.
    """

    feature: str
    amount: float
    direction: float | None = None


class Explanation(msgspec.Struct, frozen=True):
    """What a version's scores on test rows rest on.

    Attributes:
        method: "treeshap" or "permutation".
        rows: On how many test rows.
        attributions: One for each input, the greatest first.
    """

    method: str
    rows: int
    attributions: tuple[Attribution, ...]


def explain(
    files: Mapping[str, bytes],
    predict: Callable[[Matrix], Scores],
    names: Sequence[str],
    matrix: Matrix,
    labels: NDArray[Any],
    *,
    categorical: Sequence[str] = (),
    seed: int,
    task: Task = "classification",
) -> Explanation:
    """Explain a version's scores: by TreeSHAP where LightGBM or XGBoost made it, and by permutation otherwise.

    Args:
        files: The version's files by runtime.
        predict: Scores rows.
        names: The matrix's columns.
        matrix: Test rows, (rows, features); a thousand of them are used.
        labels: 0 and 1, of a regression any numbers, (rows,).
        categorical: Columns whose numbers are codes.
        seed: Of the choice of rows, and of permutation.
        task: The model's.
    """
    rng = np.random.default_rng([seed, 4])
    if len(matrix) > MOST_ROWS:
        rows = np.sort(rng.choice(len(matrix), MOST_ROWS, replace=False))
        matrix, labels = np.ascontiguousarray(matrix[rows]), labels[rows]
    if "lightgbm" in files:
        added = LightgbmRuntime(files["lightgbm"], len(names)).contributions(matrix)
        return _by_shap(added, names, matrix, categorical)
    if "xgboost" in files:
        return _by_shap(_xgboost_contributions(files["xgboost"], matrix), names, matrix, categorical)
    return _by_permutation(predict, names, matrix, labels, rng, task)


def _xgboost_contributions(model: bytes, matrix: Matrix) -> Floats:
    import xgboost  # half a second, and only where it made the model

    booster = xgboost.Booster()
    booster.load_model(bytearray(model))
    return np.asarray(booster.predict(xgboost.DMatrix(matrix), pred_contribs=True), np.float64)


def _by_shap(added: Floats, names: Sequence[str], matrix: Matrix, categorical: Sequence[str]) -> Explanation:
    found = []
    for i, name in enumerate(names):
        values: NDArray[Any] = matrix[:, i].astype(np.float64)
        known = np.isfinite(values)
        direction = None
        if name not in categorical and known.sum() > 1 and values[known].std() and added[known, i].std():
            direction = float(np.corrcoef(values[known], added[known, i])[0, 1])
        found.append(Attribution(name, float(np.abs(added[:, i]).mean()), direction))
    return Explanation("treeshap", len(matrix), _ranked(found))


def _by_permutation(
    predict: Callable[[Matrix], Scores],
    names: Sequence[str],
    matrix: Matrix,
    labels: NDArray[Any],
    rng: np.random.Generator,
    task: Task,
) -> Explanation:
    def worth(rows: Matrix) -> float:
        scores, once = np.asarray(predict(rows), np.float64), np.ones((1, len(labels)))
        if task == "regression":
            return float(Predicted(scores, labels).measure(once, ["r2"])["r2"][0])
        return float(Scored(scores, labels, 0.5).measure(once, ["auc"])["auc"][0])

    if labels.min() == labels.max():  # of one class there is no auc to lose, and of one number no r2
        return Explanation("permutation", len(matrix), ())
    whole = worth(matrix)
    found = []
    for i, name in enumerate(names):
        dealt = matrix.copy()
        dealt[:, i] = rng.permutation(dealt[:, i])
        found.append(Attribution(name, whole - worth(dealt)))
    return Explanation("permutation", len(matrix), _ranked(found))


def _ranked(found: list[Attribution]) -> tuple[Attribution, ...]:
    return tuple(sorted(found, key=lambda one: (-one.amount, one.feature)))
