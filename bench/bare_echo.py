"""The ceiling where `../shared/bench/echo.py` is absent: a constant answer. Run it with `python bare_echo.py PORT`."""

import asyncio
import sys

import httptools
import uvloop

_BODY = b'{"id":"r1","prediction":0.5123,"model_version":"3","variant":"champion"}'
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class Echo(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer."""
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(_ANSWER)


async def _serve(port: int) -> None:
    await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, reuse_port=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
