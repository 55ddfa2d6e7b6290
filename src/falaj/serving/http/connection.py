"""Connection: one client's transport, its answers in order, and its deadlines."""

import asyncio
from collections import deque
from typing import Protocol, cast

from falaj.serving.boundary import contain
from falaj.serving.http.messages import JSON, Application, Exchange, Limits, Request, ResponseHeads
from falaj.serving.http.reader import BODY, CLOSE, HEAD, Refusal, RequestReader
from falaj.serving.statuses import error_body

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MAX_LINGER_BYTES = 16 * 1024 * 1024


class Host(Protocol):
    """What a connection needs of its server.

    Attributes:
        app: What is served.
        limits: What a connection may ask.
        heads: The prepared first lines of answers.
        now_s: Monotonic seconds, as of the last tick.
        draining: Whether each answer is to be its connection's last.
        drain_idle_s: How long a draining server keeps connections that ask nothing.
        connections: All open connections.
        responses: HTTP status to answers given.
        reading_bytes: Of bodies that have not come whole.
    """

    app: Application
    limits: Limits
    heads: ResponseHeads
    draining: bool
    connections: "set[Connection]"
    responses: dict[int, int]
    reading_bytes: int

    @property
    def now_s(self) -> float: ...

    @property
    def drain_idle_s(self) -> float: ...


class Connection(asyncio.Protocol):
    """The protocol object that the event loop drives; `check` is called by the server's one coarse timer."""

    __slots__ = (
        "_begun", "_begun_at_s", "_blocked", "_continue_due", "_discarded_bytes", "_ending", "_host", "_paused",
        "_pending", "_reader", "_reading_bytes", "_since_s", "_transport", "heads",
    )  # fmt: skip

    def __init__(self, host: Host) -> None:
        self._host = host
        self.heads = host.heads
        self._reader = RequestReader(host.limits, self._deliver, self._expect_continue)
        self._pending: deque[Exchange] = deque()
        self._transport: asyncio.Transport | None = None
        self._begun = 0
        self._begun_at_s = self._since_s = host.now_s
        self._discarded_bytes = self._reading_bytes = 0
        self._blocked = self._paused = self._ending = self._continue_due = False

    @property
    def busy(self) -> bool:
        """Whether a request is being read or waits for its answer."""
        return bool(self._pending) or self._reader.phase != 0

    @property
    def _unsent(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        if len(self._host.connections) >= self._host.limits.max_connections:
            self._turn_away()
            return
        self._host.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop's signature
        """Forget the client; answers that come later are dropped."""
        self._transport = None
        self._host.connections.discard(self)
        if self._reading_bytes:
            self._count_reading(0)
        for exchange in self._pending:
            exchange.abandon()
        self._pending.clear()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        reader = self._reader
        if reader.stopped:
            self._discard(len(data))
            return
        refusal = reader.feed(data)
        if reader.phase:
            self._since_s = self._host.now_s
            if reader.begun != self._begun:
                self._begun = reader.begun
                self._begun_at_s = self._since_s
            if reader.phase == BODY:
                refusal = refusal or self._count_reading(reader.received)
        elif self._reading_bytes:
            self._count_reading(0)
        if refusal is not None:
            self._refuse(refusal)
        elif len(self._pending) > self._host.limits.max_pipelined:
            self._pause()

    def eof_received(self) -> bool:
        """Finish what was asked: a client may shut its sending side and still read.

        Returns:
            Whether the transport stays open.
        """
        self._reader.stopped = True
        if self._pending and not self._ending:
            self._pending[-1].last = True
            return True
        return False

    def pause_writing(self) -> None:
        """Read no more requests from a client that does not read its answers."""
        self._blocked = True
        self._since_s = self._host.now_s
        self._pause()

    def resume_writing(self) -> None:
        """Read again."""
        self._blocked = False
        self._since_s = self._host.now_s
        self._unpause()

    def answered(self, exchange: Exchange) -> None:
        """Send the exchange's answer and those that waited behind it."""
        responses = self._host.responses
        responses[exchange.status] = responses.get(exchange.status, 0) + 1
        pending = self._pending
        if pending[0] is not exchange:
            return
        pending.popleft()
        answer = exchange.answer or b""
        if pending and pending[0].answer is not None:
            parts = [answer]
            while pending and pending[0].answer is not None:
                exchange = pending.popleft()
                parts.append(exchange.answer or b"")
            answer = b"".join(parts)
        self._since_s = self._host.now_s
        self._write(answer)
        if exchange.last:
            self._finish()
        elif self._continue_due and not pending:
            self._expect_continue()
        if self._paused and len(pending) <= self._host.limits.max_pipelined // 2:
            self._unpause()

    def check(self, now_s: float) -> None:
        """End the connection if one of its deadlines has passed."""
        limits, waited_s = self._host.limits, now_s - self._since_s
        if self._ending:
            if waited_s > (limits.request_timeout_s if self._unsent else limits.linger_s):
                self.abort()
        elif self._blocked:
            if waited_s > limits.request_timeout_s:
                self.abort()
        elif self._pending:
            return  # the application's turn; its own deadlines hold
        elif self._reader.phase == HEAD:
            if now_s - self._begun_at_s > limits.request_timeout_s:
                self._refuse(Refusal(408, "the request's head did not arrive in time", "timeout"))
        elif self._reader.phase == BODY:
            allowed_s = limits.request_timeout_s + self._reader.received / limits.min_body_rate
            if waited_s > limits.request_timeout_s or now_s - self._begun_at_s > allowed_s:
                self._refuse(Refusal(408, "the request's body did not arrive in time", "timeout"))
        elif waited_s > (self._host.drain_idle_s if self._host.draining else limits.idle_timeout_s):
            self._close()

    def abort(self) -> None:
        """Drop the client at once."""
        if self._transport is not None:
            self._transport.abort()

    def leave(self, host: Host) -> None:
        """Go on under a host that ends each connection with its next answer; costs the other connections nothing."""
        self._host = host

    def drain(self) -> None:
        """Make the last request read so far the connection's last, and its answer say so."""
        self._since_s = self._host.now_s
        if self._pending:
            self._pending[-1].last = True
            self._pending[-1].connection_header = CLOSE
            self._reader.stopped = True

    def _deliver(self, request: Request, last: bool, without_body: bool, connection_header: bytes) -> None:  # noqa: FBT001
        if self._host.draining:
            last, connection_header, self._reader.stopped = True, CLOSE, True
        exchange = Exchange(self, last=last, without_body=without_body, connection_header=connection_header)
        self._pending.append(exchange)
        error = contain(self._host.app.handle, request, exchange)
        if error is not None:
            exchange.fail(500, "the gateway failed on this request", "internal")

    def _count_reading(self, size_bytes: int) -> Refusal | None:
        """Count what this connection has of an unfinished body, and return why it cannot be read on, if so."""
        host = self._host
        host.reading_bytes += size_bytes - self._reading_bytes
        self._reading_bytes = size_bytes
        if host.reading_bytes > host.limits.max_reading_bytes:
            return Refusal(503, "too many large requests are being sent", "overloaded")
        return None

    def _turn_away(self) -> None:
        # Without the usual lingering: that would keep as many again open as the limit allows.
        responses = self._host.responses
        responses[503] = responses.get(503, 0) + 1
        self._reader.stopped = True
        body = error_body("too many connections are open", "overloaded", "try again in a second")
        head = self.heads.prefix(503, JSON)
        self._write(b"%b%d\r\nretry-after: 1\r\n%b\r\n%b" % (head, len(body), CLOSE, body))
        self._close()

    def _expect_continue(self) -> None:
        # An interim answer may not overtake the answers before it.
        self._continue_due = bool(self._pending)
        if not self._continue_due and not self._reader.stopped:
            self._write(_CONTINUE)

    def _refuse(self, refusal: Refusal) -> None:
        self._reader.forget()
        self._continue_due = False
        if self._reading_bytes:
            self._count_reading(0)
        exchange = Exchange(self, last=True, without_body=False, connection_header=CLOSE)
        self._pending.append(exchange)
        exchange.fail(refusal.status, refusal.message, refusal.code)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():  # writing to a closed one raises
            transport.write(data)

    def _finish(self) -> None:
        """Close after the last answer, reading on for a while so that unread bytes do not reset it."""
        transport = self._transport
        self._ending = self._reader.stopped = True
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            self._unpause()
            transport.write_eof()
        else:
            transport.close()

    def _discard(self, size_bytes: int) -> None:
        self._discarded_bytes += size_bytes
        if self._discarded_bytes > _MAX_LINGER_BYTES:
            self.abort() if self._ending else self._pause()

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _unpause(self) -> None:
        if self._paused and not self._blocked and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
