"""Finishing: what is done with a model once it is fitted: its scores made probabilities, and its file handed on."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from falaj.definitions.step import step
from falaj.kernel.errors import DataError, Unsupported
from falaj.models.calibration import fit_calibration
from falaj.models.parity import Parity, compare, tolerance_of
from falaj.models.runtimes.calibrated import CalibratedRuntime, Calibration
from falaj.models.runtimes.load import load_bytes
from falaj.models.runtimes.port import Runtime
from falaj.pipelines.context import StepContext
from falaj.steps.judge import known_labels
from falaj.steps.trained import Trained, matrix_of, runtime_of, signature_of, task_of

_OWN_FORMATS = ("lightgbm", "xgboost")


@step
def calibrate(model: Trained, rows: pa.Table, method: str = "isotonic") -> Trained:
    """Learn how a model's scores become probabilities, in the place of what it had.

    Args:
        model: A classifier.
        rows: Rows that it was not fitted to, and that do not test it.
        method: "isotonic" or "sigmoid".

    Raises:
        DataError: The method is none, the model is no classifier, or there are too few rows of a class.
    """
    if method not in ("isotonic", "sigmoid"):
        raise DataError(f"method = {method!r} is no method", hint="write 'isotonic' or 'sigmoid'")
    if model["task"] != "classification":
        raise DataError("a regression has no probabilities to calibrate", hint="leave calibrate out")
    bare: Trained = {**model, "calibration": {}}
    scores = runtime_of(bare).predict(matrix_of(signature_of(model), rows))
    found = fit_calibration(method, np.asarray(scores, np.float64), known_labels(model, rows).astype(np.int64))
    params = model["params"] | {"calibrate": found.method, "calibrate.rows": found.rows}
    made: Trained = {**model, "calibration": msgspec.to_builtins(found), "params": params}
    return {**made, "parity": msgspec.to_builtins(_parity(made, rows))}


@step
def export(model: Trained, rows: pa.Table, context: StepContext, format: str = "onnx") -> dict[str, Any]:
    """Hand on a model's file, once its scores have been held against the trained model's.

    Args:
        model: The model.
        rows: Real rows to compare on.
        context: Given by itself.
        format: "onnx", or "native" for the library's own.

    Returns:
        `file`; `format`; `parity`, how far its scores are from the trained model's on the rows; and `calibration`, the
        points of the map that is put around the file's scores, which no format holds: empty for scores as they are.

    Raises:
        Unsupported: The model has no file of that format, such as no ONNX where that gives other scores.
        DataError: The scores differ, or there are no rows.
    """
    native = model["native"]
    if format == "native" and native is not None:
        kind, file = str(model["trainer"]["kind"]), native
    elif format == model["runtime"]:
        kind, file = format, model["file"]
    else:
        raise Unsupported(
            f"the model has no file of format {format!r}",
            hint=f"it has {model['runtime']!r}" + ("" if native is None else " and 'native'"),
        )
    parity = _parity(model, rows)
    if not parity.holds:
        raise DataError(
            f"the file's scores differ from the trained model's by {parity.max_abs} on {parity.rows:,} rows",
            hint="train it anew, or export the library's own format: format='native'",
        )
    made = context.folder / f"model.{'txt' if kind == 'lightgbm' else 'json' if kind == 'xgboost' else kind}"
    made.write_bytes(Path(file).read_bytes())
    return {
        "file": made,
        "format": format,
        "parity": msgspec.to_builtins(parity),
        "calibration": model["calibration"],
    }


def _parity(model: Trained, rows: pa.Table) -> Parity:
    """Return how far the serving file's scores are from the library's own; as trained where it kept no such file."""
    kind, native = str(model["trainer"]["kind"]), model["native"]
    if native is None or kind not in _OWN_FORMATS:
        return msgspec.convert(model["parity"], Parity)
    matrix = matrix_of(signature_of(model), rows)
    own: Runtime = load_bytes(native.read_bytes(), kind, matrix.shape[1], name=native.name)
    if model["calibration"]:
        own = CalibratedRuntime(own, msgspec.convert(model["calibration"], Calibration))
    reference = own.predict(matrix)
    return compare(reference, runtime_of(model).predict(matrix), tolerance_of(reference, task_of(model["task"])))
