"""Watched: an exchange whose answer is timed, traced or written to the access log; other requests do not pass here."""

from typing import Protocol

from falaj.serving.http import Exchange, Request
from falaj.serving.http.messages import JSON, NO_HEADERS, Headers
from falaj.serving.trace_context import TraceContext


class Observing(Protocol):
    """What answers a watched exchange's answer; `observer.Observer` is one."""

    def answer(
        self, watched: "WatchedExchange", status: int, body: bytes, content_type: bytes, extra_headers: Headers
    ) -> None:
        """Send the answer and note what was asked for."""
        ...


class WatchedExchange(Exchange):
    """Stands between a handler and the exchange of its request.

    Args:
        observer: Gets the answer.
        exchange: Whose answer it is.
        request: The request.
        context: Its trace; None for none.
        timing: Whether the caller asks for `Server-Timing`.
        logged: Whether it has a line in the access log.
        begun_us: When it was received.
        begun_s: The same on the monotonic clock.

    Attributes:
        route: The pattern of the path, once it is found.
        name: What stood for the name in it.
        actor: Who asks, once that is known.
        routed_s: When the request was handed to the batch; 0 while it is not.
    """

    __slots__ = (
        "_observer", "actor", "begun_s", "begun_us", "context", "exchange", "logged", "name", "request", "route",
        "routed_s", "timing",
    )  # fmt: skip

    def __init__(
        self, observer: Observing, exchange: Exchange, request: Request, context: TraceContext | None, *,
        timing: bool, logged: bool, begun_us: int, begun_s: float,
    ) -> None:  # fmt: skip
        self._observer: Observing | None = observer
        self.exchange = exchange
        self.request = request
        self.context = context
        self.timing = timing
        self.logged = logged
        self.begun_us = begun_us
        self.begun_s = begun_s
        self.route = self.name = self.actor = ""
        self.routed_s = 0.0

    @property
    def open(self) -> bool:
        """Whether an answer can still be given."""
        return self._observer is not None and self.exchange.open

    @property
    def trace_id(self) -> str:
        """The trace's identifier; empty without one."""
        return "" if self.context is None else self.context.trace_id

    def respond(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = JSON,
        extra_headers: Headers = NO_HEADERS,
    ) -> None:
        """Answer; only the first call counts."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.answer(self, status, body, content_type, extra_headers)

    def abandon(self) -> None:
        """Forget the connection: its client has left."""
        self.exchange.abandon()
