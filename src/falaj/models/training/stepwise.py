"""Stepwise: scikit-learn's `SGDClassifier`, gone on with on more rows from where another training stopped."""

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from falaj.definitions.trainer import Trainer
from falaj.models.runtimes.port import Matrix
from falaj.models.training.linear_state import LinearState, numbers_of, put_preparation, read_state


def state_of(pipeline: Pipeline, estimator: str) -> bytes:
    """Return what a later training goes on from.

    Args:
        pipeline: A fitted preparation and classifier.
        estimator: The classifier's import path.
    """
    found, classifier = numbers_of(pipeline), pipeline.named_steps["classify"]
    imputer, scaler = (None, None) if found is None else found
    return LinearState(
        estimator,
        fills=() if imputer is None else tuple(map(float, imputer.statistics_)),
        means=() if scaler is None else tuple(map(float, scaler.mean_)),
        spreads=() if scaler is None else tuple(map(float, scaler.scale_)),
        counts=(),
        weights=tuple(map(float, classifier.coef_[0])),
        intercept=float(classifier.intercept_[0]),
        steps=float(classifier.t_),
    ).encode()


def go_on(pipeline: Pipeline, trainer: Trainer, parent: bytes, matrix: Matrix, labels: NDArray[np.int8]) -> None:
    """Let a pipeline stand where another one stopped, and learn more rows.

    Rows are prepared as they were then: weights mean nothing on another scale.

    Args:
        pipeline: A preparation and a classifier, neither of them fitted.
        trainer: Says how many passes over the rows.
        parent: State to go on from.
        matrix: The rows.
        labels: 0 and 1, (rows,).

    Raises:
        DataError: The state is that of another estimator or other columns.
    """
    assert trainer.warm_start is not None
    preparation, classifier = pipeline[:-1], pipeline.named_steps["classify"]
    width = preparation.fit_transform(matrix).shape[1]
    found = numbers_of(preparation)
    state = read_state(parent, trainer.estimator, 0 if found is None else len(found[1].mean_), width)
    put_preparation(preparation, state.fills, state.means, state.spreads)
    rows = preparation.transform(matrix)
    classifier.classes_, classifier.n_features_in_ = np.array([0, 1], labels.dtype), rows.shape[1]
    classifier.coef_ = np.array([state.weights], rows.dtype)
    classifier.intercept_ = np.array([state.intercept], rows.dtype)
    classifier.t_ = state.steps
    for _ in range(trainer.warm_start.rounds):
        classifier.partial_fit(rows, labels)
