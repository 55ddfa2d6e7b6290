"""Bare ONNX models: any number of named tensors in and out, one thread."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from falaj.definitions.tensor_signature import ANY_SIZE, TensorSignature, TensorSpec
from falaj.kernel.errors import CorruptionError, InputError, Unsupported
from falaj.models.runtimes.onnx import FAILURES, session_options

DATATYPES: dict[str, str] = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32", "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32", "tensor(int64)": "INT64",
    "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(string)": "BYTES",
}  # fmt: skip
"""ONNX Runtime's types as the Open Inference Protocol calls them."""


class TensorRuntime:
    """A model file whose inputs and outputs are any tensors.

    Args:
        model: The file's bytes. From bytes, so that it cannot name other files that hold its weights.
        name: Named in errors.

    Raises:
        CorruptionError: The bytes are not an ONNX model.
        Unsupported: An input or output is no tensor, or of a type that NumPy does not have.
    """

    def __init__(self, model: bytes, name: str = "model") -> None:
        try:
            self._session = onnxruntime.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])
        except FAILURES as error:
            raise CorruptionError(
                f"ONNX Runtime cannot read artifact {name}: {error}", hint="restore it from a backup"
            ) from None
        self.signature = TensorSignature(
            tuple(_spec(name, each) for each in self._session.get_inputs()),
            tuple(_spec(name, each) for each in self._session.get_outputs()),
        )

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """Return the outputs of these names.

        Args:
            inputs: Every input of the signature; objects of `str` for BYTES.
            outputs: Names of outputs.

        Raises:
            InputError: The model refused the inputs, such as shapes that do not go together.
        """
        try:
            answers: list[NDArray[Any]] = self._session.run(list(outputs), dict(inputs))
        except FAILURES as error:
            raise InputError(f"the model refused the inputs: {error}", hint="send tensors that go together") from None
        return [np.asarray(answer) for answer in answers]


def _spec(name: str, found: Any) -> TensorSpec:
    datatype = DATATYPES.get(found.type)
    if datatype is None:
        raise Unsupported(
            f"artifact {name}: {found.name!r} is {found.type}", hint=f"known: {', '.join(sorted(DATATYPES))}"
        )
    shape = (size if isinstance(size, int) and size >= 0 else ANY_SIZE for size in found.shape)
    return TensorSpec(str(found.name), datatype, tuple(shape))
