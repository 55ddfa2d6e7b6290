"""REST codec: inference requests and answers as HTTP bodies, in JSON and with the binary tensor extension.

A binary body is the JSON part, whose length the header Inference-Header-Content-Length gives, and behind it the bytes
of those tensors that say `binary_data_size`, in their order.
"""

from typing import Any

import msgspec

from falaj.kernel.errors import InputError
from falaj.serving.inference import InferenceAnswer, InferenceRequest, WantedOutput, refuse_unsupported
from falaj.serving.tensors import Tensor, from_bytes, from_values, to_bytes, to_values

HEADER = b"inference-header-content-length"
OCTETS = b"application/octet-stream"

_SIZE = "binary_data_size"
_MAX_DIGITS = 12


class RestTensor(msgspec.Struct, omit_defaults=True):
    """A tensor in JSON.

    Attributes:
        name: Its name.
        shape: Its dimensions; the first one counts rows.
        datatype: BOOL, UINT8 to UINT64, INT8 to INT64, FP16, BF16 (binary only), FP32, FP64 or BYTES.
        data: Its values, flat in row-major order or nested; left out when they are in the binary part.
        parameters: `binary_data_size`: its bytes in the binary part.
    """

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class RestRequest(msgspec.Struct):
    """The JSON part of an inference request.

    Attributes:
        inputs: The tensors.
        id: The caller's own id; echoed and stored.
        parameters: `at` (T, RFC 3339) and `unit` for all rows; `binary_data_output`: answer in binary.
        outputs: The outputs asked for, all by default; `binary_data` in an output's parameters says its form.
    """

    inputs: list[RestTensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[WantedOutput] = []


class RestAnswer(msgspec.Struct, omit_defaults=True):
    """The JSON part of an inference answer.

    Attributes:
        model_name: As it was asked for.
        id: The caller's own id; the request id when none was sent.
        outputs: The tensors.
        parameters: Request ids and variants of the rows; whether defaults stood in for features.
        model_version: Left out when rows were decided by different versions.
    """

    model_name: str
    id: str
    outputs: list[RestTensor]
    parameters: dict[str, str | bool]
    model_version: str = ""


_decode = msgspec.json.Decoder(RestRequest).decode
_encode = msgspec.json.Encoder().encode


def decode_request(body: bytes, header: bytes | None = None) -> InferenceRequest:
    """Return the request of a body.

    Args:
        body: The whole body.
        header: The value of Inference-Header-Content-Length; None where it was not sent, and all of the body is JSON.

    Raises:
        InputError: It is not a request, or its parts do not fit together.
        Unsupported: It asks for shared memory, for classes instead of scores, or sends BF16 as JSON.

    Example:
        >>> body = b'{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"parameters":{"binary_data_size":1}}]}'
        >>> decode_request(body + bytes([7]), str(len(body)).encode()).inputs[0].values.tolist()
        [7]
    """
    end = len(body) if header is None else _json_length(header, len(body))
    try:
        read = _decode(body if end == len(body) else memoryview(body)[:end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"body: {error}", hint="send an Open Inference Protocol V2 request") from None
    for output in read.outputs:
        refuse_unsupported(output.name, output.parameters)
    inputs = []
    for tensor in read.inputs:
        refuse_unsupported(tensor.name, tensor.parameters)
        size = tensor.parameters.get(_SIZE)
        if size is None:
            inputs.append(_from_json(tensor))
        else:
            inputs.append(_from_binary(tensor, size, body, end))
            end += size
    if end != len(body):
        raise InputError(
            f"body: {len(body) - end} bytes belong to no tensor", hint=f"say {_SIZE} in each tensor's parameters"
        )
    return InferenceRequest(inputs, read.id, read.parameters, read.outputs)


def encode_answer(answer: InferenceAnswer, request: InferenceRequest) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON part when tensors follow in binary.

    Args:
        answer: The answer.
        request: What it answers: an output's `binary_data`, or else the request's `binary_data_output`, says its form.

    Raises:
        Unsupported: An element of BYTES is not UTF-8, and was asked for as JSON.
    """
    by_default = request.parameters.get("binary_data_output") is True
    wanted = {output.name: output.parameters.get("binary_data", by_default) is True for output in request.outputs}
    outputs, blocks = [], []
    for tensor in answer.outputs:
        rest = RestTensor(tensor.name, list(tensor.values.shape), tensor.datatype)
        if wanted.get(tensor.name, by_default):
            blocks.append(to_bytes(tensor))
            rest.parameters = {_SIZE: len(blocks[-1])}
        else:
            rest.data = to_values(tensor)
        outputs.append(rest)
    head = _encode(RestAnswer(answer.model_name, answer.id, outputs, answer.parameters, answer.model_version))
    return (b"".join((head, *blocks)), len(head)) if blocks else (head, None)


def _json_length(header: bytes, whole: int) -> int:
    if not header.isdigit() or len(header) > _MAX_DIGITS or int(header) > whole:
        shown = header[:40].decode("latin-1")
        raise InputError(
            f"Inference-Header-Content-Length is {shown!r}, and the body has {whole} bytes",
            hint="send the length of the JSON part",
        )
    return int(header)


def _from_json(tensor: RestTensor) -> Tensor:
    if tensor.data is None:
        raise InputError(f"input {tensor.name[:80]!r} has no data", hint=f"send data, or {_SIZE} and the bytes")
    return from_values(tensor.name, tensor.datatype, tensor.shape, tensor.data)


def _from_binary(tensor: RestTensor, size: Any, body: bytes, begin: int) -> Tensor:
    if type(size) is not int or size < 0 or begin + size > len(body):
        raise InputError(
            f"input {tensor.name[:80]!r}: {_SIZE} is {str(size)[:40]}, and {len(body) - begin} bytes are left",
            hint="send as many bytes as the tensors say, behind the JSON part",
        )
    if tensor.data is not None:
        raise InputError(f"input {tensor.name[:80]!r} has data and {_SIZE}", hint="send one of them")
    return from_bytes(tensor.name, tensor.datatype, tensor.shape, memoryview(body)[begin : begin + size])
