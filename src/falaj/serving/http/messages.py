"""Messages: the request that an application gets, the exchange it answers through, and the limits of both."""

from email.utils import formatdate
from typing import Protocol

import msgspec

from falaj.serving.statuses import REASONS, error_body

JSON = b"application/json"

Headers = tuple[tuple[bytes, bytes], ...]

NO_HEADERS: Headers = ()

_RETRY: Headers = ((b"retry-after", b"1"),)
_FAILURE_HEADERS: dict[int, Headers] = {401: ((b"www-authenticate", b"Bearer"),), 429: _RETRY, 503: _RETRY}


class Limits(msgspec.Struct, frozen=True):
    """What one connection may ask of the server.

    Attributes:
        max_head_bytes: Request line and headers together; more is refused with 431.
        max_headers: Header lines; more are refused with 431.
        max_body_bytes: Larger bodies are refused with 413.
        max_connections: Open at the same time in one process; more are answered 503 and closed. Of gRPC an eighth of
            it besides.
        max_reading_bytes: Of all bodies of one process that have not come whole; what exceeds it is answered 503.
            Bodies are read before anybody knows whose they are, and connections times `max_body_bytes` would be a lot.
        max_pipelined: Requests of one connection that may wait for an answer; the connection is not read meanwhile.
        idle_timeout_s: A connection without a request is closed after it, also before its first byte.
        request_timeout_s: A head must be complete within it, and a body may not pause longer; 408 otherwise.
        min_body_rate: Bytes per second that a body must keep up beyond its first `request_timeout_s`, so that one
            byte now and then does not hold a connection for days.
        linger_s: How long a refused request's remaining bytes are read and dropped, so that the client gets to read
            the answer instead of a connection reset.
    """

    max_head_bytes: int = 32 * 1024
    max_headers: int = 100
    max_body_bytes: int = 4 * 1024 * 1024
    max_connections: int = 10_000
    max_reading_bytes: int = 256 * 1024 * 1024
    max_pipelined: int = 64
    idle_timeout_s: float = 75.0
    request_timeout_s: float = 10.0
    min_body_rate: float = 1024.0
    linger_s: float = 2.0


class Request(msgspec.Struct, gc=False):
    """One whole request.

    Attributes:
        method: In capitals; a HEAD arrives as GET, and the connection leaves the answer's body out.
        path: As sent, without the query; it may hold percent escapes.
        query: As sent, without the question mark.
        headers: By lower-case name; repeated ones are joined with a comma.
        body: The whole body, its chunks joined.
    """

    method: bytes
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes


class AnswerSink(Protocol):
    """Where an exchange leaves its answer: the connection that it came from."""

    @property
    def heads(self) -> "ResponseHeads":
        """The prepared first lines of answers."""
        ...

    def answered(self, exchange: "Exchange") -> None:
        """Send the exchange's answer, in the order of the requests."""
        ...


class ResponseHeads:
    """First lines of answers, prepared once a second because they carry the date."""

    def __init__(self) -> None:
        self._date = b""
        self._prefixes: dict[tuple[int, bytes], bytes] = {}

    def set_time(self, unix_s: float) -> None:
        """Put the instant into the answers from now on."""
        self._date = formatdate(unix_s, usegmt=True).encode()
        self._prefixes.clear()

    def prefix(self, status: int, content_type: bytes) -> bytes:
        """Return the lines up to the content length's value."""
        prefix = self._prefixes.get((status, content_type))
        if prefix is None:
            kind = b"content-type: %b\r\n" % content_type if content_type else b""
            prefix = b"HTTP/1.1 %d %b\r\ndate: %b\r\n%bcontent-length: " % (
                status,
                REASONS.get(status, b"Status"),
                self._date,
                kind,
            )
            if len(self._prefixes) < 1000:  # content types come from our own code; the bound is for its mistakes
                self._prefixes[(status, content_type)] = prefix
        return prefix


class Exchange:
    """One request's way back; `respond` may be called at once or later, in any order among exchanges."""

    __slots__ = ("_sink", "answer", "connection_header", "last", "status", "without_body")

    def __init__(self, sink: AnswerSink, *, last: bool, without_body: bool, connection_header: bytes) -> None:
        self._sink: AnswerSink | None = sink
        self.answer: bytes | None = None
        self.status = 0
        self.last = last
        self.without_body = without_body
        self.connection_header = connection_header

    @property
    def open(self) -> bool:
        """Whether an answer can still be given."""
        return self._sink is not None

    def respond(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = JSON,
        extra_headers: Headers = NO_HEADERS,
    ) -> None:
        """Answer; only the first call counts.

        A second answer or one after the client has left is dropped: otherwise one caller's disconnect would fail the
        flush that its batch-mates wait for.

        Args:
            status: The HTTP status.
            body: The whole body.
            content_type: Its media type; empty for an answer without a body.
            extra_headers: Further names and values.

        Raises:
            ValueError: A header holds a line break.
        """
        sink = self._sink
        if sink is None:
            return
        prefix = sink.heads.prefix(status, content_type)
        if extra_headers or self.connection_header:
            head = b"%b%d\r\n%b%b\r\n" % (prefix, len(body), self.connection_header, _header_lines(extra_headers))
        else:
            head = b"%b%d\r\n\r\n" % (prefix, len(body))
        self._sink = None
        self.status = status
        self.answer = head if self.without_body else head + body
        sink.answered(self)

    def fail(self, status: int, message: str, code: str, hint: str = "", extra_headers: Headers = NO_HEADERS) -> None:
        """Answer with an error's JSON body."""
        headers = _FAILURE_HEADERS.get(status, NO_HEADERS) + extra_headers
        self.respond(status, error_body(message, code, hint), JSON, headers)

    def abandon(self) -> None:
        """Forget the connection: its client has left."""
        self._sink = None


class Application(Protocol):
    """What the server serves."""

    def handle(self, request: Request, exchange: Exchange) -> None:
        """Answer the request through the exchange, now or later."""
        ...


def _header_lines(headers: Headers) -> bytes:
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    if lines.count(b"\r") != len(headers) or lines.count(b"\n") != len(headers):
        raise ValueError("an answer's header holds a line break")
    return lines
