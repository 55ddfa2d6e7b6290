"""Loading a model file into the runtime that serves it."""

import importlib
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from falaj.kernel.errors import CorruptionError, FalajError, InputError, NotFound, Unsupported
from falaj.models.python.package import PythonPackage
from falaj.models.python.place import PythonPlace
from falaj.models.runtimes.chosen import ChosenRuntime
from falaj.models.runtimes.lightgbm import LightgbmRuntime
from falaj.models.runtimes.onnx import OnnxRuntime
from falaj.models.runtimes.port import Runtime
from falaj.models.runtimes.trees import Trees, TreesRuntime
from falaj.models.runtimes.xgboost import XgboostRuntime

KINDS = ("onnx", "lightgbm", "xgboost", "trees", "python")

_log = logging.getLogger("falaj.models.runtimes")


def load_runtime(path: Path, kind: str, features: int) -> Runtime:
    """Load a model file and see that it answers.

    Args:
        path: The file.
        kind: "onnx", "lightgbm", "xgboost", "trees" or "python": what the platform recorded, never what the file says.
        features: How many columns it must take.

    Raises:
        NotFound: There is no such file.
        CorruptionError: It cannot be read, takes other columns, or does not answer.
        Unsupported: There is no such runtime, or the model gives several numbers for a row.
    """
    try:
        model = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"model file {path} does not exist") from None
    return load_bytes(model, kind, features, name=path.name)


def load_fastest(
    models: Sequence[tuple[str, bytes]],
    features: int,
    *,
    name: str,
    place: PythonPlace | None = None,
    mixed: bool = False,
) -> Runtime:
    """Load all files of one model, and ask each for the numbers of rows at which it is the fastest.

    Args:
        models: Kind and bytes of each file, the one whose answers count first.
        features: How many columns each must take.
        name: Named in errors.
        place: Where a Python model's process works.
        mixed: Let runtimes take turns whose scores differ in the last digits.

    Raises:
        CorruptionError: The first file cannot be read, takes other columns, or does not answer.
        Unsupported: There is no such runtime, or the first gives several numbers for a row.
    """
    (kind, content), *others = models
    runtimes = [(kind, load_bytes(content, kind, features, name=name, place=place))]
    for other, model in others:
        try:
            runtimes.append((other, load_bytes(model, other, features, name=name)))
        except FalajError as error:
            _log.warning("%s cannot be served by %s: %s", name, other, error.message)
    if len(runtimes) == 1:
        return runtimes[0][1]
    # Compiled trees are the fastest at nearly every size; without them what the gate has judged serves.
    preferred = "trees" if importlib.util.find_spec("numba") is not None else kind
    return ChosenRuntime(runtimes, preferred=None if mixed else preferred)


def load_bytes(model: bytes, kind: str, features: int, *, name: str, place: PythonPlace | None = None) -> Runtime:
    """Load a model from its bytes; as `load_runtime`, with the name for errors."""
    runtime = _construct(model, kind, features, name, place)
    try:
        scores = runtime.predict(np.zeros((1, features), np.float32))
    except InputError as error:
        raise CorruptionError(f"artifact {name} does not answer: {error}", hint="restore it from a backup") from None
    if scores.shape != (1,) or not np.isfinite(scores[0]):
        raise CorruptionError(
            f"artifact {name} answers {scores.tolist()} to a row of zeros", hint="restore it from a backup"
        )
    return runtime


def _construct(model: bytes, kind: str, features: int, name: str, place: PythonPlace | None) -> Runtime:
    if kind == "onnx":
        return OnnxRuntime(model, features, name)
    if kind == "lightgbm":
        return LightgbmRuntime(model, features, name)
    if kind == "xgboost":
        return XgboostRuntime(model, features, name)
    if kind == "trees":
        return _trees(Trees.decode(model, features, name))
    if kind == "python":
        from falaj.models.python.runtime import PythonRuntime

        return PythonRuntime(PythonPackage.decode(model, name), features, place)
    raise Unsupported(f"artifact {name}: runtime {kind!r} does not exist", hint=f"known: {', '.join(KINDS)}")


def _trees(trees: Trees) -> Runtime:
    if importlib.util.find_spec("numba") is None:
        return TreesRuntime(trees)
    from falaj.models.runtimes.tree_kernel import TreeKernel

    return TreeKernel(trees)


def warm_up() -> None:
    """Load and compile what is compiled, so that no request waits for it later: a second, where there is any."""
    if importlib.util.find_spec("numba") is not None:
        importlib.import_module("falaj.models.runtimes.tree_kernel")
