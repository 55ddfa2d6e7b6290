"""Every trainer of numbers fits what can be learned, the same way twice, and what serves predicts what it predicts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.metrics import r2_score

import falaj as fj
from falaj.definitions.trainer import Trainer, lightgbm, python, sklearn, xgboost
from falaj.kernel.errors import DataError, DefinitionError
from falaj.models.export import Export, export
from falaj.models.onnx_conversion import to_onnx
from falaj.models.python.place import PythonPlace
from falaj.models.runtimes.load import load_bytes, load_fastest
from falaj.models.training import Fitted, fit

NAMES = ("a", "b", "c", "d")
TRAINERS = {
    "lightgbm": lightgbm(num_trees=20, seed=3),
    "lightgbm_poisson": lightgbm(num_trees=20, seed=3, objective="poisson"),
    "xgboost": xgboost(num_trees=20, seed=3),
    "xgboost_absolute": xgboost(num_trees=20, seed=3, objective="reg:absoluteerror"),
    "ridge": sklearn("sklearn.linear_model.Ridge", seed=3),
    "forest": sklearn("sklearn.ensemble.RandomForestRegressor", seed=3, n_estimators=10, max_depth=6),
    "boosting": sklearn("sklearn.ensemble.HistGradientBoostingRegressor", seed=3, max_iter=20),
    "tree": sklearn("sklearn.tree.DecisionTreeRegressor", seed=3, max_depth=6),
}
TREES = {"lightgbm", "xgboost", "xgboost_absolute", "forest", "boosting", "tree"}


@pytest.fixture(scope="module")
def matrix() -> NDArray[np.float32]:
    rng = np.random.default_rng(11)
    matrix = rng.normal(size=(2_000, len(NAMES))).astype(np.float32)
    matrix[:, 3] = rng.integers(0, 5, len(matrix))
    matrix[rng.random(matrix.shape) < 0.05] = np.nan
    return matrix


@pytest.fixture(scope="module")
def labels(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    filled = np.nan_to_num(matrix).astype(np.float64)
    noise = np.random.default_rng(12).normal(size=len(filled))
    return np.maximum(0.0, 500 + 100 * filled[:, 0] + 40 * filled[:, 1] + 20 * filled[:, 3] + noise)


@pytest.fixture(scope="module", params=sorted(TRAINERS))
def named(request: pytest.FixtureRequest) -> tuple[str, Trainer]:
    return str(request.param), TRAINERS[str(request.param)]


@pytest.fixture(scope="module")
def fitted(named: tuple[str, Trainer], matrix: NDArray[np.float32], labels: NDArray[np.float64]) -> Fitted:
    return fit(named[1], matrix, labels, NAMES, task="regression")


@pytest.fixture(scope="module")
def exported(fitted: Fitted, matrix: NDArray[np.float32]) -> Export:
    return export(fitted, matrix)


def test_it_learns_the_same_way_twice(
    named: tuple[str, Trainer], fitted: Fitted, matrix: NDArray[np.float32], labels: NDArray[np.float64]
) -> None:
    predictions = fitted.predict(matrix)
    assert predictions.dtype == np.float64 and predictions.shape == (len(matrix),)
    assert r2_score(labels, predictions) > 0.6 and predictions.max() > 100
    again = fit(named[1], matrix, labels, NAMES, task="regression")
    assert again.predict(matrix).tobytes() == predictions.tobytes() and to_onnx(again) == to_onnx(fitted)
    assert fitted.task == "regression" and next(iter(fitted.importance), "a") == "a"


def test_every_file_agrees_within_the_tolerance_of_its_range(
    named: tuple[str, Trainer], fitted: Fitted, exported: Export
) -> None:
    own = [] if fitted.kind == "sklearn" else [fitted.kind]
    trees = ["trees"] if named[0] in TREES else []
    assert [file.runtime for file in exported.files] == ["onnx", *own, *trees]
    for file in exported.files:
        assert file.parity is not None and file.parity.holds, (file.runtime, file.error, file.parity)
        assert 1e-3 < file.parity.tolerance < 1e-2  # a hundred-thousandth of some hundreds


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "forest"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_row_gets_the_librarys_own_number(
    name: str, matrix: NDArray[np.float32], labels: NDArray[np.float64], data: st.DataObject
) -> None:
    """The library's own file bit for bit; ONNX, trees and what serves within what is stated."""
    known, exported = _once(name, matrix, labels)
    floats = st.floats(-1e6, 1e6, width=32) | st.just(float("nan")) | st.sampled_from([0.0, -0.0, 1.0, 2.0])
    rows = data.draw(arrays(np.float32, (data.draw(st.integers(1, 9)), len(NAMES)), elements=floats))
    expected = known.predict(rows)
    files = [(file.runtime, file.content) for file in exported.files]
    for kind, content in files:
        found = load_bytes(content, kind, len(NAMES), name=kind).predict(rows)
        if kind == known.kind:
            assert found.tobytes() == expected.tobytes()
        parity = exported.serving.parity
        assert parity is not None
        np.testing.assert_allclose(found, expected, rtol=0, atol=parity.tolerance)


_FITTED: dict[str, tuple[Fitted, Export]] = {}


def _once(name: str, matrix: NDArray[np.float32], labels: NDArray[np.float64]) -> tuple[Fitted, Export]:
    if name not in _FITTED:
        fitted = fit(TRAINERS[name], matrix, labels, NAMES, task="regression")
        _FITTED[name] = fitted, export(fitted, matrix)
    return _FITTED[name]


def test_runtimes_of_a_regression_take_turns_only_with_the_same_bits(
    matrix: NDArray[np.float32], labels: NDArray[np.float64]
) -> None:
    fitted, exported = _once("lightgbm", matrix, labels)
    fastest = load_fastest([(file.runtime, file.content) for file in exported.files], len(NAMES), name="it")
    whole = fastest.predict(matrix)
    alone = np.concatenate([fastest.predict(matrix[row : row + 1]) for row in range(50)])
    assert alone.tobytes() == whole[:50].tobytes()
    np.testing.assert_allclose(whole, fitted.predict(matrix), rtol=0, atol=1e-5 * np.ptp(labels) * 2)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.full(2_000, 7.0), "nothing to learn"),
        (np.r_[np.nan, np.arange(1_999)], "not a finite number"),
        (np.r_[np.inf, np.arange(1_999)], "not a finite number"),
        (np.arange(10.0), "rows and labels of shape"),
    ],
)
def test_labels_that_teach_nothing_are_refused(
    matrix: NDArray[np.float32], labels: NDArray[np.float64], match: str
) -> None:
    with pytest.raises(DataError, match=match):
        fit(lightgbm(), matrix, labels, NAMES, task="regression")


@pytest.mark.parametrize(
    ("trainer", "task", "match"),
    [
        (lightgbm(objective="binary"), "regression", "is not one of regression"),
        (lightgbm(objective="regression"), "classification", "not a binary classifier's"),
        (xgboost(objective="binary:logistic"), "regression", "predicts no number"),
        (xgboost(objective="reg:squarederror"), "classification", "no probability"),
        (sklearn("sklearn.linear_model.LogisticRegression"), "regression", "is not a regressor"),
        (sklearn("sklearn.linear_model.Ridge"), "classification", "is not a classifier"),
    ],
)
def test_an_algorithm_of_the_other_task_is_refused(
    matrix: NDArray[np.float32], trainer: Trainer, task: Any, match: str
) -> None:
    with pytest.raises(DefinitionError, match=match):
        fit(trainer, matrix, (np.arange(len(matrix)) % 2), NAMES, task=task)


@pytest.mark.parametrize("maker", [lightgbm, xgboost])
def test_more_rows_continue_a_regression(maker: Any, matrix: NDArray[np.float32], labels: NDArray[np.float64]) -> None:
    trainer = maker(num_trees=10, seed=3, warm_start=fj.WarmStart(rounds=10))
    first = fit(trainer, matrix[:1_000], labels[:1_000], NAMES, task="regression")
    more = fit(trainer, matrix[1_000:], labels[1_000:] + 200, NAMES, task="regression", parent=first.state)
    before, after = (np.abs(one.predict(matrix) - labels - 200).mean() for one in (first, more))
    assert after < 0.8 * before
    file = export(more, matrix).serving
    assert file.parity is not None and file.parity.holds


OWN = """\
import json, pathlib
import numpy as np

class Level:
    def fit(self, matrix, labels, folder):
        assert labels.dtype == np.float64, labels.dtype
        (pathlib.Path(folder) / "level.json").write_text(json.dumps(labels.mean()))

    def load(self, folder):
        self.level = json.loads((pathlib.Path(folder) / "level.json").read_text())

    def predict(self, matrix):
        return np.full(len(matrix), self.level)
"""


def test_a_class_of_ones_own_learns_numbers(
    tmp_path: Path, matrix: NDArray[np.float32], labels: NDArray[np.float64]
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "level.py").write_text(OWN)
    place = PythonPlace(tmp_path / "logs", "own")
    fitted = fit(
        python("level:Level", folder="own"), matrix, labels, NAMES, task="regression", folder=tmp_path, place=place
    )
    assert fitted.predict(matrix[:3]).tolist() == [labels.mean()] * 3
    assert export(fitted, matrix[:20], place=place).serving.runtime == "python"
