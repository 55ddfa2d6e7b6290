"""AutoML by FLAML (Wang et al. 2021): trainers and parameters tried within a time, the cheap ones first.

FLAML chooses what to try. What it tries is fitted by our own trainers, so what it finds is what serves.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.gate import HIGHER_IS_BETTER
from falaj.definitions.task import Task
from falaj.definitions.trainer import Trainer, lightgbm, sklearn, xgboost
from falaj.definitions.tuning import Family
from falaj.kernel.extra import library
from falaj.models.runtimes.port import Scores
from falaj.models.training.fitted import Fitted
from falaj.models.training.rows import TrainingRows
from falaj.models.tuning.found import Found, best_of, in_silence, measured, metric_of
from falaj.models.tuning.trial import Trial
from falaj.models.tuning.validation import Fold

_LEARNERS: dict[Family, tuple[str, str]] = {
    "lightgbm": ("lgbm", "LGBMEstimator"),
    "xgboost": ("xgboost", "XGBoostSklearnEstimator"),
    "random_forest": ("rf", "RandomForestEstimator"),
    "extra_trees": ("extra_tree", "ExtraTreesEstimator"),
    "logistic_regression": ("lrl2", "LRL2Classifier"),
}
"""Family to FLAML's name of it, and to the class that knows where to search."""

_SKLEARN: dict[Family, dict[Task, str]] = {
    "random_forest": {
        "classification": "sklearn.ensemble.RandomForestClassifier",
        "regression": "sklearn.ensemble.RandomForestRegressor",
    },
    "extra_trees": {
        "classification": "sklearn.ensemble.ExtraTreesClassifier",
        "regression": "sklearn.ensemble.ExtraTreesRegressor",
    },
    "logistic_regression": {"classification": "sklearn.linear_model.LogisticRegression"},
}
_NOT_OURS = (
    "n_jobs", "verbose", "verbosity", "random_state", "use_label_encoder", "tol", "solver", "penalty", "l1_ratio",
)  # fmt: skip
"""Parameters that our trainers set by themselves, or leave to the library."""


def search_automl(
    trainer: Trainer,
    rows: TrainingRows,
    fold: Fold,
    *,
    threads: int = 1,
    tell: Callable[[float, str], None] = in_silence,
) -> Found:
    """Find a trainer within a time.

    Args:
        trainer: With its `automl`.
        rows: Training rows; no test row is among them.
        fold: Which of them train and which judge.
        threads: How many threads a fit may use.
        tell: Given the share of the time that is gone, and words.

    Raises:
        ExtraMissing: FLAML is not installed.
        DataError: Nothing came to a number within the time.
    """
    assert trainer.automl is not None
    wanted, metric = trainer.automl, metric_of(rows.task, trainer.automl.metric)
    train, judge = (rows.at(part) for part in fold)
    tried: list[Trial] = []
    began = time.monotonic()

    def note(family: Family, params: dict[str, Any], value: float, seconds: float) -> None:
        tried.append(
            Trial(len(tried), params, "done", value if np.isfinite(value) else None, (), round(seconds, 3), family)
        )
        tell(
            min(1.0, (time.monotonic() - began) / wanted.budget_s),
            f"trial {len(tried)}: {family}, {metric} {value:.4f}",
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # FLAML and what it loads warn of their own dependencies
        _run(trainer, train, judge, threads, note)
    best = best_of(tried, metric)
    assert best.value is not None
    plain = trainer_of(best.family, best.params, trainer.seed, rows.task)  # type: ignore[arg-type]
    return Found(plain, metric, best.value, tuple(tried))


def trainer_of(family: Family, params: dict[str, Any], seed: int, task: Task = "classification") -> Trainer:
    """Return the plain trainer of a family with FLAML's parameters.

    Args:
        family: Which library or estimator.
        params: As the library knows them.
        seed: Every source of randomness starts from it.
        task: What is to be learned.

    Example:
        >>> trainer_of("lightgbm", {"n_estimators": 20, "num_leaves": 6}, 0).params
        {'num_trees': 20, 'num_leaves': 6}
    """
    given = {name: value for name, value in params.items() if name not in _NOT_OURS}
    if family in _SKLEARN:
        return sklearn(_SKLEARN[family][task], seed=seed, **given)
    trees = int(given.pop("n_estimators", 100))
    made = lightgbm if family == "lightgbm" else xgboost
    return made(num_trees=trees, seed=seed, **given)


def _run(
    trainer: Trainer,
    train: TrainingRows,
    judge: TrainingRows,
    threads: int,
    note: Callable[[Family, dict[str, Any], float, float], None],
) -> None:
    assert trainer.automl is not None
    wanted, task = trainer.automl, train.task
    metric = metric_of(task, wanted.metric)
    flaml = library("flaml", "automl")
    models = library("flaml.automl.model", "automl")
    search = flaml.AutoML()
    families = wanted.families_of(task)
    for family in families:
        name, kind = _LEARNERS[family]
        search.add_learner(f"falaj_{name}", _learner(getattr(models, kind), family, trainer.seed, train, threads))

    def judged(_x: Any, _y: Any, estimator: Any, *_: Any, **__: Any) -> tuple[float, dict[str, float]]:
        value = measured(task, metric, estimator.scores(judge.matrix), judge.labels)
        note(estimator.family, estimator.chosen, value, estimator.seconds)
        return (-value if HIGHER_IS_BETTER[metric] else value), {}

    search.fit(
        train.matrix,
        train.labels,
        X_val=judge.matrix,
        y_val=judge.labels,
        task=task,
        metric=judged,
        time_budget=wanted.budget_s,
        estimator_list=[f"falaj_{_LEARNERS[family][0]}" for family in families],
        eval_method="holdout",
        sample=False,  # trials on fewer rows would be compared with those on all
        skip_transform=True,
        retrain_full=False,
        seed=trainer.seed,
        n_jobs=threads,
        verbose=0,
        log_file_name="",
        mlflow_logging=False,
        early_stop=False,
    )


def _learner(base: Any, family: Family, seed: int, train: TrainingRows, threads: int) -> Any:
    """Return FLAML's class of a family, whose search space it has, fitting by our trainer."""

    class Learner(base):  # type: ignore[misc]
        fitted: Fitted
        seconds = 0.0
        chosen: dict[str, Any]

        def fit(self, X_train: Any, y_train: Any, budget: Any = None, **_: Any) -> float:  # noqa: N803 - FLAML's name
            del X_train, y_train, budget
            self.family = family
            self.chosen = {name: _plain(value) for name, value in self.params.items() if name not in _NOT_OURS}
            began = time.monotonic()
            self.fitted = train.fit(trainer_of(family, self.chosen, seed, train.task), threads=threads)
            self.seconds = time.monotonic() - began
            return self.seconds

        def scores(self, matrix: NDArray[np.float32]) -> Scores:
            return self.fitted.predict(matrix)

        def predict_proba(self, X: Any, **_: Any) -> Any:  # noqa: N803 - FLAML's name
            positive = self.fitted.predict(X)
            return np.column_stack([1 - positive, positive])

        def predict(self, X: Any, **_: Any) -> Any:  # noqa: N803 - FLAML's name
            scores = self.fitted.predict(X)
            return scores if train.task == "regression" else (scores >= 0.5).astype(np.int64)

    return Learner


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
