"""Bytes in, requests out: llhttp does the grammar, this class the limits and the framing rules beyond it."""

from collections.abc import Callable
from typing import Final

import httptools
import msgspec

from falaj.kernel.errors import InputError
from falaj.serving.http.messages import Limits, Request

IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2

_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"OPTIONS", b"PUT", b"DELETE", b"PATCH"))
_ONCE = frozenset((b"host", b"authorization", b"content-type", b"expect", b"inference-header-content-length"))
"""Headers whose second appearance could be read differently by a proxy before us."""

CLOSE = b"connection: close\r\n"
KEEP_ALIVE = b"connection: keep-alive\r\n"

Deliver = Callable[[Request, bool, bool, bytes], None]
"""Takes a request, whether it is the connection's last, whether the answer has no body, and its connection header."""


class Refusal(msgspec.Struct, frozen=True):
    """Why the connection's bytes can be read no further."""

    status: int
    message: str
    code: str = "input_invalid"


class RequestReader:
    """Parses one connection's bytes into requests and refuses what is malformed, ambiguous or too large.

    Args:
        limits: What is too large.
        deliver: Gets each whole request, in order.
        expect_continue: Called when the client waits for leave to send its body.

    Attributes:
        phase: IDLE between requests, HEAD or BODY within one.
        begun: Requests begun so far.
        received: Bytes of the present body so far.
        stopped: Whether further bytes are ignored.
    """

    __slots__ = (
        "_body", "_chunked", "_connection_header", "_deliver", "_expect_continue", "_fed", "_framing", "_head_bound",
        "_head_seen", "_headers", "_http_1_0", "_last", "_limits", "_method", "_parser", "_parts", "_quiet",
        "_quiet_mark", "_refusal", "_repeats", "_resuming", "_url", "begun", "phase", "received", "stopped",
    )  # fmt: skip

    def __init__(self, limits: Limits, deliver: Deliver, expect_continue: Callable[[], None]) -> None:
        self._limits = limits
        self._deliver = deliver
        self._expect_continue = expect_continue
        self._parser = httptools.HttpRequestParser(self)
        self._refusal: Refusal | None = None
        self.phase: int = IDLE
        self.begun = self.received = 0
        self.stopped = False
        self._fed = self._head_bound = self._head_seen = self._quiet = self._quiet_mark = 0
        self._method = self._connection_header = b""
        self._last = self._resuming = False
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._repeats = 0
        self._body = b""
        self._parts: list[bytes] | None = None
        self._chunked = self._http_1_0 = False
        self._framing: bytes | None = None

    def feed(self, data: bytes) -> Refusal | None:
        """Parse the next bytes; whole requests are delivered before it returns.

        Returns:
            None, or why nothing further of this connection will be read.
        """
        if self.stopped:
            return None
        begun, phase = self.begun, self.phase
        self._fed = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return None if self._framing is None else self._resume(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            return self._malformed(error)
        if self.phase == IDLE:
            return None
        return self._check_partial(same=self.begun == begun, first=phase == IDLE and self.begun == begun + 1)

    def forget(self) -> None:
        """Let go what was read of an unfinished request: nothing further will be."""
        self.stopped = True
        self.phase = IDLE
        self._reset()

    def on_message_begin(self) -> None:
        """Start a request."""
        if self.stopped:
            self._stop_parsing()
        self.phase = HEAD
        if not self._resuming:
            self.begun += 1
            self.received = self._head_bound = self._head_seen = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        if not self._resuming:
            self._url = self._url + url if self._url else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a whole header line, or a trailer."""
        if self.phase == BODY:
            self._count_repeated()
            return
        if self._resuming:
            return
        name = name.lower()
        headers = self._headers
        if name not in headers:
            headers[name] = value.rstrip()
            return
        if name in _ONCE:
            self._refuse(400, f"header {name.decode('latin-1')!r} is repeated")
        self._count_repeated()
        headers[name] = headers[name] + b", " + value.rstrip()

    def on_headers_complete(self) -> None:
        """Check the head and decide how the body is framed."""
        self.phase = BODY
        self._quiet = self._quiet_mark = 0
        if self._resuming:
            self._resuming = False
            return
        headers = self._headers
        self._method = self._parser.get_method()
        if self._head_bound + self._fed > self._limits.max_head_bytes or len(headers) > self._limits.max_headers:
            self._check_head()
        keep_alive = self._parser.should_keep_alive()
        self._last = not keep_alive
        self._connection_header = b"" if keep_alive else CLOSE
        if not keep_alive or b"connection" in headers or b"host" not in headers:
            self._check_version(keep_alive=keep_alive)
        if self._url[:1] != b"/":
            self._url = self._path_of(self._url)
        if self._method not in _METHODS:
            self._refuse(501, f"method {self._method.decode('latin-1')} is not supported", "unsupported")
        if b"content-length" in headers and int(headers[b"content-length"]) > self._limits.max_body_bytes:
            self._refuse_body()
        if b"transfer-encoding" in headers:
            self._check_chunked(headers[b"transfer-encoding"])
        if b"upgrade" in headers and self._parser.should_upgrade():
            self._framing = self._framing_head()
        if b"expect" in headers:
            self._check_expect(headers[b"expect"])

    def on_body(self, part: bytes) -> None:
        """Take a piece of the body."""
        self.received += len(part)
        if self._chunked and self.received > self._limits.max_body_bytes:
            self._refuse_body()
        if not self._body:
            self._body = part
        elif self._parts is None:
            self._parts = [self._body, part]
        else:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """Deliver the request."""
        if self._framing is not None:
            return  # llhttp skips the body of a request that asks for another protocol: `_resume` reads it
        path, _, query = self._url.partition(b"?")
        without_body = self._method == b"HEAD"
        body = self._body if self._parts is None else b"".join(self._parts)
        request = Request(b"GET" if without_body else self._method, path, query, self._headers, body)
        self.phase = IDLE
        self.stopped = self._last
        self._reset()
        self._deliver(request, self._last, without_body, self._connection_header)

    def _resume(self, rest: bytes) -> Refusal | None:
        """Read on behind a head that asked for another protocol, as if it had not asked.

        Common clients offer HTTP/2 that way with every first request, and mean it only as an offer.
        """
        framing, self._framing = self._framing or b"", None
        self._parser = httptools.HttpRequestParser(self)
        self._resuming = True
        self._parser.feed_data(framing)
        return self.feed(rest) if rest else None

    def _framing_head(self) -> bytes:
        if self._chunked:
            return b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        length = self._headers.get(b"content-length", b"0")
        return b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %b\r\n\r\n" % length

    def _path_of(self, url: bytes) -> bytes:
        if url == b"*" or self._method == b"CONNECT":
            return url
        authority, slash, path = url.partition(b"://")[2].partition(b"/")  # absolute form, as proxies send it
        if not authority:
            self._refuse(400, "the request target is neither a path nor a URL")
        return slash + path if slash else b"/"

    def _check_version(self, *, keep_alive: bool) -> None:
        version = self._parser.get_http_version()
        if version == "1.0":
            self._http_1_0 = True
            if keep_alive:
                self._connection_header = KEEP_ALIVE
            if b"transfer-encoding" in self._headers:
                self._refuse(400, "HTTP/1.0 has no transfer encoding")
        elif version != "1.1":
            self._refuse(505, f"HTTP/{version} is not spoken here", "unsupported")
        elif b"host" not in self._headers:
            self._refuse(400, "the Host header is missing")

    def _check_chunked(self, encoding: bytes) -> None:
        if b"content-length" in self._headers:
            self._refuse(400, "Content-Length and Transfer-Encoding stand together")
        if encoding.lower() != b"chunked":
            self._refuse(501, "the only transfer encoding read here is 'chunked'", "unsupported")
        self._chunked = True

    def _check_expect(self, expectation: bytes) -> None:
        if expectation.lower() != b"100-continue":
            self._refuse(417, "the only expectation met here is '100-continue'")
        has_body = self._chunked or self._headers.get(b"content-length", b"0").strip(b"0")
        if has_body and not self._http_1_0:
            self._expect_continue()

    def _check_head(self) -> None:
        lines = sum(len(name) + len(value) + 4 for name, value in self._headers.items())
        size = len(self._method) + len(self._url) + 12 + lines + 2
        if size > self._limits.max_head_bytes:
            self._refuse(431, f"the head is larger than {self._limits.max_head_bytes} bytes")
        if len(self._headers) + self._repeats > self._limits.max_headers:
            self._refuse(431, f"there are more than {self._limits.max_headers} headers")

    def _check_partial(self, *, same: bool, first: bool) -> Refusal | None:
        """Bound what an unfinished message may hold: the parser itself would gather one header for ever.

        Args:
            same: The message was unfinished before these bytes too.
            first: The message began with these bytes.
        """
        if self.phase == HEAD:
            self._head_bound += self._fed
            self._head_seen += self._fed if same or first else 0
            if self._head_seen > self._limits.max_head_bytes:
                return self._end(Refusal(431, f"the head is larger than {self._limits.max_head_bytes} bytes"))
        elif self._chunked and same:
            self._quiet = self._quiet + self._fed if self.received == self._quiet_mark else 0
            self._quiet_mark = self.received
            if self._quiet > self._limits.max_head_bytes:
                return self._end(Refusal(431, "a chunk's extension or the trailers are too large"))
        return None

    def _count_repeated(self) -> None:
        self._repeats += 1
        if self._repeats > self._limits.max_headers:
            self._refuse(431, f"there are more than {self._limits.max_headers} repeated headers or trailers")

    def _refuse_body(self) -> None:
        self._refuse(413, f"the body is larger than {self._limits.max_body_bytes} bytes")

    def _refuse(self, status: int, message: str, code: str = "input_invalid") -> None:
        self._refusal = Refusal(status, message, code)
        self._stop_parsing()

    def _stop_parsing(self) -> None:
        raise InputError("the parser is told to stop")  # ends llhttp's pass; `feed` turns it into the refusal

    def _malformed(self, error: Exception) -> Refusal | None:
        if self.stopped and self._refusal is None:
            return None  # bytes behind the last request of the connection
        return self._end(self._refusal or Refusal(400, f"malformed HTTP: {error}"))

    def _end(self, refusal: Refusal) -> Refusal:
        self.stopped = True
        return refusal
