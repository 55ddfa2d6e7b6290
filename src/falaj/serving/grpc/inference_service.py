"""`inference.GRPCInferenceService`: the methods of the Open Inference Protocol, on the data plane of HTTP."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import msgspec

from falaj.kernel.errors import FalajError, NotFound
from falaj.kernel.sentence import one_sentence
from falaj.serving.data_plane import RAW, DataPlane
from falaj.serving.grpc.codec import InferCodec
from falaj.serving.grpc.codes import code_of
from falaj.serving.grpc.front import Context, Front, Unary, authorization_of
from falaj.serving.grpc.messages import Message, Messages, read_message
from falaj.serving.grpc.open_streams import OpenStreams
from falaj.serving.grpc.streaming import Asked, InferStream
from falaj.serving.inference import InferenceAnswer, InferenceRequest
from falaj.serving.intake import Receipt
from falaj.serving.metadata import ServerMetadata
from falaj.serving.model_statistics import VersionStatistics


class InferenceService:
    """Handlers of the service.

    Args:
        plane: What answers.
        messages: The classes of the messages.
        front: Admits and counts.
        streams: Takes the streams.
    """

    def __init__(self, plane: DataPlane, messages: Messages, front: Front, streams: OpenStreams) -> None:
        self._plane = plane
        self._messages = messages
        self._front = front
        self._streams = streams
        self._codec = InferCodec(messages)
        self._stream_response = messages.type("inference.ModelStreamInferResponse")

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """Return gRPC's handlers by the methods' names."""
        unary: dict[str, tuple[str, Callable[[Message], str], Callable[..., Message]]] = {
            "ServerLive": ("", _everything, self._live),
            "ServerReady": ("", _everything, self._ready),
            "ServerMetadata": ("endpoint.read", _everything, self._server),
            "ModelReady": ("endpoint.read", _named, self._model_ready),
            "ModelMetadata": ("endpoint.read", _named, self._model),
            "ModelStatistics": ("endpoint.read", _named, self._statistics),
            "RepositoryIndex": ("endpoint.read", _everything, self._index),
        }
        made = {
            name: self._front.unary(Unary(self._messages.type(f"inference.{name}Request"), *more))
            for name, more in unary.items()
        }
        made["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._infer)
        made["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        return made

    def _make(self, name: str, /, **fields: Any) -> Message:
        return self._messages.make(f"inference.{name}", **fields)

    def _live(self, message: Message, receipt: Receipt, authorization: bytes | None) -> Message:
        del message, receipt, authorization
        return self._make("ServerLiveResponse", live=True)

    def _ready(self, message: Message, receipt: Receipt, authorization: bytes | None) -> Message:
        del message, receipt, authorization
        return self._make("ServerReadyResponse", ready=self._plane.ready)

    def _server(self, message: Message, receipt: Receipt, authorization: bytes | None) -> Message:
        del message, receipt, authorization
        return self._make("ServerMetadataResponse", **msgspec.structs.asdict(ServerMetadata()))

    def _model_ready(self, message: Message, receipt: Receipt, authorization: bytes | None) -> Message:
        del receipt, authorization
        try:
            ready = self._plane.model_ready(message.name, message.version).ready
        except NotFound:
            ready = False  # the protocol's answer: whoever waits for a model asks until it is there
        return self._make("ModelReadyResponse", ready=ready)

    def _model(self, message: Message, receipt: Receipt, authorization: bytes | None) -> Message:
        del receipt, authorization
        told = self._plane.metadata(message.name, message.version)
        return self._make("ModelMetadataResponse", **msgspec.to_builtins(told))

    def _index(self, message: Message, receipt: Receipt, authorization: bytes | None) -> Message:
        del message
        entries = self._plane.index(authorization, receipt.received_us)
        return self._make("RepositoryIndexResponse", models=[msgspec.structs.asdict(entry) for entry in entries])

    def _statistics(self, message: Message, receipt: Receipt, authorization: bytes | None) -> Message:
        now_us = receipt.received_us
        names = [message.name]
        if not message.name:
            names = sorted({entry.name for entry in self._plane.index(authorization, now_us)})
        told = [one for name in names for one in self._plane.statistics(name, message.version, now_us).model_stats]
        return self._make("ModelStatisticsResponse", model_stats=[_version(one) for one in told])

    async def _infer(self, raw: bytes, context: Context) -> bytes:
        front = self._front
        asked = front.attempt(self._ask, raw, authorization_of(context), context.time_remaining())
        if not isinstance(asked, FalajError):
            answer = await asked.answer
            if not isinstance(answer, FalajError):
                encoded = front.attempt(self._encoded, answer, asked.request)
                if not isinstance(encoded, FalajError):
                    front.count()
                    return encoded
                answer = encoded
            asked = answer
        return await front.fail(context, asked)

    def _ask(self, raw: bytes, authorization: bytes | None, remaining_s: float | None = None) -> Asked:
        message = read_message(self._codec.request, raw)
        name = message.model_name
        resource = name.removesuffix(RAW)
        receipt = self._front.admit(
            authorization, "endpoint.predict", resource, remaining_s=remaining_s, size_bytes=len(raw)
        )
        request = self._codec.decode(message)
        asked = Asked(request, asyncio.get_running_loop().create_future())

        def finish(answer: InferenceAnswer | FalajError) -> None:
            if not asked.answer.done():  # it is when the client has left
                asked.answer.set_result(answer)

        self._plane.infer(name, message.model_version, request, receipt, authorization, finish)
        return asked

    def _encoded(self, answer: InferenceAnswer, request: InferenceRequest) -> bytes:
        encoded: bytes = self._codec.encode(answer, request).SerializeToString()
        return encoded

    async def _stream(self, _: Any, context: Context) -> None:
        await InferStream(self._front, self._streams, self._ask, self._streamed).serve(context)

    async def _streamed(self, asked: Asked | FalajError) -> bytes:
        answer: Message | InferenceAnswer | FalajError = asked
        message = self._stream_response()
        if not isinstance(asked, FalajError):
            message.infer_response.id = asked.request.id  # tells which message an error belongs to
            answer = await asked.answer
            if not isinstance(answer, FalajError):
                answer = self._front.attempt(self._codec.encode, answer, asked.request)
        if isinstance(answer, FalajError):
            message.error_message = one_sentence(answer.message) or answer.code
            self._front.count(code_of(answer.code).name)
        else:
            message.infer_response.CopyFrom(answer)
            self._front.count()
        serialized: bytes = message.SerializeToString()
        return serialized


def _everything(message: Message) -> str:
    del message
    return "*"


def _named(message: Message) -> str:
    name: str = message.name
    return name.removesuffix(RAW) or "*"


def _version(told: VersionStatistics) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(told)
    del fields["batch_stats"]
    return fields
