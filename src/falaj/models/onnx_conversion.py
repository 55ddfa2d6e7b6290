"""Conversion of a fitted model to ONNX that gives its scores."""

import re
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.kernel.errors import Unsupported
from falaj.models.training.fitted import Fitted

_OPSET = 17
_ML_OPSET = 3
_GRAPH = "falaj"  # the converters' own default is random, and would give the same model another digest each time


def to_onnx(fitted: Fitted) -> bytes:
    """Return the model as ONNX, with one float32 input and a tensor of probabilities, or of numbers.

    Raises:
        Unsupported: The converter does not know the model.
    """
    converters = {
        "lightgbm": _convert_lightgbm,
        "xgboost": _convert_xgboost,
        "sklearn": _convert_sklearn,
        "river": _convert_sklearn,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters warn of what the comparison of scores decides
        try:
            model = converters[fitted.kind](fitted)
        except (
            RuntimeError,
            NotImplementedError,
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            AttributeError,
        ) as error:
            raise Unsupported(f"this {fitted.kind} model cannot be written as ONNX: {error}") from None
    for output in model.graph.output:  # some converters say that there is one row
        output.type.tensor_type.shape.dim[0].dim_param = "rows"
    converted: bytes = model.SerializeToString()
    return converted


def _convert_lightgbm(fitted: Fitted) -> Any:
    from lightgbm import Booster
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    assert fitted.native is not None
    booster = Booster(model_str=round_thresholds_down(fitted.native.decode()), params={"verbosity": -1})
    width = len(fitted.feature_names)
    inputs = [("features", FloatTensorType([None, width]))]
    return convert_lightgbm(booster, _GRAPH, initial_types=inputs, zipmap=False)


def round_thresholds_down(text: str) -> str:
    """Return a LightGBM text model whose thresholds are float32 values, and whose answers to float32 rows are the same.

    ONNX keeps thresholds as float32. Rounded to the nearest, a threshold between two neighbouring values can become
    the upper one, and every row that holds it turns the other way. Rounded down it cannot: for float32 x,
    x <= t exactly if x <= the greatest float32 that is not above t.
    """
    # The header's sizes no longer fit the changed lines; without them LightGBM reads the trees one by one.
    without_sizes = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^threshold=(.*)$", _rounded, without_sizes, flags=re.MULTILINE)


def _rounded(line: re.Match[str]) -> str:
    exact = np.array(line[1].split(), np.float64)
    return "threshold=" + " ".join(repr(float(value)) for value in _not_above(exact))


def _not_above(exact: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        nearest = exact.astype(np.float32)
    below: NDArray[np.float32] = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > exact, below, nearest)


def _convert_xgboost(fitted: Fitted) -> Any:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    width = len(fitted.feature_names)
    return convert_xgboost(fitted.model, _GRAPH, initial_types=[("features", FloatTensorType([None, width]))])


def _convert_sklearn(fitted: Fitted) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    return convert_sklearn(
        fitted.model,
        _GRAPH,
        initial_types=[("features", FloatTensorType([None, len(fitted.feature_names)]))],
        options={id(fitted.model): {"zipmap": False}} if fitted.task == "classification" else None,
        target_opset={"": _OPSET, "ai.onnx.ml": _ML_OPSET},
        custom_conversion_functions=dict.fromkeys(
            (HistGradientBoostingClassifier, HistGradientBoostingRegressor), _convert_histogram_boosting
        ),
    )


def _convert_histogram_boosting(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.common._registration import get_converter

    nodes = np.concatenate([tree.nodes for trees in operator.raw_operator._predictors for tree in trees])
    thresholds = _not_above(np.where(nodes["is_leaf"], 0.0, nodes["num_threshold"]))
    kind = type(operator.raw_operator).__name__
    get_converter(f"Sklearn{kind}")(scope, operator, _PlainContainer(container, thresholds))


class _PlainContainer:
    """A container of ONNX nodes that makes what a converter adds plain.

    The converter passes NumPy's scalars and booleans, which onnx refuses, and thresholds rounded to nearest.
    """

    def __init__(self, container: Any, thresholds: NDArray[np.float32]) -> None:
        self._container = container
        self._thresholds = thresholds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, op_type: str, inputs: Any, outputs: Any, **attributes: Any) -> Any:
        """Add the node with plain integers and our thresholds."""
        if "nodes_values" in attributes:
            attributes["nodes_values"] = self._thresholds
        for name, values in attributes.items():
            if isinstance(values, list) and not isinstance(values[0], str):
                attributes[name] = np.asarray(values, np.int64).tolist()
        return self._container.add_node(op_type, inputs, outputs, **attributes)
