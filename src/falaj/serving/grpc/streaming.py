"""Streaming: one `ModelStreamInfer`, its messages answered in the order of arrival."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from grpc.aio import EOF

from falaj.kernel.errors import AccessDenied, FalajError, Unauthenticated, Unavailable
from falaj.serving.grpc.caller import caller_of
from falaj.serving.grpc.front import Context, Front, Question
from falaj.serving.grpc.idle import Idle
from falaj.serving.grpc.open_streams import OpenStreams
from falaj.serving.grpc.watched_call import WatchedCall
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


class Pending(NamedTuple):
    """A message of a stream that is to be answered.

    Attributes:
        asked: What it asks, or why it cannot be asked.
        watched: What is noted of it; None for nothing.
    """

    asked: Asked | FalajError
    watched: WatchedCall | None


class InferStream:
    """One stream. An error is one message's and does not end it; a token that is none, silence or a drain does.

    Args:
        path: The method's.
        front: Admits.
        streams: Where it waits for its client.
        idle: Bounds how long its client may be silent.
        ask: Hands a message to the data plane.
        answer: Makes the message that answers one.
    """

    def __init__(
        self, path: str, front: Front, streams: OpenStreams, idle: Idle, ask: Callable[[Question], Asked],
        answer: Callable[[Pending], Awaitable[bytes]],
    ) -> None:  # fmt: skip
        self._path = path
        self._front = front
        self._streams = streams
        self._idle = idle
        self._ask = ask
        self._answer = answer
        self._waiting: asyncio.Queue[Pending | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._watched: set[WatchedCall] = set()
        self._ended: FalajError | None = None
        self._refused: WatchedCall | None = None

    async def serve(self, context: Context) -> None:
        """Answer until the client has asked everything, or leaves."""
        caller = caller_of(context.invocation_metadata())
        refusal = self._front.attempt(self._front.let_open, caller, "endpoint.predict")
        if isinstance(refusal, FalajError) and not isinstance(refusal, AccessDenied):
            # Without a token nobody holds a stream open.
            await self._front.fail(context, refusal, self._front.look(self._path, caller))
        reading = asyncio.ensure_future(self._read(context))
        try:
            while (pending := await self._waiting.get()) is not None:
                await context.write(await self._answer(pending))
                self._watched.discard(pending.watched)
                self._idle.answered()
                self._room.release()
        finally:
            reading.cancel()
            for watched in self._watched:
                watched.left()
            if self._ended is None and self._refused is not None:
                self._refused.left()
        if self._ended is not None:
            await self._front.fail(context, self._ended, self._refused or self._front.look(self._path, caller))

    async def _read(self, context: Context) -> None:
        caller = caller_of(context.invocation_metadata())

        async def read() -> None:
            await self._room.acquire()
            while (raw := await context.read()) is not EOF:
                watched = self._front.look(self._path, caller, len(raw))
                question = Question(raw, caller, context.time_remaining(), watched)
                asked = self._front.attempt(self._ask, question)
                if isinstance(asked, Unauthenticated):
                    self._ended, self._refused = asked, watched
                    return
                if watched is not None:
                    self._watched.add(watched)
                self._idle.asked()
                self._waiting.put_nowait(Pending(asked, watched))
                await self._room.acquire()

        try:
            await self._streams.run(read, self._idle)
            if self._streams.closed and self._ended is None:
                self._ended = Unavailable("the gateway drains", hint="ask what has no answer again, on a new stream")
        except FalajError as error:
            self._ended = error
        finally:
            self._waiting.put_nowait(None)
