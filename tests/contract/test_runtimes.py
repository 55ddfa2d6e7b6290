"""Every runtime gives what its library's own predictor gives."""

import gc
import resource
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pytest
import xgboost
from numpy.typing import NDArray
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression

from falaj.kernel.errors import CorruptionError, InputError, NotFound, Unsupported
from falaj.models.runtimes import Runtime, load_runtime

FEATURES = 6

Built = tuple[bytes, Callable[[NDArray[np.float32]], NDArray[np.float64]]]


@pytest.fixture(scope="module")
def matrix() -> NDArray[np.float32]:
    rng = np.random.default_rng(7)
    matrix = rng.normal(size=(1_000, FEATURES)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return matrix


@pytest.fixture(scope="module")
def labels(matrix: NDArray[np.float32]) -> NDArray[np.int64]:
    filled = np.nan_to_num(matrix)
    return (filled[:, 0] + filled[:, 1] * filled[:, 2] > 0.5).astype(np.int64)


def _lightgbm(matrix: NDArray[np.float32], labels: NDArray[np.int64]) -> Built:
    params = {"objective": "binary", "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(params, lightgbm.Dataset(matrix, labels), 30)
    return booster.model_to_string().encode(), lambda rows: np.asarray(booster.predict(rows), np.float64)


def _xgboost(matrix: NDArray[np.float32], labels: NDArray[np.int64]) -> Built:
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(matrix, labels), 30)
    return bytes(booster.save_raw("json")), lambda rows: booster.inplace_predict(rows).astype(np.float64)


def _onnx(matrix: NDArray[np.float32], labels: NDArray[np.int64]) -> Built:
    params = {"objective": "binary", "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(params, lightgbm.Dataset(matrix, labels), 30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        exported = convert_lightgbm(booster, initial_types=[("x", FloatTensorType([None, FEATURES]))], zipmap=False)
    return exported.SerializeToString(), lambda rows: np.asarray(booster.predict(rows), np.float64)


BUILDERS = {"lightgbm": _lightgbm, "xgboost": _xgboost, "onnx": _onnx}


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def built(
    request: pytest.FixtureRequest,
    matrix: NDArray[np.float32],
    labels: NDArray[np.int64],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path, Runtime, Any]:
    kind = str(request.param)
    model, reference = BUILDERS[kind](matrix, labels)
    path = tmp_path_factory.mktemp(kind) / "artifact"
    path.write_bytes(model)
    return kind, path, load_runtime(path, kind, FEATURES), reference


@pytest.mark.parametrize("rows", [1, 2, 1_000])
def test_equals_the_library(built: Any, matrix: NDArray[np.float32], rows: int) -> None:
    _, _, runtime, reference = built
    scores = runtime.predict(matrix[:rows])
    assert scores.dtype == np.float64 and scores.shape == (rows,)
    np.testing.assert_allclose(scores, reference(matrix[:rows]), atol=1e-6, rtol=0)


def test_a_row_scores_alike_alone_and_among_others(built: Any, matrix: NDArray[np.float32]) -> None:
    _, _, runtime, _ = built
    together = runtime.predict(matrix[:50])
    alone = np.concatenate([runtime.predict(matrix[i : i + 1]) for i in range(50)])
    np.testing.assert_allclose(together, alone, atol=1e-6, rtol=0)


def test_a_row_of_missing_values_is_scored(built: Any) -> None:
    _, _, runtime, reference = built
    empty = np.full((1, FEATURES), np.nan, np.float32)
    np.testing.assert_allclose(runtime.predict(empty), reference(empty), atol=1e-6, rtol=0)


def test_no_rows_give_no_scores(built: Any) -> None:
    assert built[2].predict(np.empty((0, FEATURES), np.float32)).shape == (0,)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, FEATURES + 1), np.float32),
        np.zeros((2, FEATURES - 1), np.float32),
        np.zeros(FEATURES, np.float32),
        np.zeros((2, FEATURES), np.float64),
        np.zeros((FEATURES, 2), np.float32).T,
    ],
)
def test_another_shape_or_type_is_refused(built: Any, wrong: Any) -> None:
    with pytest.raises(InputError):
        built[2].predict(wrong)


def test_another_width_than_the_signature_is_refused_at_load(built: Any) -> None:
    kind, path, _, _ = built
    with pytest.raises(CorruptionError, match="artifact takes 6 columns"):
        load_runtime(path, kind, FEATURES + 1)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_cut_file_is_refused_by_name(built: Any, tmp_path: Path, share: float) -> None:
    kind, path, _, _ = built
    whole = path.read_bytes()
    cut = tmp_path / "cut"
    needed = whole.index(b"end of trees") if kind == "lightgbm" else len(whole)  # after it only parameters come
    cut.write_bytes(whole[: int(needed * share)])
    with pytest.raises(CorruptionError, match="cut"):
        load_runtime(cut, kind, FEATURES)


def test_a_file_of_another_kind_is_refused(built: Any, tmp_path: Path) -> None:
    kind, _, _, _ = built
    (tmp_path / "junk").write_bytes(b"\x80\x04not a model")
    with pytest.raises(CorruptionError, match="junk"):
        load_runtime(tmp_path / "junk", kind, FEATURES)


def test_an_absent_file_and_an_unknown_runtime_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="absent"):
        load_runtime(tmp_path / "absent", "onnx", FEATURES)
    (tmp_path / "model").write_bytes(b"")
    with pytest.raises(Unsupported, match="pickle"):
        load_runtime(tmp_path / "model", "pickle", FEATURES)


def test_a_model_of_three_classes_is_refused(tmp_path: Path, matrix: NDArray[np.float32]) -> None:
    classes = np.arange(len(matrix)) % 3
    three = lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1},
        lightgbm.Dataset(matrix, classes),
        3,
    )
    (tmp_path / "lightgbm").write_text(three.model_to_string())
    booster = xgboost.train(
        {"objective": "multi:softprob", "num_class": 3, "nthread": 1}, xgboost.DMatrix(matrix, classes), 3
    )
    (tmp_path / "xgboost").write_bytes(bytes(booster.save_raw("json")))
    for kind in ("lightgbm", "xgboost"):
        with pytest.raises(Unsupported):
            load_runtime(tmp_path / kind, kind, FEATURES)


def test_an_onnx_model_with_a_zipmap_is_refused(tmp_path: Path, labels: NDArray[np.int64]) -> None:
    from skl2onnx import to_onnx

    rows = np.random.default_rng(1).normal(size=(len(labels), FEATURES)).astype(np.float32)
    model = LogisticRegression().fit(rows, labels)
    path = tmp_path / "zipped"
    path.write_bytes(to_onnx(model, rows[:1]).SerializeToString())
    with pytest.raises(Unsupported, match="probability of class 1"):
        load_runtime(path, "onnx", FEATURES)


def test_memory_comes_back(built: Any) -> None:
    kind, path, _, _ = built
    for _ in range(10):
        load_runtime(path, kind, FEATURES)
    gc.collect()
    before = _resident_bytes()
    for _ in range(40):
        load_runtime(path, kind, FEATURES)
    gc.collect()
    assert _resident_bytes() - before < 8_000_000  # each model takes some 300 kB


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _onnx_graph(inputs: list[Any], outputs: list[Any], nodes: list[Any]) -> bytes:
    graph = onnx.helper.make_graph(nodes, "made", inputs, outputs)
    opsets = [onnx.helper.make_opsetid("", 17)]
    made: bytes = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return made


FLOATS = onnx.TensorProto.FLOAT


def test_an_onnx_model_with_one_score_per_row_is_served(tmp_path: Path) -> None:
    rows = onnx.helper.make_tensor_value_info("rows", FLOATS, ["n", 2])
    score = onnx.helper.make_tensor_value_info("score", FLOATS, ["n", 1])
    total = onnx.helper.make_node("ReduceSum", ["rows", "axis"], ["score"], keepdims=1)
    axis = onnx.helper.make_node(
        "Constant", [], ["axis"], value=onnx.helper.make_tensor("a", onnx.TensorProto.INT64, [1], [1])
    )
    (tmp_path / "sum").write_bytes(_onnx_graph([rows], [score], [axis, total]))
    runtime = load_runtime(tmp_path / "sum", "onnx", 2)
    assert runtime.predict(np.array([[1, 2], [3, 4]], np.float32)).tolist() == [3.0, 7.0]


@pytest.mark.parametrize(("shape", "dtype"), [(["n", 2], onnx.TensorProto.INT64), ([2], FLOATS), (["n", 2, 2], FLOATS)])
def test_an_onnx_model_with_another_input_is_refused(tmp_path: Path, shape: Any, dtype: int) -> None:
    given = onnx.helper.make_tensor_value_info("rows", dtype, shape)
    answer = onnx.helper.make_tensor_value_info("score", dtype, shape)
    identity = onnx.helper.make_node("Identity", ["rows"], ["score"])
    (tmp_path / "odd").write_bytes(_onnx_graph([given], [answer], [identity]))
    with pytest.raises(Unsupported, match="artifact odd takes rows"):
        load_runtime(tmp_path / "odd", "onnx", 2)


def test_a_model_that_answers_what_is_no_number_is_refused(tmp_path: Path) -> None:
    rows = onnx.helper.make_tensor_value_info("rows", FLOATS, ["n", 2])
    score = onnx.helper.make_tensor_value_info("score", FLOATS, ["n", 2])
    divide = onnx.helper.make_node("Div", ["rows", "rows"], ["score"])
    (tmp_path / "nan").write_bytes(_onnx_graph([rows], [score], [divide]))
    with pytest.raises(CorruptionError, match=r"artifact nan answers \[nan\] to a row of zeros"):
        load_runtime(tmp_path / "nan", "onnx", 2)
