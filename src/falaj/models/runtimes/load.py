"""Loading a model file into the runtime that serves it."""

from pathlib import Path

import numpy as np

from falaj.kernel.errors import CorruptionError, InputError, NotFound, Unsupported
from falaj.models.runtimes.lightgbm import LightgbmRuntime
from falaj.models.runtimes.onnx import OnnxRuntime
from falaj.models.runtimes.port import Runtime
from falaj.models.runtimes.xgboost import XgboostRuntime

KINDS = ("onnx", "lightgbm", "xgboost")


def load_runtime(path: Path, kind: str, features: int) -> Runtime:
    """Load a model file and see that it answers.

    Args:
        path: The file.
        kind: "onnx", "lightgbm" or "xgboost": what the platform recorded, never what the file says.
        features: How many columns it must take.

    Raises:
        NotFound: There is no such file.
        CorruptionError: It cannot be read, takes other columns, or does not answer.
        Unsupported: There is no such runtime, or the model is not a binary classifier.
    """
    try:
        model = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"model file {path} does not exist") from None
    return load_bytes(model, kind, features, name=path.name)


def load_bytes(model: bytes, kind: str, features: int, *, name: str) -> Runtime:
    """Load a model from its bytes; as `load_runtime`, with the name for errors."""
    runtime = _construct(model, kind, features, name)
    try:
        scores = runtime.predict(np.zeros((1, features), np.float32))
    except InputError as error:
        raise CorruptionError(f"artifact {name} does not answer: {error}", hint="restore it from a backup") from None
    if scores.shape != (1,) or not np.isfinite(scores[0]):
        raise CorruptionError(
            f"artifact {name} answers {scores.tolist()} to a row of zeros", hint="restore it from a backup"
        )
    return runtime


def _construct(model: bytes, kind: str, features: int, name: str) -> Runtime:
    if kind == "onnx":
        return OnnxRuntime(model, features, name)
    if kind == "lightgbm":
        return LightgbmRuntime(model, features, name)
    if kind == "xgboost":
        return XgboostRuntime(model, features, name)
    raise Unsupported(f"artifact {name}: runtime {kind!r} does not exist", hint=f"known: {', '.join(KINDS)}")
