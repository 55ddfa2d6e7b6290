"""Trees, by NumPy and compiled, answer as the library that made them; the fastest runtime is asked, if it agrees."""

import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions import trainer
from falaj.kernel.errors import CorruptionError, Unsupported
from falaj.models.export import export
from falaj.models.onnx_conversion import to_onnx
from falaj.models.onnx_trees import read_trees
from falaj.models.runtimes.chosen import ChosenRuntime
from falaj.models.runtimes.load import load_bytes, load_fastest
from falaj.models.runtimes.port import Matrix, Runtime, Scores
from falaj.models.runtimes.tree_kernel import TreeKernel
from falaj.models.runtimes.trees import Trees, TreesRuntime
from falaj.models.training import fit

KINDS = {
    "lightgbm": trainer.lightgbm(num_trees=23),
    "xgboost": trainer.xgboost(num_trees=23),
    "boosting": trainer.sklearn("sklearn.ensemble.HistGradientBoostingClassifier", max_iter=9),
    "forest": trainer.sklearn("sklearn.ensemble.RandomForestClassifier", n_estimators=6, max_depth=7),
    "stump": trainer.sklearn("sklearn.ensemble.RandomForestClassifier", n_estimators=1, max_depth=1),
}


def learned() -> tuple[Matrix, Any]:
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(3_000, 4)).astype(np.float32)
    matrix[:, 3] = rng.integers(0, 4, 3_000)  # many rows lie on a threshold
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    labels = (np.nan_to_num(matrix[:, 0]) * np.nan_to_num(matrix[:, 1], nan=1.0) > 0.1).astype(int)
    return matrix, labels


@pytest.fixture(scope="module", params=sorted(KINDS))
def made(request: pytest.FixtureRequest) -> tuple[Runtime, Trees]:
    matrix, labels = learned()
    model = to_onnx(fit(KINDS[request.param], matrix, labels, tuple("abcd")))
    return load_bytes(model, "onnx", 4, name="m"), Trees.decode(read_trees(model, 4).encode(), 4)


VALUES = st.one_of(
    st.floats(width=32, allow_nan=True, allow_infinity=True), st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, 1.5, np.nan])
)


@settings(deadline=None)
@given(rows=st.lists(st.lists(VALUES, min_size=4, max_size=4), min_size=1, max_size=19))
def test_trees_answer_as_onnx_runtime(made: tuple[Runtime, Trees], rows: list[list[float]]) -> None:
    onnx, trees = made
    matrix = np.array(rows, np.float32)
    by_numpy, compiled = TreesRuntime(trees).predict(matrix), TreeKernel(trees).predict(matrix)
    assert np.allclose(by_numpy, onnx.predict(matrix), rtol=0, atol=2e-6)
    assert np.allclose(compiled, by_numpy, rtol=0, atol=1e-12)


def test_values_on_every_threshold_and_beside_it_go_the_same_way(made: tuple[Runtime, Trees]) -> None:
    onnx, trees = made
    on = trees.thresholds[~np.isnan(trees.thresholds)]
    values = np.concatenate([on, np.nextafter(on, np.float32(-np.inf)), np.nextafter(on, np.float32(np.inf))])
    matrix = np.random.default_rng(1).choice(values, (4_000, 4)).astype(np.float32)
    assert np.abs(TreeKernel(trees).predict(matrix) - onnx.predict(matrix)).max() < 2e-6


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 17])
def test_every_number_of_rows_is_answered(made: tuple[Runtime, Trees], rows: int) -> None:
    trees = made[1]
    matrix = learned()[0][:rows]
    assert np.allclose(TreeKernel(trees).predict(matrix), TreesRuntime(trees).predict(matrix), rtol=0, atol=1e-12)


def test_what_is_not_one_ensemble_of_trees_is_left_to_onnx_runtime() -> None:
    matrix, labels = learned()
    model = to_onnx(
        fit(trainer.sklearn("sklearn.linear_model.LogisticRegression"), np.nan_to_num(matrix), labels, "abcd")
    )
    with pytest.raises(Unsupported):
        read_trees(model, 4)


def test_damaged_trees_are_refused_before_compiled_code_goes_down_them() -> None:
    matrix, labels = learned()
    trees = read_trees(to_onnx(fit(KINDS["xgboost"], matrix, labels, "abcd")), 4)
    nodes = len(trees.lefts)
    for name, place, value in [
        ("lefts", 0, nodes), ("lefts", 0, 0), ("lefts", nodes - 1, 0), ("features", 0, 8), ("features", 0, -1),
        ("roots", 0, nodes), ("roots", 0, -1), ("depths", 0, 1 << 30), ("depths", 0, -1),
    ]:  # fmt: skip
        damaged = getattr(trees, name).copy()
        damaged[place] = value
        parts = {part: getattr(trees, part) for part in trees.__struct_fields__} | {name: damaged}
        with pytest.raises(CorruptionError):
            Trees.decode(Trees(**parts).encode(), 4)
    for raw in (b"", b"\x90", trees.encode()[:-9]):
        with pytest.raises(CorruptionError):
            Trees.decode(raw, 4)
    with pytest.raises(CorruptionError):
        Trees.decode(trees.encode(), 5)


class Waiting:
    """A runtime that computes so much per call, and so much per row."""

    def __init__(self, answer: float, per_call: int, per_row: int) -> None:
        self.features = 3
        self.asked: list[int] = []
        self._answer, self._per_call, self._per_row = answer, per_call, per_row

    def predict(self, matrix: Matrix) -> Scores:
        self.asked.append(len(matrix))
        for _ in range(self._per_call + self._per_row * len(matrix)):
            pass
        return np.full(len(matrix), self._answer)


def test_each_number_of_rows_goes_to_the_runtime_that_is_fastest_for_it() -> None:
    few, many = Waiting(0.5, 0, 2_000), Waiting(0.5, 60_000, 10)
    chosen = ChosenRuntime([("few", few), ("many", many)], preferred="few")
    assert (chosen.names[0], chosen.names[-1]) == ("few", "many")
    few.asked.clear()
    many.asked.clear()
    chosen.predict(np.zeros((1, 3), np.float32))
    chosen.predict(np.zeros((9_999, 3), np.float32))
    assert (few.asked, many.asked) == ([1], [9_999])


@pytest.mark.parametrize("preferred", ["few", "many", "absent"])
def test_a_row_has_one_score_whatever_is_beside_it(preferred: str) -> None:
    near = float(np.nextafter(0.5, 1))
    runtimes = [
        ("few", Waiting(0.5, 0, 2_000)),
        ("many", Waiting(near, 60_000, 10)),
        ("slow", Waiting(near, 9_000, 900)),
    ]
    chosen = ChosenRuntime(runtimes, preferred=preferred)
    scores = {float(chosen.predict(np.zeros((rows, 3), np.float32))[0]) for rows in (1, 2, 8, 100, 999)}
    assert scores == {near if preferred == "many" else 0.5}
    mixed = ChosenRuntime(runtimes, preferred=None)
    assert {float(mixed.predict(np.zeros((rows, 3), np.float32))[0]) for rows in (1, 999)} == {0.5, near}


def test_a_runtime_with_other_answers_is_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        chosen = ChosenRuntime([("right", Waiting(0.5, 50_000, 50)), ("wrong", Waiting(0.6, 0, 0))], preferred="wrong")
    assert set(chosen.names) == {"right"}
    assert "wrong" in caplog.text


def test_all_files_of_an_export_serve_together_and_one_that_is_damaged_is_left_out() -> None:
    matrix, labels = learned()
    fitted = fit(KINDS["xgboost"], matrix, labels, "abcd")
    files = export(fitted, matrix).files
    assert [file.runtime for file in files] == ["onnx", "xgboost", "trees"]
    assert all(file.parity is not None and file.parity.holds for file in files)
    models = [(file.runtime, file.content) for file in files]
    whole = load_fastest(models, 4, name="m")
    part = load_fastest([models[0], ("trees", b"damaged")], 4, name="m")
    for rows in (1, 8, 600):
        expected = fitted.predict(matrix[:rows])
        assert np.allclose(whole.predict(matrix[:rows]), expected, rtol=0, atol=1e-5)
        assert np.allclose(part.predict(matrix[:rows]), expected, rtol=0, atol=1e-5)
