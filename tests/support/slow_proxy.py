"""A proxy before a server that has become slow: answers are held back, come in pieces, or are cut off."""

import asyncio
import contextlib
import threading
from types import TracebackType

_PIECE_BYTES = 64


class SlowProxy:
    """Passes connections on to a port of this machine, from a thread of its own, until the block ends.

    Args:
        target: The port.

    Attributes:
        port: Where it listens.
        delay_s: How long each piece of an answer is held back.
        in_pieces: Whether an answer comes in pieces of 64 bytes, each held back.
        cut: Whether to send one such piece of each answer and then close.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        self.delay_s = 0.0
        self.in_pieces = False
        self.cut = False
        self._loop = asyncio.new_event_loop()
        self._listens = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> "SlowProxy":
        self._thread.start()
        assert self._listens.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._pass_on(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        self._listens.set()
        await self._end.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_on(self, asked: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            await self._exchange(asked, back)
        except OSError:
            pass  # either side is gone: so is the other
        finally:
            back.close()

    async def _exchange(self, asked: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        answered, on = await asyncio.open_connection("127.0.0.1", self._target)
        asking = asyncio.ensure_future(self._copy(asked, on))
        try:
            while data := await answered.read(1 << 16):
                for piece in self._pieces(data):
                    await asyncio.sleep(self.delay_s)
                    back.write(piece)
                    await back.drain()
                if self.cut:
                    break
        finally:
            asking.cancel()
            on.close()

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
        writer.close()

    def _pieces(self, data: bytes) -> list[bytes]:
        if self.cut:
            return [data[:_PIECE_BYTES]]
        size = _PIECE_BYTES if self.in_pieces else len(data)
        return [data[at : at + size] for at in range(0, len(data), size)]
