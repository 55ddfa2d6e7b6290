"""Export: a fitted model as the files that serve, with the difference that each makes."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from falaj.kernel.errors import FalajError, Unsupported
from falaj.models.onnx_conversion import to_onnx
from falaj.models.onnx_trees import read_trees
from falaj.models.parity import Parity, compare, tolerance_of
from falaj.models.python.place import PythonPlace
from falaj.models.runtimes.calibrated import Calibration
from falaj.models.runtimes.load import load_bytes
from falaj.models.runtimes.port import Matrix
from falaj.models.training.fitted import Fitted

PARITY_ROWS = 2_000


@dataclass(frozen=True)
class ExportedFile:
    """One file that could serve.

    Attributes:
        runtime: "onnx", "lightgbm", "xgboost", "trees" or "python".
        content: The file's bytes; empty when the export failed.
        parity: Its scores against the trained model's; None when the export failed.
        error: Why the export failed; empty when it did not.
    """

    runtime: str
    content: bytes
    parity: Parity | None
    error: str = ""


@dataclass(frozen=True)
class Export:
    """The files of one fitted model.

    Attributes:
        files: The ONNX file first, then the library's own, where it has one, then the trees alone, where it is such.
        serving: The one to serve: the first whose scores are those of the trained model; where none's are, the first
            that answers, and the gate refuses it by its parity.
    """

    files: tuple[ExportedFile, ...]
    serving: ExportedFile


def export(
    fitted: Fitted,
    matrix: Matrix,
    *,
    tolerance: float | None = None,
    place: PythonPlace | None = None,
    calibration: Calibration | None = None,
) -> Export:
    """Export a model and choose what serves it: ONNX where its scores agree, else the library's own predictor.

    Args:
        fitted: The model.
        matrix: Real rows to compare on; rows with missing values are added, which serving meets and training may not.
        tolerance: The largest difference of a score that is accepted; `tolerance_of` the scores by default.
        place: Where a Python model's process works.
        calibration: What makes probabilities of the scores; they are compared after it, as they are served.

    Raises:
        Unsupported: No file answers at all.
    """
    rows = parity_rows(matrix)
    scores = fitted.predict(rows)
    tolerance = tolerance_of(scores, fitted.task) if tolerance is None else tolerance
    trained = _Trained(rows, scores, tolerance, calibration)
    files = [] if fitted.kind in ("python", "onnx") else [_onnx_file(fitted, trained)]
    if fitted.native is not None:
        files.append(_measured(fitted.kind, fitted.native, trained, place))
    files += _trees_file(files[0].content, trained) if fitted.kind != "python" else []
    answering = [file for file in files if file.parity is not None]
    if not answering:
        found = "; ".join(f"{file.runtime}: {file.error}" for file in files)
        raise Unsupported(
            f"this {fitted.kind} model has no served form ({found})",
            hint="serve it by a class of your own, which has load and predict: fj.python(...)",
        )
    agreeing = [file for file in answering if file.parity is not None and file.parity.holds]
    return Export(tuple(files), (agreeing or answering)[0])


def parity_rows(matrix: Matrix, *, limit: int = PARITY_ROWS) -> Matrix:
    """Return rows to compare on: evenly spaced real ones, the same with values missing, all missing, and zeros.

    Example:
        >>> parity_rows(np.ones((3, 2), np.float32)).shape
        (8, 2)
    """
    step = max(1, len(matrix) // limit)
    real = matrix[::step][:limit]
    holed = real.copy()
    holed[np.random.default_rng(0).random(real.shape) < 0.3] = np.nan
    edges = np.zeros((2, matrix.shape[1]), np.float32)
    edges[0] = np.nan
    return np.ascontiguousarray(np.concatenate([real, holed, edges]))


class _Trained(NamedTuple):
    rows: Matrix
    scores: NDArray[Any]
    tolerance: float
    calibration: Calibration | None

    def compared(self, scores: NDArray[Any]) -> Parity:
        apply = (lambda raw: raw) if self.calibration is None else self.calibration.apply
        return compare(apply(self.scores), apply(scores), self.tolerance)


def _onnx_file(fitted: Fitted, trained: _Trained) -> ExportedFile:
    try:
        content = to_onnx(fitted)
    except Unsupported as error:
        return ExportedFile("onnx", b"", None, error.message)
    return _measured("onnx", content, trained)


def _trees_file(onnx: bytes, trained: _Trained) -> list[ExportedFile]:
    try:
        content = read_trees(onnx, trained.rows.shape[1]).encode() if onnx else b""
    except Unsupported:
        content = b""  # no trees: nothing is missing
    return [_measured("trees", content, trained)] if content else []


def _measured(runtime: str, content: bytes, trained: _Trained, place: PythonPlace | None = None) -> ExportedFile:
    width = trained.rows.shape[1]
    try:
        served = load_bytes(content, runtime, width, name=f"the {runtime} export", place=place)
        scores = served.predict(trained.rows)
    except FalajError as error:
        return ExportedFile(runtime, content, None, error.message)
    return ExportedFile(runtime, content, trained.compared(scores))
