"""River: a linear classifier that learns row by row, in the order of the rows, and goes on from where it stopped.

What serves is the same arithmetic as a pipeline of scikit-learn: the mean and the variance so far, and the weights.
The scores that it is held against are River's own.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from falaj.definitions.trainer import Trainer
from falaj.kernel.extra import library
from falaj.models.runtimes.port import Matrix, Scores
from falaj.models.training.fitted import Fitted
from falaj.models.training.linear_state import LinearState, put_preparation, read_state
from falaj.models.training.sklearn import importance_of, preparation_of

_MODULES = ("linear_model", "optim", "preprocessing")
_LEARNING_RATE = 0.01
_Row = dict[str, float]


class _Online:
    """A learner with its scaler, over the columns of one matrix.

    Args:
        trainer: The algorithm.
        texts: Column to the length of its vocabulary, for those whose numbers are codes of texts.
        width: How many columns the matrix has.
    """

    def __init__(self, trainer: Trainer, texts: Mapping[int, int], width: int) -> None:
        linear_model, optim, preprocessing = (library(f"river.{name}", "online") for name in _MODULES)
        params = dict(trainer.params)
        rate = params.pop("learning_rate", _LEARNING_RATE)
        self.learner = linear_model.LogisticRegression(optimizer=optim.SGD(rate), **params)
        self.scaler = preprocessing.StandardScaler()
        self.texts = texts
        self.numbers = [str(place) for place in range(width) if place not in texts]
        # In the order in which the preparation of what serves has them.
        self.columns = [*self.numbers, *(f"{place}={code}" for place, n in texts.items() for code in range(n))]

    def learn(self, matrix: Matrix, labels: NDArray[np.int8]) -> None:
        """Learn each row in turn."""
        for (numbers, texts), label in zip(self._rows(matrix), labels.tolist(), strict=True):
            self.scaler.learn_one(numbers)
            self.learner.learn_one(self.scaler.transform_one(numbers) | texts, bool(label))

    def predict(self, matrix: Matrix) -> Scores:
        """Return River's own probability of class 1 for each row."""
        rows = (self.scaler.transform_one(numbers) | texts for numbers, texts in self._rows(matrix))
        return np.array([self.learner.predict_proba_one(row)[True] for row in rows], np.float64)

    def state(self, estimator: str) -> LinearState:
        """Return what a later training goes on from."""
        means, variances, counts = self.scaler.means, self.scaler.vars, self.scaler.counts
        weights = self.learner.weights
        return LinearState(
            estimator,
            fills=tuple(float(means[name]) for name in self.numbers),
            means=tuple(float(means[name]) for name in self.numbers),
            spreads=tuple(float(variances[name]) for name in self.numbers),
            counts=tuple(float(counts[name]) for name in self.numbers),
            weights=tuple(float(weights.get(name, 0.0)) for name in self.columns),
            intercept=float(self.learner.intercept),
            steps=float(self.learner.optimizer.n_iterations),
        )

    def go_on_from(self, state: LinearState) -> None:
        """Stand where another one stopped."""
        for name, mean, variance, count in zip(self.numbers, state.means, state.spreads, state.counts, strict=True):
            if count:
                self.scaler.counts[name] = int(count)
                self.scaler.means[name], self.scaler.vars[name] = mean, variance
        weights = dict(zip(self.columns, state.weights, strict=True))
        self.learner._weights = type(self.learner._weights)(weights)
        self.learner.intercept = state.intercept
        self.learner.optimizer.n_iterations = int(state.steps)

    def _rows(self, matrix: Matrix) -> Iterator[tuple[_Row, _Row]]:
        """Yield the numbers of each row and its texts, both without what is missing."""
        for row in matrix.tolist():
            known = {place: value for place, value in enumerate(row) if value == value}  # NaN is not itself
            numbers = {str(place): value for place, value in known.items() if place not in self.texts}
            texts = {f"{place}={int(value)}": 1.0 for place, value in known.items() if place in self.texts}
            yield numbers, texts


def fit_river(
    trainer: Trainer,
    matrix: Matrix,
    labels: NDArray[np.int8],
    names: tuple[str, ...],
    vocabularies: Mapping[str, int],
    *,
    parent: bytes = b"",
) -> Fitted:
    """Learn with River, in the order of the rows; `falaj.models.training.fit` checks the inputs.

    Args:
        trainer: The algorithm.
        matrix: Rows in the order of their events.
        labels: 0 and 1, (rows,).
        names: The matrix's columns.
        vocabularies: Feature to the length of its vocabulary.
        parent: State to go on from; empty to begin.

    Raises:
        ExtraMissing: River is not installed.
        DataError: The state is that of another learner or other columns.
    """
    texts = {place: vocabularies[name] for place, name in enumerate(names) if vocabularies.get(name)}
    online = _Online(trainer, texts, len(names))
    if parent:
        online.go_on_from(read_state(parent, trainer.estimator, len(online.numbers), len(online.columns)))
    assert trainer.warm_start is not None
    for _ in range(trainer.warm_start.rounds):
        online.learn(matrix, labels)
    state = online.state(trainer.estimator)
    served = _served(state, texts, matrix)
    params = {"learning_rate": _LEARNING_RATE, **trainer.params}
    return Fitted("river", served, None, online.predict, names, importance_of(served, names, texts), params,
                  state=state.encode())  # fmt: skip


def _served(state: LinearState, texts: Mapping[int, int], matrix: Matrix) -> Pipeline:
    """Return the learner as a pipeline of scikit-learn, which has a served form."""
    preparation = Pipeline(preparation_of(texts, matrix.shape[1])).fit(matrix)
    deviations = [value**0.5 for value in state.spreads]
    # River gives a column that never varied as 0 whatever it holds: here its weight is 0.
    put_preparation(preparation, state.fills, state.means, tuple(one or 1.0 for one in deviations))
    weights = np.array(state.weights)
    weights[: len(deviations)][np.array(deviations) == 0.0] = 0.0
    classifier = LogisticRegression()
    classifier.classes_, classifier.n_features_in_ = np.array([0, 1]), len(weights)
    classifier.coef_, classifier.intercept_ = weights.reshape(1, -1), np.array([state.intercept])
    return Pipeline([*preparation.steps, ("classify", classifier)])
