"""`inference.GRPCInferenceService`: the methods of the Open Inference Protocol, on the data plane of HTTP."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import grpc
import msgspec

from falaj.kernel.errors import FalajError, NotFound, RateLimited
from falaj.kernel.sentence import one_sentence
from falaj.serving.data_plane import RAW, DataPlane
from falaj.serving.grpc.codec import InferCodec
from falaj.serving.grpc.codes import code_of
from falaj.serving.grpc.front import Context, Front, Question, Unary
from falaj.serving.grpc.idle import Idle
from falaj.serving.grpc.messages import INFERENCE, Message, Messages, read_message
from falaj.serving.grpc.open_streams import OpenStreams
from falaj.serving.grpc.streaming import Asked, InferStream, Pending
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
        idle_timeout_s: How long the client of a stream may be silent.
    """

    def __init__(
        self, plane: DataPlane, messages: Messages, front: Front, streams: OpenStreams, idle_timeout_s: float
    ) -> None:
        self._plane = plane
        self._messages = messages
        self._front = front
        self._streams = streams
        self._idle_timeout_s = idle_timeout_s
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
            name: self._front.unary(_path(name), Unary(self._messages.type(f"inference.{name}Request"), *more))
            for name, more in unary.items()
        }
        made["ModelInfer"] = self._front.answering(_path("ModelInfer"), self._infer)
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

    async def _infer(self, question: Question) -> bytes | FalajError:
        asked = self._front.attempt(self._ask, question)
        if isinstance(asked, FalajError):
            return asked
        answer = await asked.answer
        return answer if isinstance(answer, FalajError) else self._front.attempt(self._encoded, answer, asked.request)

    def _ask(self, question: Question, *, streamed: bool = False) -> Asked:
        front, caller, watched = self._front, question.caller, question.watched
        message = read_message(self._codec.request, question.raw)
        name, version = message.model_name, message.model_version
        # The deadline of a stream is that of all its messages, so each has the endpoint's as well.
        options = self._plane.options(name) if streamed else None
        shown = f"{name}/{version}" if version else name
        receipt = front.admit(question, "endpoint.predict", name.removesuffix(RAW), shown, options)
        request = self._codec.decode(message)
        asked = Asked(request, asyncio.get_running_loop().create_future())

        def finish(answer: InferenceAnswer | FalajError) -> None:
            if watched is not None:
                watched.decided()
            if not asked.answer.done():  # it is when the client has left
                asked.answer.set_result(answer)

        test = None if caller.variant is None else caller.variant.decode("latin-1")
        self._plane.infer(name, version, request, receipt, caller.authorization, finish, test)
        front.routed(question)
        return asked

    def _encoded(self, answer: InferenceAnswer, request: InferenceRequest) -> bytes:
        encoded: bytes = self._codec.encode(answer, request).SerializeToString()
        return encoded

    async def _stream(self, _: Any, context: Context) -> None:
        ask = functools.partial(self._ask, streamed=True)
        idle = Idle(self._idle_timeout_s)
        path = _path("ModelStreamInfer")
        await InferStream(path, self._front, self._streams, idle, ask, self._streamed).serve(context)

    async def _streamed(self, pending: Pending) -> bytes:
        asked, watched = pending
        answer: Message | InferenceAnswer | FalajError = asked
        message = self._stream_response()
        if not isinstance(asked, FalajError):
            message.infer_response.id = asked.request.id  # tells which message an error belongs to
            answer = await asked.answer
            if not isinstance(answer, FalajError):
                answer = self._front.attempt(self._codec.encode, answer, asked.request)
        error = answer if isinstance(answer, FalajError) else None
        if error is None:
            message.infer_response.CopyFrom(answer)
            self._front.count()
        else:
            _tell_error(message, error)
            self._front.count(code_of(error.code).name)
        serialized: bytes = message.SerializeToString()
        if watched is not None:
            watched.answered(error, len(serialized))
        return serialized


def _tell_error(message: Message, error: FalajError) -> None:
    message.error_message = one_sentence(error.message) or error.code
    told = message.infer_response.parameters  # what a call of its own has in its trailing metadata
    told["falaj-code"].string_param = error.code
    if error.hint:
        told["falaj-hint"].string_param = one_sentence(error.hint)
    if isinstance(error, RateLimited):
        told["retry-after"].int64_param = error.retry_after_s


def _path(name: str) -> str:
    return f"/{INFERENCE}/{name}"


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
