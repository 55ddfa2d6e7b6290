"""Judging: what a trained model's scores are worth on a table."""

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from falaj.definitions.cost import Cost
from falaj.definitions.gate import robust
from falaj.definitions.step import step
from falaj.definitions.task import check_gates_of
from falaj.kernel.errors import DataError
from falaj.models.evaluation import best_threshold, checked_rows
from falaj.models.explaining import Subject
from falaj.models.explaining import explain as explain_scores
from falaj.models.fairness import RATES, count_groups, is_known, widest_gap
from falaj.models.parts import Sides, measure_part, measure_slices, texts_of
from falaj.models.perturbations import deviations_of
from falaj.models.robustness import Subject as Asked
from falaj.models.robustness import measure_robustness
from falaj.steps.rows import labels_of
from falaj.steps.trained import Trained, column_of, matrix_of, runtime_of, signature_of, task_of


@step
def choose_threshold(model: Trained, rows: pa.Table, cost: Cost | None = None) -> float:
    """Return the score from which a decision is positive: the one that costs least, or of the best F1 without a cost.

    Args:
        model: The model.
        rows: Rows that the model was not fitted to, and no test rows: those that it was fitted to flatter it, and what
            costs least there costs more elsewhere.
        cost: What wrong decisions cost.

    Raises:
        DataError: The model predicts a number, a label is missing, or there are no rows.
    """
    if model["task"] == "regression":
        raise DataError("a threshold is of decisions, and a regression makes none", hint="leave choose_threshold out")
    scores, labels = _scored(model, rows)
    return best_threshold(scores, labels, cost)


@step
def evaluate(
    model: Trained,
    rows: pa.Table,
    threshold: float = 0.5,
    cost: Cost | None = None,
    slices: list[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure a model on test rows, with 95 % intervals.

    Args:
        model: The model.
        rows: Test rows.
        threshold: From which score on a decision is positive.
        cost: What wrong decisions cost; with it there is a metric `cost`.
        slices: Columns by whose values it is measured too.
        seed: Of the resampling.

    Returns:
        `metrics`, `intervals`, `rows` and the like of all rows, and `slices` by column.

    Raises:
        DataError: There are no rows, a label is missing or not of the model's task, or a regression is given a cost.
    """
    _refuse_cost(model, cost)
    scores, labels = _scored(model, rows)
    sides = Sides(labels, scores, threshold, cost=cost, task=task_of(model["task"]))
    found: dict[str, Any] = msgspec.to_builtins(measure_part(sides, seed=seed))
    columns = {name: texts_of(column_of(rows, name).to_pylist()) for name in slices or ()}
    names = list(found["metrics"])
    parts = measure_slices(sides, columns, {}, seed=seed, names=names) if columns else ()
    return found | {"slices": {one.column: msgspec.to_builtins(one.parts) for one in parts}}


@step
def fairness(model: Trained, rows: pa.Table, attribute: str, threshold: float = 0.5) -> dict[str, Any]:
    """Compare how groups of people are decided about.

    Args:
        model: The model.
        rows: Test rows.
        attribute: The column whose values are the groups; it need not be a feature.
        threshold: From which score on a decision is positive.

    Returns:
        `groups`, the counts of each; and `gaps`: by rate, the widest difference with its interval.

    Raises:
        DataError: The model predicts a number, a label is missing, or there are no rows.
    """
    if model["task"] == "regression":
        raise DataError(
            "fairness is of decisions, and a regression makes none",
            hint="measure the error in each group: steps.evaluate(model, rows, slices=['group'])",
        )
    scores, labels = _scored(model, rows)
    texts = texts_of(column_of(rows, attribute).to_pylist())
    counted = count_groups(attribute, texts, Sides(labels, scores, threshold))
    gaps = {}
    for rate in RATES:
        told = [group for group in counted.groups if is_known(group) and group.rate(rate) is not None]
        if len(told) > 1:
            gaps[rate] = msgspec.to_builtins(widest_gap(told, rate))
    return {"groups": msgspec.to_builtins(counted.groups), "gaps": gaps}


@step
def explain(model: Trained, rows: pa.Table, seed: int = 0) -> dict[str, Any]:
    """Explain a model's scores: by TreeSHAP where LightGBM or XGBoost made it, and else by asking it.

    Args:
        model: The model.
        rows: Test rows.
        seed: Of the choice of rows.
    """
    scores, labels = _scored(model, rows)
    del scores
    signature = signature_of(model)
    subject = Subject(runtime_of(model).predict, signature, matrix_of(signature, rows), labels, task_of(model["task"]))
    native = model["native"]
    files = {} if native is None else {str(model["trainer"]["kind"]): native.read_bytes()}
    found: dict[str, Any] = msgspec.to_builtins(explain_scores(subject, files, seed=seed))
    return found


@step
def robustness(
    model: Trained,
    rows: pa.Table,
    metric: str = "",
    under: list[str] | None = None,
    mutable: list[str] | None = None,
    strength: float = 0.1,
    threshold: float = 0.5,
    cost: Cost | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure what inputs that are not what they should be do to a metric, as the gate `robust` does.

    Args:
        model: The model.
        rows: Test rows.
        metric: The metric's name; "auc" by default, of a regression "rmse".
        under: Some of "missing", "noise", "units", and of a classification "attack"; the first three by default.
        mutable: The columns that an attacker can change; needed for an attack.
        strength: How far noise and attack move a number, in its standard deviations on these rows.
        threshold: From which score on a decision is positive.
        cost: What wrong decisions cost, for the metric `cost`.
        seed: Of noise, attack and resampling.

    Returns:
        `worst`: the worst of each kind, with the interval of what it costs the metric.

    Raises:
        DefinitionError: There is no such metric or perturbation, or the model's task does not have it.
        DataError: There are no rows, a label is missing, or a regression is given a cost.
    """
    _refuse_cost(model, cost)
    kinds: Any = under or ["missing", "noise", "units"]
    task = task_of(model["task"])
    wanted = metric or ("rmse" if task == "regression" else "auc")
    check = robust(wanted, by=0.0, under=kinds, against="itself", mutable=mutable or (), strength=strength)
    check_gates_of(model["label"], task, [check])
    scores, labels = _scored(model, rows)
    signature, sides = signature_of(model), Sides(labels, scores, threshold, cost=cost, task=task)
    matrix = matrix_of(signature, rows)
    subject = Asked(runtime_of(model).predict, signature, matrix, deviations_of(signature, matrix))
    found = measure_robustness(check, sides, subject, None, seed=seed)
    return {"worst": msgspec.to_builtins(found.worst)}


def _refuse_cost(model: Trained, cost: Cost | None) -> None:
    if cost is not None and model["task"] == "regression":
        raise DataError("a cost is of wrong decisions, and a regression makes none", hint="leave cost out")


def known_labels(model: Trained, rows: pa.Table) -> NDArray[np.float64]:
    """Return the labels of rows, (rows,).

    Raises:
        DataError: There are no rows, or a label is missing.
    """
    labels = labels_of(rows, model["label"])
    if len(labels) == 0 or np.isnan(labels).any():
        raise DataError("there are no rows, or a label is missing", hint="give rows whose label is known")
    return labels


def _scored(model: Trained, rows: pa.Table) -> tuple[NDArray[np.float64], NDArray[Any]]:
    labels = known_labels(model, rows)
    scores = runtime_of(model).predict(matrix_of(signature_of(model), rows))
    checked, known, _ = checked_rows(scores, labels, task=task_of(model["task"]))
    return checked, known
