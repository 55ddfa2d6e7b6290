"""Explaining: by TreeSHAP where a library's own trees are at hand, by asking the model with shap, or by permutation."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.signature import InputSpec, Signature
from falaj.definitions.task import Task
from falaj.kernel.errors import ExtraMissing
from falaj.models.explanation import Attribution, Contribution, Example, Explanation
from falaj.models.metrics import Floats, Scored
from falaj.models.predicted import Predicted
from falaj.models.runtimes.lightgbm import LightgbmRuntime
from falaj.models.runtimes.port import Matrix, Scores
from falaj.models.shapley import BACKGROUND, rows_within_reach, shapley_values

MOST_ROWS = 1_000
MOST_ASKED = 200
"""Rows that are explained by asking the model, which takes far longer than reading its trees."""

WITHIN_S = 30.0
_ROUNDING = 1e-4  # XGBoost's contributions are float32
_BEFORE_LINK = (
    "What inputs add is in the unit in which the objective sums its trees, such as the logarithm of the prediction, "
    "and not in the prediction's own; greater sums are greater predictions."
)


class Subject(msgspec.Struct, frozen=True):
    """What is explained.

    Attributes:
        predict: Scores rows.
        signature: The matrix's columns.
        matrix: Test rows, (rows, features).
        labels: 0 and 1, of a regression any numbers, (rows,).
        task: The model's.
        threshold: From which score on a decision is positive.
    """

    predict: Callable[[Matrix], Scores]
    signature: Signature
    matrix: Matrix
    labels: NDArray[Any]
    task: Task = "classification"
    threshold: float = 0.5


def explain(
    subject: Subject, files: Mapping[str, bytes], *, seed: int, clock: Callable[[], float] = time.monotonic
) -> Explanation:
    """Explain scores: by TreeSHAP where LightGBM or XGBoost made the version, and else by asking it, with shap.

    Without the library shap other models are explained by permutation, which needs no extra; the note says so.

    Args:
        subject: The model with its test rows; a thousand of them are used, or 200 where the model is asked.
        files: The version's files by runtime.
        seed: Of the choice of rows, and of permutation.
        clock: Tells the time in seconds; asking ends after half a minute.
    """
    rng = np.random.default_rng([seed, 4])
    scores = np.asarray(subject.predict(subject.matrix), np.float64)
    chosen = dict(_chosen(subject, scores))
    sampled = np.sort(rng.permutation(len(scores))[:MOST_ROWS])
    rows = np.concatenate([np.fromiter(chosen.values(), np.int64), sampled])
    added = _by_trees(files, np.ascontiguousarray(subject.matrix[rows]))
    if added is not None:
        told = _told(subject, "treeshap", added[:, :-1], float(added[0, -1]), rows, chosen, scores)
        return msgspec.structs.replace(told, note=_mapped(subject, told))
    asked = rng.permutation(sampled)[: rows_within_reach(subject.matrix.shape[1], MOST_ASKED)]
    background = np.ascontiguousarray(subject.matrix[rng.permutation(len(scores))[:BACKGROUND]])
    rows = np.concatenate([np.fromiter(chosen.values(), np.int64), asked])
    try:
        values, base = shapley_values(
            subject.predict, np.ascontiguousarray(subject.matrix[rows]), background,
            task=subject.task, seed=seed, clock=clock, within_s=WITHIN_S,
        )  # fmt: skip
    except ExtraMissing as error:
        return _by_permutation(subject, sampled, rng, f"{error}; with it rows are explained one by one: {error.hint}")
    return _told(subject, "shap", values, base, rows[: len(values)], chosen, scores)


def _chosen(subject: Subject, scores: Floats) -> Iterator[tuple[str, int]]:
    """Give a few rows that people ask about, each once, and why."""
    if len(scores) == 0:
        return
    wanted = [("the highest score", int(np.argmax(scores))), ("the lowest score", int(np.argmin(scores)))]
    if subject.task == "regression":
        wanted.append(("farthest from its outcome", int(np.argmax(np.abs(scores - subject.labels)))))
    else:
        over = scores >= subject.threshold
        if over.any():
            wanted.insert(1, ("just positive", int(np.argmin(np.where(over, scores, np.inf)))))
        if not over.all():
            wanted.insert(-1, ("just negative", int(np.argmax(np.where(over, -np.inf, scores)))))
    seen: set[int] = set()
    for why, row in wanted:
        if row not in seen:
            yield why, row
        seen.add(row)


def _by_trees(files: Mapping[str, bytes], matrix: Matrix) -> Floats | None:
    """Return what each input adds, and in the last column where rows start; None where no file of trees is there."""
    if "lightgbm" in files:
        return LightgbmRuntime(files["lightgbm"], matrix.shape[1]).contributions(matrix)
    if "xgboost" not in files:
        return None
    import xgboost  # half a second, and only where it made the model

    booster = xgboost.Booster()
    booster.load_model(bytearray(files["xgboost"]))
    return np.asarray(booster.predict(xgboost.DMatrix(matrix), pred_contribs=True), np.float64)


def _mapped(subject: Subject, told: Explanation) -> str:
    """Return what to say where the trees' sums are not the scores, because a map stands between."""
    if subject.task == "regression":
        own = all(abs(one.margin - one.score) <= _ROUNDING * max(1.0, abs(one.score)) for one in told.examples)
        return "" if own else _BEFORE_LINK
    own = all(abs(1 / (1 + np.exp(-one.margin)) - one.score) < _ROUNDING for one in told.examples)
    return "" if own else "The log-odds are those before calibration, which keeps their order."


def _told(
    subject: Subject,
    method: str,
    added: Floats,
    base: float,
    rows: NDArray[np.int64],
    chosen: Mapping[str, int],
    scores: Floats,
) -> Explanation:
    """Return the explanation of what each input adds; the chosen rows come first among the rows."""
    overall = added[len(chosen) :] if len(added) > len(chosen) else added
    matrix = subject.matrix[rows[len(rows) - len(overall) :]]
    examples = [
        _example(subject, why, row, base, added[i], scores)
        for i, (why, row) in enumerate(chosen.items())
        if i < len(added)
    ]
    return Explanation(
        method, len(overall), _attributions(overall, matrix, subject.signature), base, tuple(examples)
    )  # fmt: skip


def _example(subject: Subject, why: str, row: int, base: float, added: Floats, scores: Floats) -> Example:
    specs = subject.signature.inputs
    parts = [
        Contribution(spec.name, _text(spec, subject.matrix[row, i]), float(added[i])) for i, spec in enumerate(specs)
    ]
    parts.sort(key=lambda one: (-abs(one.amount), one.feature))
    margin = base + float(added.sum())
    return Example(why, row, float(subject.labels[row]), float(scores[row]), margin, tuple(parts))


def _text(spec: InputSpec, value: np.float32) -> str:
    if np.isnan(value):
        return ""
    if spec.categories:
        return spec.categories[int(value)]
    return {0.0: "false", 1.0: "true"}.get(float(value), f"{value:g}") if spec.dtype == "bool" else f"{value:g}"


def _attributions(added: Floats, matrix: Matrix, signature: Signature) -> tuple[Attribution, ...]:
    found = []
    for i, spec in enumerate(signature.inputs):
        values: NDArray[Any] = matrix[:, i].astype(np.float64)
        known = np.isfinite(values)
        direction = None
        if spec.dtype != "string" and known.sum() > 1 and values[known].std() and added[known, i].std():
            direction = float(np.corrcoef(values[known], added[known, i])[0, 1])
        found.append(Attribution(spec.name, float(np.abs(added[:, i]).mean()), direction))
    return _ranked(found)


def _by_permutation(
    subject: Subject, sampled: NDArray[np.int64], rng: np.random.Generator, note: str
) -> Explanation:  # fmt: skip
    matrix, labels = np.ascontiguousarray(subject.matrix[sampled]), subject.labels[sampled]
    if len(labels) == 0 or labels.min() == labels.max():  # of one class there is no auc to lose, of one number no r2
        return Explanation("permutation", len(matrix), (), note=note)
    whole = _worth(subject, matrix, labels)
    found = []
    for i, spec in enumerate(subject.signature.inputs):
        dealt = matrix.copy()
        dealt[:, i] = rng.permutation(dealt[:, i])
        found.append(Attribution(spec.name, whole - _worth(subject, dealt, labels)))
    return Explanation("permutation", len(matrix), _ranked(found), note=note)


def _worth(subject: Subject, matrix: Matrix, labels: NDArray[Any]) -> float:
    scores, once = np.asarray(subject.predict(matrix), np.float64), np.ones((1, len(labels)))
    if subject.task == "regression":
        return float(Predicted(scores, labels).measure(once, ["r2"])["r2"][0])
    return float(Scored(scores, labels, 0.5).measure(once, ["auc"])["auc"][0])


def _ranked(found: list[Attribution]) -> tuple[Attribution, ...]:
    return tuple(sorted(found, key=lambda one: (-one.amount, one.feature)))
