"""LightGBM: gradient-boosted trees."""

import ctypes
import json
from functools import cache
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.trainer import Trainer
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import did_you_mean
from falaj.models.runtimes.library import open_library
from falaj.models.runtimes.port import Matrix, Scores
from falaj.models.training.fitted import Fitted, shares


def fit_lightgbm(
    trainer: Trainer, matrix: Matrix, labels: NDArray[np.int8], names: tuple[str, ...], *, threads: int
) -> Fitted:
    """Fit with LightGBM; `falaj.models.training.fit` checks the inputs."""
    params = dict(trainer.params)
    rounds = int(params.pop("num_trees", 100))
    _check_params(params)
    params |= {
        "objective": "binary",
        "seed": trainer.seed,
        "deterministic": True,
        "force_row_wise": True,  # otherwise LightGBM times both ways and the choice changes the sums
        "num_threads": threads,
        "verbosity": -1,
    }
    try:
        data = lightgbm.Dataset(matrix, labels, feature_name=list(names), params=params, free_raw_data=True)
        booster = lightgbm.train(params, data, num_boost_round=rounds)
    except (lightgbm.basic.LightGBMError, TypeError, ValueError) as error:
        raise DefinitionError(f"lightgbm trainer: {error}", hint="see LightGBM's parameters") from None

    def predict(rows: Matrix) -> Scores:
        scores: Scores = np.asarray(booster.predict(rows, num_threads=threads), np.float64)
        return scores

    native = booster.model_to_string().encode()
    importance = shares(names, booster.feature_importance("gain"))
    return Fitted("lightgbm", booster, native, predict, names, importance, {"num_trees": rounds, **params})


def _check_params(params: dict[str, Any]) -> None:
    known = _known_params()
    for name in params:
        if name not in known:
            raise DefinitionError(
                f"lightgbm trainer: parameter {name!r} does not exist", hint=did_you_mean(name, known)
            )
    objective = next(
        (params[name] for name in ("objective", "objective_type", "app", "loss") if name in params), "binary"
    )
    if objective != "binary":
        raise DefinitionError(f"lightgbm trainer: objective {objective!r} is not a binary classifier's")


@cache
def _known_params() -> frozenset[str]:
    # LightGBM ignores a name that it does not know, so a misspelt parameter would train another model unseen.
    library = open_library("lightgbm", "lib_lightgbm")
    length = ctypes.c_int64()
    library.LGBM_DumpParamAliases(ctypes.c_int64(0), ctypes.byref(length), ctypes.c_char_p(None))
    buffer = ctypes.create_string_buffer(length.value)
    library.LGBM_DumpParamAliases(length, ctypes.byref(length), buffer)
    aliases: dict[str, list[str]] = json.loads(buffer.value)
    return frozenset(aliases).union(*aliases.values())
