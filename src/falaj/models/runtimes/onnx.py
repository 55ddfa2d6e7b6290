"""ONNX Runtime, one thread."""

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from falaj.kernel.errors import CorruptionError, InputError, Unsupported
from falaj.models.runtimes.port import Matrix, Scores, check_matrix

FAILURES: tuple[type[Exception], ...] = (
    native.EPFail, native.Fail, native.InvalidArgument, native.InvalidGraph, native.InvalidProtobuf, native.NoModel,
    native.NotImplemented, native.RuntimeException, RuntimeError, ValueError,
)  # fmt: skip
"""What ONNX Runtime raises for a file or rows that it refuses."""
_ERRORS_ONLY = 3


class OnnxRuntime:
    """An ONNX model with one float32 input, and the probability of class 1, or one number, among its outputs.

    Args:
        model: The model file's bytes.
        features: How many columns it must take.
        name: Named in errors.

    Raises:
        CorruptionError: The bytes are not an ONNX model, or it takes another number of columns.
        Unsupported: Its inputs or outputs are not those of a binary classifier or a regression.
    """

    def __init__(self, model: bytes, features: int, name: str = "model") -> None:
        self._features = features
        try:
            # From bytes, so that the file cannot name other files that hold its weights.
            self._session = onnxruntime.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])
        except FAILURES as error:
            raise CorruptionError(
                f"ONNX Runtime cannot read artifact {name}: {error}", hint="restore it from a backup"
            ) from None
        self._input = self._only_input(name)
        self._output, self._two_columns = self._pick_output(name)
        self._outputs = [self._output]

    @property
    def features(self) -> int:
        """How many columns it takes."""
        return self._features

    def predict(self, matrix: Matrix) -> Scores:
        """Return one score per row."""
        check_matrix(matrix, self._features)
        if matrix.shape[0] == 0:
            return np.empty(0, np.float64)
        try:
            answer = self._session.run(self._outputs, {self._input: matrix})[0]
        except FAILURES as error:
            raise InputError(f"ONNX Runtime refused the rows: {error}") from None
        column = answer[:, 1] if self._two_columns else answer.reshape(-1)
        scores: Scores = column.astype(np.float64)
        return scores

    def _only_input(self, name: str) -> str:
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 2:
            found = ", ".join(f"{i.name}: {i.type} {i.shape}" for i in inputs)
            raise Unsupported(
                f"artifact {name} takes {found}", hint="export it with one float32 input of shape (rows, features)"
            )
        width = inputs[0].shape[1]
        if isinstance(width, int) and width != self._features:
            raise CorruptionError(
                f"artifact {name} takes {width} columns, and its signature has {self._features}",
                hint="the file and the signature belong to different versions",
            )
        return str(inputs[0].name)

    def _pick_output(self, name: str) -> tuple[str, bool]:
        outputs = [o for o in self._session.get_outputs() if o.type in ("tensor(float)", "tensor(double)")]
        probe = np.zeros((2, self._features), np.float32)
        for output in outputs:
            try:
                shape = self._session.run([output.name], {self._input: probe})[0].shape
            except FAILURES as error:
                raise CorruptionError(f"artifact {name} does not answer: {error}") from None
            if shape == (2, 2):
                return str(output.name), True
            if shape in ((2,), (2, 1)):
                return str(output.name), False
        raise Unsupported(
            f"artifact {name} has no output with the probability of class 1, or with one number",
            hint="export it without a zipmap, as a tensor of shape (rows, 2), or (rows, 1)",
        )


def session_options() -> onnxruntime.SessionOptions:
    """Return the options of every session: one thread, and errors alone on standard error."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
