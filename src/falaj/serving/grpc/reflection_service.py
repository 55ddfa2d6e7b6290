"""`grpc.reflection.v1.ServerReflection` and `v1alpha`: clients without a .proto file ask what there is."""

from collections.abc import Callable
from typing import Any

import grpc

from falaj.kernel.errors import FalajError
from falaj.serving.grpc.caller import Caller
from falaj.serving.grpc.front import Context, Front
from falaj.serving.grpc.idle import Idle
from falaj.serving.grpc.messages import SERVICES, Message, Messages, read_message
from falaj.serving.grpc.open_streams import OpenStreams

_NOT_FOUND, _UNIMPLEMENTED = 5, 12
_SHOWN = 200


class ReflectionService:
    """Handlers of one version of the service.

    Args:
        package: The version's package.
        messages: What is told.
        front: Admits: like everything that says what there is, it needs a token.
        streams: Takes the streams.
        idle_timeout_s: How long the client of a stream may be silent.
    """

    def __init__(
        self, package: str, messages: Messages, front: Front, streams: OpenStreams, idle_timeout_s: float
    ) -> None:
        self._path = f"/{package}.ServerReflection/ServerReflectionInfo"
        self._idle_timeout_s = idle_timeout_s
        self._pool = messages.pool
        self._front = front
        self._streams = streams
        self._request = messages.type(f"{package}.ServerReflectionRequest")
        self._response = messages.type(f"{package}.ServerReflectionResponse")

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """Return gRPC's handlers by the methods' names."""
        info = self._front.streaming(self._path, self._info)
        return {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(info)}

    async def _info(self, _: Any, context: Context, caller: Caller) -> None:
        refusal = self._front.attempt(self._front.let_open, caller, "endpoint.read")
        if isinstance(refusal, FalajError):
            raise refusal
        idle = Idle(self._idle_timeout_s)

        async def answer() -> None:
            while (raw := await context.read()) is not grpc.aio.EOF:
                idle.asked()
                told = self._front.attempt(self._answer, raw)
                if isinstance(told, FalajError):
                    raise told
                await context.write(told)
                idle.answered()

        await self._streams.run(answer, idle)

    def _answer(self, raw: bytes) -> bytes:
        asked = read_message(self._request, raw)
        told = self._response(valid_host=asked.host, original_request=asked)
        kind = asked.WhichOneof("message_request")
        if kind == "list_services":
            for name in SERVICES:
                told.list_services_response.service.add(name=name)
        elif kind == "file_by_filename":
            self._tell_file(told, self._pool.FindFileByName, asked.file_by_filename)
        elif kind == "file_containing_symbol":
            self._tell_file(told, self._pool.FindFileContainingSymbol, asked.file_containing_symbol)
        elif kind == "all_extension_numbers_of_type" and self._has_type(asked.all_extension_numbers_of_type):
            told.all_extension_numbers_response.base_type_name = asked.all_extension_numbers_of_type
        elif kind is None:
            told.error_response.error_code = _UNIMPLEMENTED
            told.error_response.error_message = "nothing was asked"
        else:  # our messages have no extensions
            told.error_response.error_code = _NOT_FOUND
            told.error_response.error_message = "there is no such type or extension"
        serialized: bytes = told.SerializeToString()
        return serialized

    def _has_type(self, name: str) -> bool:
        try:
            self._pool.FindMessageTypeByName(name)
        except KeyError:
            return False
        return True

    def _tell_file(self, told: Message, find: Callable[[str], Any], name: str) -> None:
        try:
            told.file_descriptor_response.file_descriptor_proto.append(find(name).serialized_pb)
        except KeyError:
            told.error_response.error_code = _NOT_FOUND
            told.error_response.error_message = f"{name[:_SHOWN]} does not exist"
