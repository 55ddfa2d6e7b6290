"""Observer: which requests are looked at closely, and what is told of them."""

import math
import random
from collections.abc import Callable
from urllib.parse import parse_qsl

from falaj.serving.access_log import Access, AccessLog
from falaj.serving.http import Exchange, Request
from falaj.serving.http.messages import Headers
from falaj.serving.span_export import SpanExport
from falaj.serving.spans import Trace, Value
from falaj.serving.stages import Stages
from falaj.serving.trace_context import TraceContext, begin, parse
from falaj.serving.watched import WatchedExchange

_NEVER = 1 << 62

Step = tuple[str, float, float]
"""Name, begin and end, in seconds of the monotonic clock."""


class Sample:
    """Chooses a share of what comes by, each one independently of the others.

    How many to pass over is drawn at once: a random number for each request would cost more than all else that is done
    for those that are not chosen.

    Args:
        ratio: The share, 0 to 1.

    Example:
        >>> Sample(1.0).gap(), Sample(0.0).gap() > 10**15
        (1, True)
    """

    def __init__(self, ratio: float) -> None:
        self._log = math.log1p(-ratio) if ratio < 1 else -math.inf

    def gap(self) -> int:
        """Return which of the next is chosen: 1 is the first."""
        if self._log == 0.0:
            return _NEVER
        return min(1 + int(math.log(1.0 - random.random()) / self._log), _NEVER)  # noqa: S311 - a sample, no secret


class Tracing:
    """Whether and where requests are traced.

    Args:
        sample_ratio: Share of the requests without a caller's trace that begin one.
        export: Takes the finished traces; None to keep and echo contexts only.
    """

    def __init__(self, sample_ratio: float, export: SpanExport | None = None) -> None:
        self.sample_ratio = sample_ratio if export is not None else 0.0
        self.export = export


class Observer:
    """Watches requests that ask for it, are traced, or are in the access log's sample.

    Args:
        stages: Measures batches while somebody asks.
        now_us: The present instant in microseconds.
        monotonic: Seconds.
        tracing: None where traces are off.
        access: None where the access log is off.
        access_ratio: Share of the answers that get a line.

    Attributes:
        always: Whether every request counts; else only those with a query are looked at.
        left: Requests until the next that is in a sample; the caller counts it down.
    """

    def __init__(
        self, stages: Stages, now_us: Callable[[], int], monotonic: Callable[[], float], tracing: Tracing | None = None,
        access: AccessLog | None = None, access_ratio: float = 1.0,
    ) -> None:  # fmt: skip
        self._stages = stages
        self._now_us = now_us
        self._monotonic = monotonic
        self._tracing = tracing
        self._access = access
        self.always = tracing is not None or access is not None
        self._traced = Sample(0.0 if tracing is None else tracing.sample_ratio)
        self._logged = Sample(0.0 if access is None else access_ratio)
        self._trace_in, self._log_in = self._traced.gap(), self._logged.gap()
        self.left = self._armed = min(self._trace_in, self._log_in)

    def watch(self, request: Request, exchange: Exchange) -> WatchedExchange | None:
        """Return the exchange to answer through, or None when nobody wants to know anything of the request."""
        traced, logged = self._due() if self.left <= 0 else (False, False)
        context = None if self._tracing is None else _sent(request)
        if context is None and traced:
            context = begin()
        timing = bool(request.query) and asks_for_timing(request.query)
        if context is None and not logged and not timing:
            return None
        self._stages.asked += 1
        return WatchedExchange(
            self, exchange, request, context, timing=timing, logged=logged, begun_us=self._now_us(),
            begun_s=self._monotonic(),
        )  # fmt: skip

    def _due(self) -> tuple[bool, bool]:
        """Return which samples this request is in, and draw the next."""
        passed = self._armed - self.left
        self._trace_in -= passed
        self._log_in -= passed
        traced, logged = self._trace_in <= 0, self._log_in <= 0
        if traced:
            self._trace_in = self._traced.gap()
        if logged:
            self._log_in = self._logged.gap()
        self.left = self._armed = min(self._trace_in, self._log_in)
        return traced, logged

    def answer(
        self, watched: WatchedExchange, status: int, body: bytes, content_type: bytes, extra_headers: Headers
    ) -> None:
        """Send a watched exchange's answer, then note what is to be noted."""
        self._stages.asked -= 1
        gone = not watched.exchange.open
        before_s = self._monotonic()
        steps = self._steps(watched, before_s)
        headers = extra_headers
        if watched.timing:
            headers = (*headers, (b"server-timing", server_timing(steps, before_s - watched.begun_s)))
        context = watched.context
        if context is not None:
            headers = (*headers, (b"traceparent", context.traceparent))
            if context.state:
                headers = (*headers, (b"tracestate", context.state))
        watched.exchange.respond(status, body, content_type, headers)
        end_s = self._monotonic()
        steps.append(("respond", before_s, end_s))
        if context is not None and context.sampled and self._tracing is not None and self._tracing.export is not None:
            self._tracing.export.offer(_trace(watched, context, status, steps, end_s))
        if watched.logged and self._access is not None:
            self._access.offer(_access(watched, status, len(body), steps, end_s, gone=gone))

    def _steps(self, watched: WatchedExchange, now_s: float) -> list[Step]:
        """Return what the request went through until its answer was made."""
        stages = self._stages
        if not stages.running:  # answered at once, by a handler of its own
            return [("route", watched.begun_s, now_s)]
        # A request may be watched while the batch that it is in was begun by others.
        routed_s = watched.routed_s or stages.begun_s
        return [("route", watched.begun_s, routed_s), ("queue", routed_s, stages.begun_s), *stages.laps]


def _sent(request: Request) -> TraceContext | None:
    """Return the trace that the caller says the request belongs to."""
    sent = request.headers.get(b"traceparent")
    return None if sent is None else parse(sent, request.headers.get(b"tracestate", b""))


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
    added = [*_added(steps).items(), ("total", total_s)]
    return ", ".join(f"{name};dur={1000 * max(spent_s, 0.0):.3f}" for name, spent_s in added).encode()


def _added(steps: list[Step]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, begin_s, end_s in steps:
        found[name] = found.get(name, 0.0) + end_s - begin_s
    return found


def _trace(watched: WatchedExchange, context: TraceContext, status: int, steps: list[Step], end_s: float) -> Trace:
    received_ns, begun_s = watched.begun_us * 1000, watched.begun_s

    def at(moment_s: float) -> int:
        return received_ns + int((moment_s - begun_s) * 1e9)

    method = watched.request.method.decode("latin-1")
    attributes: dict[str, Value] = {"http.request.method": method, "http.response.status_code": status}
    if watched.route:
        attributes["http.route"] = watched.route
        attributes["falaj.name"] = watched.name
        attributes["falaj.actor"] = watched.actor
    name = f"{method} {watched.route}".rstrip()
    spans = [(step, at(begin_s), at(finish_s)) for step, begin_s, finish_s in steps]
    return Trace(context, name, received_ns, at(end_s), spans, attributes, status >= 500)


def _access(watched: WatchedExchange, status: int, size: int, steps: list[Step], end_s: float, *, gone: bool) -> Access:
    added = {name: int(1e6 * spent_s) for name, spent_s in _added(steps).items()}
    return Access(
        watched.begun_us, watched.request.method.decode("latin-1"), watched.route, watched.name, watched.actor, status,
        len(watched.request.body), size, int((end_s - watched.begun_s) * 1e6), gone, watched.trace_id, added,
    )  # fmt: skip
