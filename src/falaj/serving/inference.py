"""Inference: a request and its answer as the Open Inference Protocol means them, whatever form they came in.

A codec turns a transport's bytes into an `InferenceRequest` and an `InferenceAnswer` into bytes, and nothing else: see
`rest_codec` for HTTP and `grpc.codec` for gRPC. What is done with a request is in `data_plane`.
"""

from typing import Any

import msgspec

from falaj.kernel.errors import Unsupported
from falaj.serving.tensors import Tensor

_REFUSED = ("shared_memory_region", "classification")


class WantedOutput(msgspec.Struct, frozen=True):
    """An output that the caller asks for by name.

    Attributes:
        name: Its name.
        parameters: What the caller adds, such as `binary_data`.
    """

    name: str
    parameters: dict[str, Any] = {}


class InferenceRequest(msgspec.Struct):
    """What a caller asks of a model.

    Attributes:
        inputs: The tensors sent.
        id: The caller's own id; echoed and stored.
        parameters: `at` (T, RFC 3339) and `unit` for all rows; those of the transport are its codec's.
        outputs: The outputs asked for; all of them when empty.
    """

    inputs: list[Tensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[WantedOutput] = []


class InferenceAnswer(msgspec.Struct):
    """What a model answers.

    Attributes:
        model_name: As it was asked for.
        id: The caller's own id; the request id when none was sent.
        outputs: The tensors asked for, in that order.
        parameters: Request ids, variants, whether defaults stood in for features.
        model_version: Empty when rows were decided by different versions.
    """

    model_name: str
    id: str
    outputs: list[Tensor]
    parameters: dict[str, str | bool]
    model_version: str = ""


def refuse_unsupported(name: str, parameters: dict[str, Any]) -> None:
    """Return if a tensor's parameters ask for nothing that the gateway does not do.

    Raises:
        Unsupported: They ask for shared memory, or for classes instead of scores.
    """
    for parameter in _REFUSED:
        if parameters.get(parameter):
            raise Unsupported(f"parameter {parameter!r} of {name[:80]!r} is not supported", hint="leave it out")
