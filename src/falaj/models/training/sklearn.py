"""scikit-learn: any classifier with probabilities, behind median imputation and, but for trees, standardisation."""

import importlib
import inspect
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from falaj.definitions.trainer import Trainer
from falaj.kernel.errors import DefinitionError
from falaj.models.runtimes.port import Matrix, Scores
from falaj.models.training.fitted import Fitted, shares


def fit_sklearn(
    trainer: Trainer, matrix: Matrix, labels: NDArray[np.int8], names: tuple[str, ...], *, threads: int
) -> Fitted:
    """Fit with scikit-learn; `falaj.models.training.fit` checks the inputs."""
    kind = _find(trainer.estimator)
    accepted = inspect.signature(kind).parameters
    params = dict(trainer.params)
    if "random_state" in accepted:
        params["random_state"] = trainer.seed
    if "n_jobs" in accepted and threads > 1:
        params["n_jobs"] = threads
    try:
        with threadpool_limits(threads), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'n_jobs' has no effect", FutureWarning)
            pipeline = Pipeline([*_preparation(trainer.estimator), ("classify", kind(**params))]).fit(matrix, labels)
    except (TypeError, ValueError) as error:
        raise DefinitionError(
            f"sklearn trainer {trainer.estimator}: {error}", hint="see the estimator's parameters"
        ) from None

    def predict(rows: Matrix) -> Scores:
        scores: Scores = np.asarray(pipeline.predict_proba(rows)[:, 1], np.float64)
        return scores

    return Fitted("sklearn", pipeline, None, predict, names, _importance(pipeline, names), params)


def _preparation(estimator: str) -> list[tuple[str, Any]]:
    impute = ("impute", SimpleImputer(strategy="median", keep_empty_features=True))
    if estimator.startswith(("sklearn.tree.", "sklearn.ensemble.")):
        # Trees learn the same either way, and a scaled value that is off by its last bit can cross a threshold.
        return [impute]
    return [impute, ("scale", StandardScaler())]


def _find(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise DefinitionError(
            f"sklearn trainer: {path!r} does not exist", hint="write it like 'sklearn.linear_model.LogisticRegression'"
        ) from None
    if not inspect.isclass(kind) or not hasattr(kind, "predict_proba"):
        raise DefinitionError(
            f"sklearn trainer: {path!r} is not a classifier with probabilities",
            hint="choose one that has predict_proba, such as sklearn.linear_model.LogisticRegression",
        )
    return kind


def _importance(pipeline: Pipeline, names: tuple[str, ...]) -> dict[str, float]:
    classifier = pipeline.named_steps["classify"]
    weights = getattr(classifier, "feature_importances_", getattr(classifier, "coef_", None))
    return {} if weights is None else shares(names, np.asarray(weights).reshape(-1)[: len(names)])
