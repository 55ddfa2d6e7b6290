"""XGBoost: gradient-boosted trees."""

import warnings
from typing import Any

import numpy as np
import xgboost

from falaj.definitions.task import Task
from falaj.kernel.errors import DefinitionError
from falaj.models.runtimes.port import Matrix, Scores
from falaj.models.training.boosting import Boosting
from falaj.models.training.fitted import Fitted, shares
from falaj.models.training.rounds import Rounds

OBJECTIVES: dict[Task, tuple[str, ...]] = {
    "classification": ("binary:logistic",),
    "regression": (
        "reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:gamma", "reg:tweedie", "count:poisson",
    ),
}  # fmt: skip
"""By task, the default first."""


def fit_xgboost(asked: Boosting) -> Fitted:
    """Fit with XGBoost.

    Raises:
        DefinitionError: A parameter does not exist, or makes the model something else than the task says.
    """
    (trees, params), task, names = asked.rounds_apart(), asked.task, asked.names
    objective = params.get("objective", OBJECTIVES[task][0])
    if objective not in OBJECTIVES[task]:
        what = "gives no probability of one class" if task == "classification" else "predicts no number"
        raise DefinitionError(
            f"xgboost trainer: objective {objective!r} {what}", hint=f"use one of {', '.join(OBJECTIVES[task])}"
        )
    params |= {
        "objective": objective,
        "seed": asked.trainer.seed,
        "nthread": asked.threads,
        "validate_parameters": True,
    }
    booster = _train(asked, params, trees)

    def predict(rows: Matrix) -> Scores:
        scores: Scores = booster.inplace_predict(rows).astype(np.float64)
        return scores

    gains = booster.get_score(importance_type="total_gain")
    importance = shares(names, [gains.get(f"f{i}", 0.0) for i in range(len(names))])
    native = bytes(booster.save_raw("json"))
    used = {"num_trees": booster.num_boosted_rounds(), **params}
    return Fitted("xgboost", booster, native, predict, names, importance, used, task, native)


def _train(asked: Boosting, params: dict[str, Any], trees: int) -> xgboost.Booster:
    before = xgboost.Booster(model_file=bytearray(asked.parent)) if asked.parent else None
    try:
        with warnings.catch_warnings(record=True) as noticed:
            warnings.simplefilter("always")
            data = xgboost.DMatrix(asked.matrix, asked.labels)
            booster = xgboost.train(params, data, trees, xgb_model=before, **_looked_at(asked.rounds))
    except (xgboost.core.XGBoostError, TypeError, ValueError) as error:
        raise DefinitionError(f"xgboost trainer: {_first_line(error)}", hint="see XGBoost's parameters") from None
    for notice in noticed:
        # XGBoost only warns of a name that it does not know, and trains another model than was meant.
        if "are not used" in str(notice.message):
            unused = str(notice.message).partition("{")[2].partition("}")[0].replace('"', "").strip()
            raise DefinitionError(f"xgboost trainer: it knows no parameter {unused}", hint="see XGBoost's parameters")
        warnings.warn_explicit(notice.message, notice.category, notice.filename, notice.lineno)
    return booster


def _looked_at(rounds: Rounds | None) -> dict[str, Any]:
    if rounds is None:
        return {}
    looking, beside = rounds, xgboost.DMatrix(rounds.matrix)

    class Look(xgboost.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: Any) -> bool:
            del evals_log
            if (epoch + 1) % looking.every == 0:
                looking.after(epoch + 1, model.predict(beside))
            return False

    return {"callbacks": [Look()]}


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
