"""The codec of gRPC: `ModelInferRequest` to an inference request, and an answer to `ModelInferResponse`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.kernel.errors import InputError, Unsupported
from falaj.serving.grpc.messages import Message, Messages
from falaj.serving.inference import InferenceAnswer, InferenceRequest, WantedOutput, refuse_unsupported
from falaj.serving.tensors import BYTES, NUMPY, Tensor, from_array, from_bytes, to_bytes

RAW_OUTPUT = "binary_data_output"
"""The request's parameter that chooses the answer's form: raw contents, or typed ones when it is false."""

_FIELDS: dict[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
_WIDE: dict[str, type[np.generic]] = {"int_contents": np.int32, "uint_contents": np.uint32}


class InferCodec:
    """Reads and writes the messages of `ModelInfer` and `ModelStreamInfer`.

    Args:
        messages: Their classes.
    """

    def __init__(self, messages: Messages) -> None:
        self.request = messages.type("inference.ModelInferRequest")
        self.response = messages.type("inference.ModelInferResponse")
        self._parameter = messages.type("inference.InferParameter")

    def decode(self, message: Message) -> InferenceRequest:
        """Return what is asked.

        Args:
            message: A `ModelInferRequest`.

        Raises:
            InputError: Its parts do not fit together.
            Unsupported: It asks for shared memory, or for classes instead of scores.
        """
        raws = list(message.raw_input_contents)
        if raws and len(raws) != len(message.inputs):
            raise InputError(
                f"there are {len(message.inputs)} inputs and {len(raws)} raw_input_contents",
                hint="send raw_input_contents for all inputs, or contents for all",
            )
        inputs = [_tensor(tensor, raws[i] if raws else None) for i, tensor in enumerate(message.inputs)]
        outputs = []
        for output in message.outputs:
            outputs.append(WantedOutput(output.name, _parameters(output.parameters)))
            refuse_unsupported(output.name, outputs[-1].parameters)
        return InferenceRequest(inputs, message.id, _parameters(message.parameters), outputs)

    def encode(self, answer: InferenceAnswer, request: InferenceRequest) -> Message:
        """Return the `ModelInferResponse`.

        Args:
            answer: The answer.
            request: What it answers; says the form.

        Raises:
            Unsupported: Typed contents were asked for, and there are none of an output's datatype.
        """
        message = self.response(model_name=answer.model_name, model_version=answer.model_version, id=answer.id)
        for name, value in answer.parameters.items():
            parameter = message.parameters[name]
            if isinstance(value, bool):
                parameter.bool_param = value
            else:
                parameter.string_param = value
        typed = request.parameters.get(RAW_OUTPUT) is False
        for tensor in answer.outputs:
            output = message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.values.shape)
            if typed:
                _fill(output.contents, tensor)
            else:
                message.raw_output_contents.append(to_bytes(tensor))
        return message


def _parameters(given: Mapping[str, Message]) -> dict[str, Any]:
    if not given:
        return {}
    parameters: dict[str, Any] = {}
    for name, value in given.items():
        chosen = value.WhichOneof("parameter_choice")
        if chosen is None:
            raise InputError(f"parameter {name[:80]!r} has no value", hint="set one, or leave the parameter out")
        parameters[name] = getattr(value, chosen)
    return parameters


def _tensor(tensor: Message, raw: bytes | None) -> Tensor:
    name, datatype, shape = tensor.name, tensor.datatype, list(tensor.shape)
    refuse_unsupported(name, _parameters(tensor.parameters))
    if raw is not None:
        if tensor.HasField("contents") and tensor.contents.ByteSize():
            raise InputError(f"input {name[:80]!r} has contents and raw_input_contents", hint="send one of them")
        return from_bytes(name, datatype, shape, memoryview(raw))
    field = _FIELDS.get(datatype)
    if field is None:
        if datatype in ("FP16", "BF16"):
            raise InputError(f"input {name[:80]!r}: {datatype} has no typed contents", hint="send raw_input_contents")
        return from_array(name, datatype, shape, np.empty(0))  # which says that there is no such datatype
    for found, _ in tensor.contents.ListFields():
        if found.name != field:
            raise InputError(f"input {name[:80]!r}: {datatype} is in {found.name}", hint=f"put it in {field}")
    values = getattr(tensor.contents, field)
    return from_array(name, datatype, shape, _array(name, datatype, field, values))


def _array(name: str, datatype: str, field: str, values: Any) -> NDArray[Any]:
    if datatype == BYTES:
        texts = np.empty(len(values), object)
        texts[:] = list(values)
        return texts
    kind = NUMPY[datatype]
    wide: NDArray[Any] = np.fromiter(values, _WIDE.get(field, kind), len(values))
    narrow = wide.astype(kind, copy=False)
    if wide is not narrow and (wide != narrow).any():
        value = wide[wide != narrow][0]
        raise InputError(f"input {name[:80]!r}: {value} is not {datatype}", hint=f"send {datatype} values")
    return narrow


def _fill(contents: Message, tensor: Tensor) -> None:
    field = _FIELDS.get(tensor.datatype)
    if field is None:
        raise Unsupported(
            f"output {tensor.name!r}: {tensor.datatype} has no typed contents", hint=f"leave {RAW_OUTPUT} out"
        )
    getattr(contents, field).extend(tensor.values.reshape(-1).tolist())
    contents.SetInParent()
