"""Streaming: one `ModelStreamInfer`, its messages answered in the order of arrival."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from grpc.aio import EOF

from falaj.kernel.errors import AccessDenied, FalajError, Unauthenticated, Unavailable
from falaj.serving.grpc.front import Context, Front, authorization_of
from falaj.serving.grpc.open_streams import OpenStreams
from falaj.serving.inference import InferenceAnswer, InferenceRequest

MAX_WAITING = 64
"""Messages of one stream that may wait for an answer; the stream is not read meanwhile."""


class Asked(NamedTuple):
    """A message on its way through the data plane.

    Attributes:
        request: What it asks.
        answer: The answer to come.
    """

    request: InferenceRequest
    answer: "asyncio.Future[InferenceAnswer | FalajError]"


class InferStream:
    """One stream. An error is one message's and does not end it; a token that is none, or a drain, does.

    Args:
        front: Admits.
        streams: Where it waits for its client.
        ask: Hands a message to the data plane.
        answer: Makes the message that answers one.
    """

    def __init__(
        self, front: Front, streams: OpenStreams, ask: Callable[[bytes, bytes | None], Asked],
        answer: Callable[[Asked | FalajError], Awaitable[bytes]],
    ) -> None:  # fmt: skip
        self._front = front
        self._streams = streams
        self._ask = ask
        self._answer = answer
        self._waiting: asyncio.Queue[Asked | FalajError | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._ended: FalajError | None = None

    async def serve(self, context: Context) -> None:
        """Answer until the client has asked everything, or leaves."""
        refusal = self._front.attempt(self._front.let_open, authorization_of(context), "endpoint.predict")
        if isinstance(refusal, FalajError) and not isinstance(refusal, AccessDenied):
            await self._front.fail(context, refusal)  # without a token nobody holds a stream open
        reading = asyncio.ensure_future(self._read(context))
        try:
            while (asked := await self._waiting.get()) is not None:
                await context.write(await self._answer(asked))
                self._room.release()
        finally:
            reading.cancel()
        if self._ended is not None:
            await self._front.fail(context, self._ended)

    async def _read(self, context: Context) -> None:
        authorization = authorization_of(context)

        async def read() -> None:
            await self._room.acquire()
            while (raw := await context.read()) is not EOF:
                asked = self._front.attempt(self._ask, raw, authorization)
                if isinstance(asked, Unauthenticated):
                    self._ended = asked
                    return
                self._waiting.put_nowait(asked)
                await self._room.acquire()

        try:
            await self._streams.run(read)
            if self._streams.closed and self._ended is None:
                self._ended = Unavailable("the gateway drains", hint="ask what has no answer again, on a new stream")
        except FalajError as error:
            self._ended = error
        finally:
            self._waiting.put_nowait(None)
