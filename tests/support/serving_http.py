"""A transport in memory, and applications that remember what they were asked."""

import asyncio
import re
from collections.abc import Iterable

from falaj.kernel.clock import ManualClock
from falaj.serving.http import Connection, Exchange, HttpServer, Limits, Request


class MemoryTransport(asyncio.Transport):
    """Keeps what was written, and raises on a write after closing, as the real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.eof = self.aborted = False
        self.reading = True
        self.unsent_bytes = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.closed:
            raise RuntimeError("the transport is closed")
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True

    def pause_reading(self) -> None:
        self.reading = False

    def is_reading(self) -> bool:
        return self.reading

    def resume_reading(self) -> None:
        self.reading = True


class Recorder:
    """Answers each request at once with its own path, or keeps the exchanges for later."""

    def __init__(self, *, later: bool = False) -> None:
        self.later = later
        self.requests: list[Request] = []
        self.exchanges: list[Exchange] = []

    def handle(self, request: Request, exchange: Exchange) -> None:
        self.requests.append(request)
        self.exchanges.append(exchange)
        if not self.later:
            exchange.respond(200, request.path, b"text/plain")


class Client:
    """One connection to a server in memory."""

    def __init__(self, app: Recorder, limits: Limits | None = None, server: HttpServer | None = None) -> None:
        self.app = app
        self.clock = ManualClock()
        self.server = server or HttpServer(app, self.clock, limits or Limits())
        self.transport = MemoryTransport()
        self.connection: Connection = self.server.connect()
        self.connection.connection_made(self.transport)

    def send(self, *parts: bytes) -> "Client":
        for part in parts:
            self.connection.data_received(part)
        return self

    def wait(self, seconds: float) -> "Client":
        """Let time pass in ticks of a quarter of a second."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)
            self.server.tick()
        return self

    @property
    def answers(self) -> list[tuple[int, bytes]]:
        """The status and the body of each whole answer."""
        return list(read_answers(self.transport.written))

    @property
    def statuses(self) -> list[int]:
        return [status for status, _ in self.answers]


def read_answers(raw: bytes, *, heads_only: bool = False) -> Iterable[tuple[int, bytes]]:
    """Split raw bytes into answers, strictly."""
    while raw:
        head, found, raw = raw.partition(b"\r\n\r\n")
        assert found, head
        status = re.match(rb"HTTP/1\.1 (\d{3}) [ -~]+", head)
        assert status, head
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        size = int(length[1]) if length and not heads_only else 0
        assert len(raw) >= size, (head, raw)
        body, raw = raw[:size], raw[size:]
        yield int(status[1]), body


def get(path: bytes = b"/", *headers: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + b"".join(h + b"\r\n" for h in headers) + b"\r\n"


def post(body: bytes, *headers: bytes, path: bytes = b"/p") -> bytes:
    lines = b"".join(h + b"\r\n" for h in headers)
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b" % (path, len(body), lines, body)


def chunked(*chunks: bytes, path: bytes = b"/c", tail: bytes = b"\r\n") -> bytes:
    encoded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + encoded + b"0\r\n" + tail
