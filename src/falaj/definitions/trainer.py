"""Trainer: the algorithm that fits a model, as a plain value."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.definitions.search import Range
from falaj.definitions.share import share_of
from falaj.definitions.tuning import AutoML, Family, Tuning
from falaj.definitions.warm_start import WarmStart
from falaj.kernel.errors import DefinitionError

BY_STEPS = "sklearn.linear_model.SGDClassifier"
"""The estimator of scikit-learn whose state can be written down and gone on from."""

ONLINE = "river.linear_model.LogisticRegression"
"""The learner of River likewise."""

_ONLINE_PARAMS = ("learning_rate", "intercept_lr", "l2", "clip_gradient")
_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Trainer(msgspec.Struct, metaclass=Declared, frozen=True):
    """An algorithm and its parameters.

    Attributes:
        kind: Which library; "automl" where the search chooses it.
        params: Passed to the library under its own names, except `num_trees`, which means boosting rounds.
        estimator: For scikit-learn, the estimator's import path; for Python, the class as `module:Class`.
        seed: Every source of randomness starts from it.
        folder: For Python, where the class and its files are, from the project's folder.
        warm_start: How a version continues the one in production; None to learn everything anew each time.
        tuning: How further parameters are searched; None where none are.
        automl: How the library and all parameters are searched; None where they are given.
    """

    kind: Literal["lightgbm", "xgboost", "sklearn", "python", "river", "automl"]
    params: dict[str, Any] = {}
    estimator: str = ""
    seed: int = 0
    folder: str = ""
    warm_start: WarmStart | None = None
    tuning: Tuning | None = None
    automl: AutoML | None = None

    @property
    def searches(self) -> bool:
        """Whether something of it is found by trying, before the model is fitted."""
        return self.tuning is not None or self.automl is not None

    def __post_init__(self) -> None:
        self._check_warm_start()
        if self.kind == "river":
            _check_online(self)
        if self.kind == "sklearn" and not self.estimator.startswith("sklearn."):
            raise DefinitionError(
                f"sklearn trainer: estimator {self.estimator!r} is not a scikit-learn class",
                hint="write fj.sklearn('sklearn.linear_model.LogisticRegression', C=1.0)",
            )
        if self.kind == "python" and not _ENTRY.fullmatch(self.estimator):
            raise DefinitionError(
                f"python trainer: {self.estimator!r} names no class",
                hint="write fj.python('net:Net', folder='net') for the class Net of the file net/net.py",
            )
        if self.kind == "python" and not self.folder.strip():
            raise DefinitionError(
                f"python trainer {self.estimator!r}: its folder is empty",
                hint="give the folder that holds the class and its files, and nothing else",
            )

    def _check_warm_start(self) -> None:
        if self.warm_start is None:
            return
        if not isinstance(self.warm_start, WarmStart):
            raise DefinitionError(
                f"{self.kind} trainer: warm_start is {self.warm_start!r}", hint="write warm_start=fj.WarmStart()"
            )
        if self.searches:
            raise DefinitionError(
                f"{self.kind} trainer: a search learns everything anew, and warm_start goes on from what was learned",
                hint="leave one of them out",
            )
        if self.kind == "sklearn" and self.estimator != BY_STEPS:
            raise DefinitionError(
                f"sklearn trainer: the state of {self.estimator!r} cannot be written down and gone on from",
                hint=f"use {BY_STEPS}, fj.lightgbm, fj.xgboost or fj.river, or leave warm_start out",
            )
        if self.kind == "sklearn" and (self.params.get("average") or self.params.get("early_stopping")):
            raise DefinitionError(
                f"sklearn trainer {self.estimator}: a mean of weights and an early stop cannot be gone on from",
                hint="leave average and early_stopping out, or warm_start",
            )


def _check_online(trainer: Trainer) -> None:
    if trainer.estimator != ONLINE:
        raise DefinitionError(
            f"river trainer: the state of {trainer.estimator!r} cannot be written down but by pickle",
            hint=f"{ONLINE} is the learner that is supported; trees and forests of River are not",
        )
    for name, value in trainer.params.items():
        if not isinstance(value, int | float):
            raise DefinitionError(f"river trainer: {name} = {value!r} is no number", hint="give a number")
        if name not in _ONLINE_PARAMS:
            raise DefinitionError(
                f"river trainer: parameter {name!r} is not one that its state can be gone on with",
                hint=f"the parameters are {', '.join(_ONLINE_PARAMS)}",
            )


def _refuse_seed(kind: str, params: Mapping[str, Any]) -> None:
    """Refuse a library's own name of the seed, which `seed` would override unseen.

    Not where a trainer is read back: what was applied before stays readable.
    """
    for name in ("random_state", "random_seed"):
        if name in params:
            raise DefinitionError(
                f"{kind} trainer: {name} = {params[name]!r} would count for nothing", hint="write it as seed=..."
            )


def lightgbm(*, num_trees: int = 100, seed: int = 0, warm_start: WarmStart | None = None, **params: Any) -> Trainer:
    """Gradient-boosted trees by LightGBM; texts come to it as ordinal codes, missing values as they are.

    Args:
        num_trees: Boosting rounds.
        seed: Every source of randomness starts from it.
        warm_start: How a version continues the one in production; without it, all is learned anew.
        params: LightGBM's own parameters.

    Example:
        >>> lightgbm(num_trees=200, learning_rate=0.05).params
        {'num_trees': 200, 'learning_rate': 0.05}
    """
    _refuse_seed("lightgbm", params)
    return Trainer("lightgbm", {"num_trees": num_trees, **params}, seed=seed, warm_start=warm_start)


def xgboost(*, num_trees: int = 100, seed: int = 0, warm_start: WarmStart | None = None, **params: Any) -> Trainer:
    """Gradient-boosted trees by XGBoost; texts come to it as ordinal codes, missing values as they are.

    Args:
        num_trees: Boosting rounds.
        seed: Every source of randomness starts from it.
        warm_start: How a version continues the one in production; without it, all is learned anew.
        params: XGBoost's own parameters.

    Example:
        >>> xgboost(num_trees=200, max_depth=4).params
        {'num_trees': 200, 'max_depth': 4}
    """
    _refuse_seed("xgboost", params)
    return Trainer("xgboost", {"num_trees": num_trees, **params}, seed=seed, warm_start=warm_start)


def sklearn(estimator: str, *, seed: int = 0, warm_start: WarmStart | None = None, **params: Any) -> Trainer:
    """A scikit-learn classifier, or of a regression a regressor, behind the preparation that it needs.

    Missing numbers are imputed by the median. Estimators of `sklearn.tree` and `sklearn.ensemble` get texts as ordinal
    codes; for all others a text becomes a column of 0 and 1 for each value seen in training, and numbers are scaled.

    Args:
        estimator: The class's import path; a classifier must have `predict_proba`.
        seed: Its `random_state`, if it has one.
        warm_start: How a version continues the one in production, by `partial_fit`; for `SGDClassifier` alone.
        params: The estimator's own parameters.

    Example:
        >>> sklearn("sklearn.linear_model.LogisticRegression", C=0.5).params
        {'C': 0.5}
    """
    _refuse_seed("sklearn", params)
    return Trainer("sklearn", params, estimator, seed, warm_start=warm_start)


def river(estimator: str = ONLINE, *, warm_start: WarmStart | None = None, **params: Any) -> Trainer:
    """A learner of River, which learns row by row in the order of the events; needs `falaj[online]`.

    A retraining continues the version in production on the rows since. Numbers are standardised by the mean and the
    variance so far, a missing one counts as the mean, and a text becomes a column of 0 and 1 for each value.

    Args:
        estimator: The class's import path.
        warm_start: When to learn everything anew; `rounds` is the number of passes over the new rows.
        params: Of the learner: `learning_rate` (of plain gradient descent), `intercept_lr`, `l2`, `clip_gradient`.

    Example:
        >>> river(learning_rate=0.05).estimator
        'river.linear_model.LogisticRegression'
    """
    chosen = WarmStart(rounds=1, max_generations=1_000, min_rows=1) if warm_start is None else warm_start
    return Trainer("river", params, estimator, warm_start=chosen)


def python(entry: str, *, folder: str, **params: Any) -> Trainer:
    """A class of your own, which scores in a process of its own.

    It has `load(self, folder)` and `predict(self, matrix)`: float32 rows in the order of the feature service in, NaN
    where a value is missing, and one probability for each row out, or one number of a regression. If it has
    `fit(self, matrix, labels, folder)` too, training calls that first, and the files that it writes into the folder
    belong to the version.

    Args:
        entry: The class, as `module:Class`.
        folder: Where the module and its files are, from the project's folder. All of it is kept with each version.
        params: What the class is made with.

    Example:
        >>> python("net:Net", folder="net", layers=2).params
        {'layers': 2}
    """
    return Trainer("python", params, entry, folder=folder)


def tuned(
    trainer: Trainer,
    space: Mapping[str, Range],
    *,
    trials: int = 50,
    timeout: str = "",
    metric: str = "",
    validation: str | float = "20%",
    folds: int = 1,
    parallel: int = 1,
    prune: Literal["median", "hyperband", "none"] = "median",
) -> Trainer:
    """A trainer some of whose parameters are found by trying, on training rows alone; needs `falaj[tune]`.

    Trials are compared on rows that are kept back from training rows: the latest where the model's split is by time,
    with the label's delay as a gap before them, and drawn by class where it is random. The best parameters then fit all
    training rows. A tuning that is interrupted goes on after the last trial that was done. The same seed gives the same
    trials, unless several run at the same time or the timeout ends them.

    Args:
        trainer: Which library, and the parameters that are given.
        space: Parameter to the values that it may take: `fj.search.int`, `.float`, `.choice`.
        trials: How many are tried.
        timeout: After it no further trial begins, such as "10m"; empty for none.
        metric: `auc` (the default), `average_precision`, `log_loss` or `brier`; of a regression `rmse` (the default),
            `mae`, `wape` or `r2`.
        validation: The share of training rows that validate, where there is one fold.
        folds: Into how many parts training rows are divided, each of which validates; by time, each is judged by what
            came before it.
        parallel: How many trials run at the same time; they share the processors.
        prune: How a trial that promises little is ended early: at boosting rounds, or after a fold.

    Raises:
        DefinitionError: The trainer is tuned already, or an option makes no sense.

    Example:
        >>> from falaj.definitions import search
        >>> tuned(lightgbm(), {"num_leaves": search.int(8, 128)}, trials=20).tuning.trials
        20
    """
    if not isinstance(trainer, Trainer) or not isinstance(space, Mapping):
        raise DefinitionError(
            f"tuned trainer: a trainer and a dict are given as {trainer!r:.100} and {space!r:.100}",
            hint="write fj.tuned(fj.lightgbm(), {'num_leaves': fj.search.int(8, 128)})",
        )
    if trainer.searches:
        raise DefinitionError("tuned trainer: the trainer searches already", hint="give it a plain one: fj.lightgbm()")
    share = share_of(validation, "tuned trainer: validation")
    tuning = Tuning(dict(space), trials, timeout, metric, share, folds, parallel, prune)
    return msgspec.structs.replace(trainer, tuning=tuning)


def automl(
    *,
    budget: str = "60s",
    metric: str = "",
    families: Sequence[Family] = (),
    validation: str | float = "20%",
    seed: int = 0,
) -> Trainer:
    """A trainer that is found within a time, by FLAML; needs `falaj[automl]`.

    What it finds is fitted and exported as if it had been written down. How much is tried depends on the machine, so
    another search may find another one.

    Args:
        budget: How long is searched.
        metric: What is compared by, on validation rows; see `tuned`.
        families: Which trainers are tried, such as ["lightgbm", "xgboost"]; all that the model's task has by default.
        validation: The share of training rows that validate; see `tuned`.
        seed: Every source of randomness starts from it.

    Raises:
        DefinitionError: An option makes no sense.

    Example:
        >>> automl(budget="30s", families=["lightgbm"]).automl.budget_s
        30.0
    """
    search = AutoML(budget, metric, tuple(families), share_of(validation, "automl: validation"))
    return Trainer("automl", seed=seed, automl=search)
