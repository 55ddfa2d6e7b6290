"""Open streams: what waits for its client without end, and must not hold up a drain."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from falaj.kernel.errors import Overloaded
from falaj.serving.grpc.idle import Idle


class OpenStreams:
    """Streams that wait: for their client's next message, or for a change. A drain ends the waiting.

    Args:
        most: How many there may be at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = False

    async def run(self, waiting: Callable[[], Coroutine[Any, Any, None]], idle: Idle | None = None) -> None:
        """Wait until the stream ends by itself, or all of them are closed.

        Args:
            waiting: Reads, or watches.
            idle: Bounds how long the client may be silent; None for as long as it likes.

        Raises:
            Overloaded: Too many are open.
            Timeout: The client was silent for too long.
        """
        if self.closed:
            return
        if len(self._tasks) >= self._most:
            raise Overloaded(f"{self._most} streams are open", hint="close some, or ask without a stream")
        task = asyncio.ensure_future(waiting())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if idle is not None:
            idle.watch(task)
        try:
            await task
        except asyncio.CancelledError:
            if idle is not None and idle.expired:
                raise idle.error() from None
            if not self.closed:
                raise
        finally:
            if idle is not None:
                idle.stop()

    def close(self) -> None:
        """End all of them, and let no more begin."""
        self.closed = True
        for task in tuple(self._tasks):
            task.cancel()
