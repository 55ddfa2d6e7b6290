"""`grpc.health.v1.Health`: what probes and load balancers ask; anybody may."""

import asyncio
from typing import Any

import grpc

from falaj.kernel.errors import FalajError, NotFound
from falaj.serving.data_plane import DataPlane
from falaj.serving.grpc.caller import Caller
from falaj.serving.grpc.front import Context, Front, Unary
from falaj.serving.grpc.messages import HEALTH, SERVICES, Message, Messages, read_message
from falaj.serving.grpc.open_streams import OpenStreams
from falaj.serving.intake import Receipt

_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 1, 2, 3
_LOOK_S = 0.25


class HealthService:
    """Handlers of the service.

    Args:
        plane: Knows whether requests should be sent here.
        messages: The classes of the messages.
        front: Counts.
        watchers: Takes those who watch. They need no token, so a number of its own bounds them.
    """

    def __init__(self, plane: DataPlane, messages: Messages, front: Front, watchers: OpenStreams) -> None:
        self._plane = plane
        self._front = front
        self._watchers = watchers
        self._request = messages.type("grpc.health.v1.HealthCheckRequest")
        self._response = messages.type("grpc.health.v1.HealthCheckResponse")

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """Return gRPC's handlers by the methods' names."""
        check = Unary(self._request, "", lambda _: "*", self._check)
        watch = self._front.streaming(f"/{HEALTH}/Watch", self._watch)
        return {
            "Check": self._front.unary(f"/{HEALTH}/Check", check),
            "Watch": grpc.unary_stream_rpc_method_handler(watch),
        }

    def _status(self, service: str) -> int:
        if service and service not in SERVICES:
            return _SERVICE_UNKNOWN
        return _SERVING if self._plane.ready else _NOT_SERVING

    def _check(self, message: Message, receipt: Receipt, authorization: bytes | None) -> Message:
        del receipt, authorization
        status = self._status(message.service)
        if status == _SERVICE_UNKNOWN:
            raise NotFound(f"service {message.service[:80]!r} does not exist", hint=f"known: {', '.join(SERVICES)}")
        return self._response(status=status)

    async def _watch(self, raw: bytes, context: Context, caller: Caller) -> None:
        del caller
        message = self._front.attempt(read_message, self._request, raw)
        if isinstance(message, FalajError):
            raise message
        service: Any = message.service

        async def watch() -> None:
            told = 0
            while True:
                status = self._status(service)
                if status != told:
                    told = status
                    await context.write(self._response(status=status).SerializeToString())
                await asyncio.sleep(_LOOK_S)

        await self._watchers.run(watch)
