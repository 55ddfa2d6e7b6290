"""A model that was trained elsewhere, as what a trainer hands over."""

import json
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.task import Task
from falaj.kernel.errors import CorruptionError, DataError, Unsupported
from falaj.models.bare_file import read_bare_file
from falaj.models.mlflow_model import ForeignModel
from falaj.models.onnx_conversion import to_onnx
from falaj.models.runtimes.load import load_bytes
from falaj.models.runtimes.port import Matrix, Scores
from falaj.models.training.fitted import Fitted, shares
from falaj.models.training.sound_trees import check_lightgbm, check_xgboost

_UNNAMED_LIGHTGBM = "Column_"

_NOT_SKOPS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OSError,
    EOFError,
    ImportError,
    RuntimeError,  # of which are: nested too deep, encrypted, compressed in a way that zipfile does not know
    zipfile.BadZipFile,
    zlib.error,
)
"""What skops raises at an archive that is not its own: whatever its parts happen to raise."""


def own_columns(foreign: ForeignModel) -> tuple[str, ...]:
    """Return the columns that a model's file names itself; empty where it names none.

    Raises:
        DataError: The file cannot be read.
        Unsupported: Reading it would run code.
    """
    if foreign.kind == "lightgbm":
        names = tuple(str(name) for name in _lightgbm(foreign.content).feature_name())
        return () if all(name.startswith(_UNNAMED_LIGHTGBM) for name in names) else names
    if foreign.kind == "xgboost":
        return tuple(_xgboost(foreign.content).feature_names or ())
    if foreign.kind == "sklearn":
        return tuple(str(name) for name in getattr(_sklearn(foreign.content), "feature_names_in_", ()))
    return ()


def adopted(foreign: ForeignModel, names: tuple[str, ...], matrix: Matrix, task: Task) -> Fitted:
    """Return a model from its file as one that was just fitted.

    Args:
        foreign: The model.
        names: The matrix's columns, in the model's order.
        matrix: Training rows, float32, (rows, features). A model of scikit-learn's or in ONNX that takes no missing
            value is given their medians.
        task: What it must have learned.

    Raises:
        DataError: The file cannot be read.
        Unsupported: It learned another task, or reading it would run code.
    """
    makers = {"lightgbm": _from_lightgbm, "xgboost": _from_xgboost, "sklearn": _from_sklearn, "onnx": _from_onnx}
    return makers[foreign.kind](foreign, names, matrix, task)


def _from_lightgbm(foreign: ForeignModel, names: tuple[str, ...], _: Matrix, task: Task) -> Fitted:
    from falaj.models.training.lightgbm import OBJECTIVES

    booster = _lightgbm(foreign.content)
    header = dict(
        line.split("=", 1)
        for line in foreign.content.decode(errors="replace").split("\n\n")[0].splitlines()
        if "=" in line
    )
    _check_objective(header.get("objective", "").split(" ")[0], OBJECTIVES[task], task)

    def predict(rows: Matrix) -> Scores:
        scores: Scores = np.asarray(booster.predict(rows), np.float64)
        return scores

    native = booster.model_to_string().encode()
    importance = shares(names, booster.feature_importance("gain"))
    return Fitted("lightgbm", booster, native, predict, names, importance, foreign.flavour, task)


def _lightgbm(content: bytes) -> Any:
    import lightgbm

    try:
        booster = lightgbm.Booster(model_str=content.decode())
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise _unreadable("LightGBM", error) from None
    check_lightgbm(booster.model_to_string())
    return booster


def _from_xgboost(foreign: ForeignModel, names: tuple[str, ...], _: Matrix, task: Task) -> Fitted:
    from falaj.models.training.xgboost import OBJECTIVES

    booster = _xgboost(foreign.content)
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    _check_objective(objective, OBJECTIVES[task], task)
    best = booster.attr("best_iteration")
    if best is not None and not str(foreign.flavour.get("model_class", "")).endswith("Booster"):
        booster = booster[: int(best) + 1]  # scikit-learn's interface predicts by the best round, and so does this
    booster.feature_names = booster.feature_types = None  # the matrix has no names; `names` is their order

    def predict(rows: Matrix) -> Scores:
        scores: Scores = booster.inplace_predict(rows).astype(np.float64)
        return scores

    gains = booster.get_score(importance_type="total_gain")
    importance = shares(names, [gains.get(f"f{i}", 0.0) for i in range(len(names))])
    native = bytes(booster.save_raw("json"))
    return Fitted("xgboost", booster, native, predict, names, importance, foreign.flavour, task)


def _xgboost(content: bytes) -> Any:
    import xgboost

    booster = xgboost.Booster()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions: the comparison of scores decides
            booster.load_model(bytearray(content))
    except xgboost.core.XGBoostError as error:
        raise _unreadable("XGBoost", error) from None
    check_xgboost(json.loads(bytes(booster.save_raw("json"))))
    return booster


def _from_sklearn(foreign: ForeignModel, names: tuple[str, ...], matrix: Matrix, task: Task) -> Fitted:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline

    from falaj.models.training.sklearn import importance_of

    model = _sklearn(foreign.content)
    wanted = "predict_proba" if task == "classification" else "predict"
    if not hasattr(model, wanted) or (task == "regression" and hasattr(model, "predict_proba")):
        raise Unsupported(f"the model has not learned a {task}", hint="see 'task' of the model's definition")
    hole = np.full((1, matrix.shape[1]), np.nan, np.float32)

    def answer(of: Any, rows: Matrix) -> Scores:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the matrix has no names; `names` is their order
            found = of.predict_proba(rows)[:, 1] if task == "classification" else of.predict(rows)
        scores: Scores = np.asarray(found, np.float64).reshape(-1)
        return scores

    pipeline = model if isinstance(model, Pipeline) else Pipeline([("model", model)])
    try:
        answer(pipeline, hole)
    except ValueError:
        median = SimpleImputer(strategy="median", keep_empty_features=True).fit(matrix)
        pipeline = Pipeline([("impute", median), *pipeline.steps])
    importance = importance_of(pipeline, names, {})
    return Fitted(
        "sklearn", pipeline, None, lambda rows: answer(pipeline, rows), names, importance, foreign.flavour, task
    )


def _sklearn(content: bytes) -> Any:
    import skops.io  # which MLflow brings
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        # What may be read is ours to say: types that the model's own description calls trusted are not believed.
        return skops.io.loads(content, trusted=None)
    except UntrustedTypesFoundException as error:
        raise Unsupported(f"the model holds more than scikit-learn's own: {error}", hint="write it as ONNX") from None
    except _NOT_SKOPS as error:
        raise _unreadable("skops", error) from None


def _from_onnx(foreign: ForeignModel, names: tuple[str, ...], matrix: Matrix, task: Task) -> Fitted:
    content = foreign.content
    read_bare_file(content, "of the model")  # which refuses one that names other files
    try:
        runtime = load_bytes(content, "onnx", len(names), name="the adopted model")
        hole = np.full((1, len(names)), np.nan, np.float32)
        if not np.isfinite(runtime.predict(hole)).all():
            content = fill_missing(content, np.nan_to_num(np.nanmedian(matrix, axis=0)))
            runtime = load_bytes(content, "onnx", len(names), name="the adopted model")
    except CorruptionError as error:
        raise DataError(error.message, hint="give a model that ONNX Runtime can run") from None
    return Fitted("onnx", None, content, runtime.predict, names, {}, foreign.flavour, task)


def in_service_order(fitted: Fitted, names: tuple[str, ...]) -> Fitted:
    """Return a model that takes the columns in another order, as ONNX; the same one where the order is its own.

    Args:
        fitted: The model.
        names: Its columns, in the order in which they will come.

    Raises:
        Unsupported: It cannot be written as ONNX.
    """
    if names == fitted.feature_names:
        return fitted
    places = [names.index(name) for name in fitted.feature_names]
    content = fitted.native if fitted.kind == "onnx" and fitted.native is not None else to_onnx(fitted)

    def predict(rows: Matrix) -> Scores:
        return fitted.predict(np.ascontiguousarray(rows[:, places]))

    return Fitted(
        "onnx", None, _reordered(content, places), predict, names, fitted.importance, fitted.params, fitted.task
    )


def _reordered(content: bytes, places: list[int]) -> bytes:
    from onnx import helper

    def nodes(given: str, made: str, order: str) -> list[Any]:
        return [helper.make_node("Gather", [given, order], [made], axis=1)]

    return _with_before(content, np.asarray(places, np.int64), nodes)


def fill_missing(content: bytes, values: NDArray[Any]) -> bytes:
    """Return an ONNX model that puts values in the place of what is missing before it does what it did.

    Args:
        content: A model with one float32 input of shape (rows, features).
        values: By column, what stands for a missing one.
    """
    from onnx import helper

    def nodes(given: str, made: str, medians: str) -> list[Any]:
        missing = helper.make_node("IsNaN", [given], [f"{made}_missing"])
        return [missing, helper.make_node("Where", [f"{made}_missing", medians, given], [made])]

    return _with_before(content, np.asarray(values, np.float32).reshape(1, -1), nodes)


def _with_before(content: bytes, constant: NDArray[Any], nodes: Callable[[str, str, str], list[Any]]) -> bytes:
    """Return an ONNX model with nodes before it, made from the names of its input, of what it reads, and a constant."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_model_from_string(content)
    graph = model.graph
    given = graph.input[0].name
    made, told = f"{given}__{constant.dtype.name}", f"{given}__{constant.dtype.name}_told"
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == given:
                node.input[place] = made
    graph.initializer.append(numpy_helper.from_array(constant, told))
    for place, node in enumerate(nodes(given, made, told)):
        graph.node.insert(place, node)
    if not any(one.domain in ("", "ai.onnx") for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", 17))
    if graph.input[0].type.tensor_type.shape.dim:
        graph.input[0].type.tensor_type.shape.dim[0].ClearField("dim_value")  # any number of rows
    written: bytes = model.SerializeToString()
    return written


def _check_objective(found: str, wanted: tuple[str, ...], task: Task) -> None:
    if found not in wanted:
        raise Unsupported(
            f"the model's objective is {found or 'not said'!r}, which is no {task}", hint=f"known: {', '.join(wanted)}"
        )


def _unreadable(library: str, error: Exception) -> DataError:
    why = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return DataError(f"{library} cannot read the model: {why}", hint="log it again")
