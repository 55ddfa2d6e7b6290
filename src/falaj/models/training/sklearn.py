"""scikit-learn: any classifier with probabilities, and any regressor, behind what its kind needs to read the matrix.

Missing numbers are imputed by the median. Trees get everything else as it is. All other estimators would read a text's
code as a size, so texts are spread to a column of 0 and 1 for each value, all 0 for one that is missing or was never
seen; and numbers are standardised.
"""

import importlib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from falaj.definitions.task import Task
from falaj.definitions.trainer import BY_STEPS, Trainer
from falaj.kernel.errors import DefinitionError
from falaj.models.runtimes.port import Matrix, Scores
from falaj.models.training.fitted import Fitted, shares
from falaj.models.training.stepwise import go_on, state_of

_TREES = ("sklearn.tree.", "sklearn.ensemble.")
_ESTIMATE: dict[Task, str] = {"classification": "classify", "regression": "regress"}


def fit_sklearn(
    trainer: Trainer,
    matrix: Matrix,
    labels: NDArray[Any],
    names: tuple[str, ...],
    vocabularies: Mapping[str, int],
    *,
    threads: int,
    task: Task,
    parent: bytes = b"",
) -> Fitted:
    """Fit with scikit-learn; `falaj.models.training.fit` checks the inputs."""
    kind = _find(trainer.estimator, task)
    accepted = inspect.signature(kind).parameters
    params = dict(trainer.params)
    trees = trainer.estimator.startswith(_TREES)
    texts = {} if trees else {i: vocabularies[name] for i, name in enumerate(names) if vocabularies.get(name)}
    preparation = _for_trees() if trees else preparation_of(texts, len(names))
    if "random_state" in accepted:
        params["random_state"] = trainer.seed
    if "n_jobs" in accepted and threads > 1:
        params["n_jobs"] = threads
    try:
        with threadpool_limits(threads), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'n_jobs' has no effect", FutureWarning)
            pipeline = Pipeline([*preparation, (_ESTIMATE[task], kind(**params))])
            if parent:
                go_on(pipeline, trainer, parent, matrix, labels)
            else:
                pipeline.fit(matrix, labels)
    except (TypeError, ValueError) as error:
        raise DefinitionError(
            f"sklearn trainer {trainer.estimator}: {error}", hint="see the estimator's parameters"
        ) from None

    def predict(rows: Matrix) -> Scores:
        if task == "regression":
            numbers: Scores = np.asarray(pipeline.predict(rows), np.float64).reshape(-1)
            return numbers
        scores: Scores = np.asarray(pipeline.predict_proba(rows)[:, 1], np.float64)
        return scores

    state = state_of(pipeline, trainer.estimator) if trainer.estimator == BY_STEPS else b""
    importance = importance_of(pipeline, names, texts)
    return Fitted("sklearn", pipeline, None, predict, names, importance, params, task, state)


def preparation_of(texts: Mapping[int, int], width: int) -> list[tuple[str, Any]]:
    """Return the preparation of a matrix for what reads numbers as sizes.

    Args:
        texts: Column to the length of its vocabulary, for those whose numbers are codes of texts.
        width: How many columns the matrix has.
    """
    return _spread(texts, width) if texts else _standardised()


def _for_trees() -> list[tuple[str, Any]]:
    # Trees learn the same from any scale, and a scaled value that is off by its last bit can cross a threshold.
    return [("impute", SimpleImputer(strategy="median", keep_empty_features=True))]


def _standardised() -> list[tuple[str, Any]]:
    return [*_for_trees(), ("scale", StandardScaler())]


def _spread(texts: Mapping[int, int], width: int) -> list[tuple[str, Any]]:
    """Return the preparation of a matrix of which some columns are codes of texts: place to number of values."""
    parts: list[tuple[str, Any, list[int]]] = []
    numbers = [place for place in range(width) if place not in texts]
    if numbers:
        parts.append(("numbers", Pipeline(_standardised()), numbers))
    for place, values in texts.items():
        known = OneHotEncoder(categories=[np.arange(values, dtype=np.float32)], handle_unknown="ignore",
                              sparse_output=False, dtype=np.float32)  # fmt: skip
        missing = SimpleImputer(strategy="constant", fill_value=-1.0, keep_empty_features=True)
        parts.append((f"text_{place}", Pipeline([("impute", missing), ("spread", known)]), [place]))
    return [("columns", ColumnTransformer(parts, sparse_threshold=0.0))]


def _find(path: str, task: Task) -> Any:
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise DefinitionError(
            f"sklearn trainer: {path!r} does not exist", hint="write it like 'sklearn.linear_model.LogisticRegression'"
        ) from None
    if task == "regression":
        if not inspect.isclass(kind) or not issubclass(kind, RegressorMixin):
            raise DefinitionError(
                f"sklearn trainer: {path!r} is not a regressor",
                hint="choose one, such as sklearn.linear_model.Ridge, or leave task='regression' out",
            )
        return kind
    if not inspect.isclass(kind) or not hasattr(kind, "predict_proba"):
        raise DefinitionError(
            f"sklearn trainer: {path!r} is not a classifier with probabilities",
            hint="choose one that has predict_proba, such as sklearn.linear_model.LogisticRegression",
        )
    return kind


def importance_of(pipeline: Pipeline, names: tuple[str, ...], texts: Mapping[int, int]) -> dict[str, float]:
    """Return each feature's share of what its classifier makes of it; of a text, the sum over its values."""
    classifier = pipeline.steps[-1][1]
    weights = getattr(classifier, "feature_importances_", getattr(classifier, "coef_", None))
    if weights is None:
        return {}
    numbers = [place for place in range(len(names)) if place not in texts]
    owners = [*numbers, *(place for place, values in texts.items() for _ in range(values))]
    totals = np.zeros(len(names))
    np.add.at(totals, owners, np.abs(np.asarray(weights).reshape(-1)[: len(owners)]))
    return shares(names, totals)
