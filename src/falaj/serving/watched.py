"""Watched: an exchange whose answer is timed, traced or written to the access log; other requests do not pass here."""

from urllib.parse import parse_qsl

from falaj.serving.http import Exchange, Request
from falaj.serving.http.messages import JSON, NO_HEADERS, Headers
from falaj.serving.observed import Answered, Observed, Step
from falaj.serving.observer import Observer, added
from falaj.serving.spans import Value


class WatchedExchange(Exchange):
    """Stands between a handler and the exchange of its request.

    Args:
        observer: Is told of the answer.
        exchange: Whose answer it is.
        request: The request.
        observed: What is noted of it.
        timing: Whether the caller asks for `Server-Timing`.
    """

    __slots__ = ("_observer", "exchange", "observed", "request", "timing")

    def __init__(
        self, observer: Observer, exchange: Exchange, request: Request, observed: Observed, *, timing: bool
    ) -> None:
        self._observer: Observer | None = observer
        self.exchange = exchange
        self.request = request
        self.observed = observed
        self.timing = timing

    @property
    def open(self) -> bool:
        """Whether an answer can still be given."""
        return self._observer is not None and self.exchange.open

    def respond(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = JSON,
        extra_headers: Headers = NO_HEADERS,
    ) -> None:
        """Answer, and note what was asked for; only the first call counts."""
        observer, self._observer = self._observer, None
        if observer is None:
            return
        gone = not self.exchange.open
        steps, sending_s = observer.answering(self.observed)
        self.exchange.respond(status, body, content_type, extra_headers + self._headers(steps, sending_s))
        observer.answered(self.observed, self._answered(status, len(body), gone=gone), steps, sending_s)

    def abandon(self) -> None:
        """Forget the connection: its client has left."""
        self.exchange.abandon()

    def _headers(self, steps: list[Step], now_s: float) -> Headers:
        headers = NO_HEADERS
        if self.timing:
            headers = ((b"server-timing", server_timing(steps, now_s - self.observed.begun_s)),)
        context = self.observed.context
        if context is not None:
            headers = (*headers, (b"traceparent", context.traceparent))
            if context.state:
                headers = (*headers, (b"tracestate", context.state))
        return headers

    def _answered(self, status: int, size: int, *, gone: bool) -> Answered:
        method, route = self.request.method.decode("latin-1"), self.observed.route
        attributes: dict[str, Value] = {"http.request.method": method, "http.response.status_code": status}
        if route:
            attributes["http.route"] = route
        return Answered(method, f"{method} {route}".rstrip(), attributes, status, len(self.request.body), size, gone)


def asks_for_timing(query: bytes) -> bool:
    """Whether a query says `timing=1`.

    Example:
        >>> asks_for_timing(b"timing=1"), asks_for_timing(b"a=b&timing"), asks_for_timing(b"timing=0")
        (True, True, False)
    """
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=None)
    return any(key == "timing" and value in ("", "1", "true") for key, value in pairs)


def server_timing(steps: list[Step], total_s: float) -> bytes:
    """Return the value of `Server-Timing`, in milliseconds, steps of one name added up.

    Example:
        >>> server_timing([("route", 0.0, 0.00005), ("model", 1.0, 1.0005), ("model", 2.0, 2.0005)], 0.002)
        b'route;dur=0.050, model;dur=1.000, total;dur=2.000'
    """
    parts = [*added(steps).items(), ("total", total_s)]
    return ", ".join(f"{name};dur={1000 * max(spent_s, 0.0):.3f}" for name, spent_s in parts).encode()
