"""LightGBM: gradient-boosted trees."""

from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.task import Task
from falaj.kernel.errors import DefinitionError
from falaj.models.runtimes.port import Matrix, Scores
from falaj.models.training.boosting import Boosting
from falaj.models.training.fitted import Fitted, shares
from falaj.models.training.lightgbm_params import refuse_unknown
from falaj.models.training.rounds import Rounds

OBJECTIVES: dict[Task, tuple[str, ...]] = {
    "classification": ("binary",),
    "regression": ("regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie"),
}
"""By task, the default first."""

_ROUNDS = (
    "num_iterations", "num_iteration", "n_iter", "num_tree", "num_round", "num_rounds", "nrounds", "num_boost_round",
    "n_estimators", "max_iter",
)  # fmt: skip
"""LightGBM's other names of `num_trees`."""


def fit_lightgbm(asked: Boosting) -> Fitted:
    """Fit with LightGBM.

    Raises:
        DefinitionError: A parameter does not exist, or makes the model something else than the task says.
    """
    trees, params = asked.rounds_apart(*_ROUNDS)
    names, threads = asked.names, asked.threads  # what is fitted keeps no hold of the rows
    objective = _objective(params, asked.task)
    params |= {
        "objective": objective,
        "seed": asked.trainer.seed,
        "deterministic": True,
        "force_row_wise": True,  # otherwise LightGBM times both ways and the choice changes the sums
        "num_threads": threads,
        "verbosity": -1,
    }
    try:
        data = lightgbm.Dataset(asked.matrix, asked.labels, feature_name=list(names), params=params, free_raw_data=True)
        before = lightgbm.Booster(model_str=asked.parent.decode()) if asked.parent else None
        looked_at = _looked_at(asked.rounds, data, params)
        booster = lightgbm.train(params, data, num_boost_round=trees, init_model=before, **looked_at)
    except (lightgbm.basic.LightGBMError, TypeError, ValueError) as error:
        raise DefinitionError(f"lightgbm trainer: {error}", hint="see LightGBM's parameters") from None

    def predict(rows: Matrix) -> Scores:
        scores: Scores = np.asarray(booster.predict(rows, num_threads=threads), np.float64)
        return scores

    native = booster.model_to_string().encode()
    importance = shares(names, booster.feature_importance("gain"))
    used = {"num_trees": booster.num_trees(), **params}
    return Fitted("lightgbm", booster, native, predict, names, importance, used, asked.task, native)


def _looked_at(rounds: Rounds | None, data: Any, params: dict[str, Any]) -> dict[str, Any]:
    if rounds is None:
        return {}
    done = 0

    def look(scores: NDArray[Any], _: Any) -> tuple[str, float, bool]:
        nonlocal done
        done += 1
        rounds.after(done, scores)
        return "looked_at", 0.0, True

    beside = lightgbm.Dataset(rounds.matrix, rounds.labels, reference=data, params=params)
    params["metric"] = "none"  # its own would be computed from labels that are none
    return {"valid_sets": [beside], "feval": look}


def _objective(params: dict[str, Any], task: Task) -> str:
    """Take the objective out of the parameters, after seeing that all of them exist."""
    refuse_unknown(params)
    given = [
        params.pop(name) for name in ("objective", "objective_type", "app", "application", "loss") if name in params
    ]
    objective = str(given[0]) if given else OBJECTIVES[task][0]
    if objective not in OBJECTIVES[task]:
        whose = "a binary classifier's" if task == "classification" else f"one of {', '.join(OBJECTIVES[task])}"
        raise DefinitionError(f"lightgbm trainer: objective {objective!r} is not {whose}")
    return objective
