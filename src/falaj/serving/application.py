"""Application: every path of the gateway, who may use it, and what an error looks like."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec

from falaj.kernel.errors import FalajError, RateLimited
from falaj.serving.boundary import contain
from falaj.serving.data_plane import RAW
from falaj.serving.deadline import HEADER
from falaj.serving.exposition import CONTENT_TYPE, render
from falaj.serving.guard import PUBLIC_PATHS
from falaj.serving.http import Exchange, Request
from falaj.serving.http.messages import JSON, NO_HEADERS
from falaj.serving.intake import Receipt
from falaj.serving.native import NativeForm
from falaj.serving.observer import Observer
from falaj.serving.open_inference import OpenInference
from falaj.serving.openapi import document
from falaj.serving.peer_metrics import peer_families
from falaj.serving.reception import receive
from falaj.serving.router import Handler, Route, Router
from falaj.serving.routes import ROUTES
from falaj.serving.snapshots import Snapshots
from falaj.serving.stats import read_stats
from falaj.serving.statuses import error_body, status_of
from falaj.serving.watched import WatchedExchange, asks_for_timing


class Gateway:
    """The application that a worker serves.

    Args:
        snapshots: What serves and who may ask.
        native: Our own form.
        open_inference: The standard form.
        metrics: Writes this worker's counts and returns the folder of all workers' counts.
        now_us: The present instant in microseconds.
        monotonic: Seconds, for latencies.
        observer: Times, traces and logs those requests that are to be.
        peer_names: Peers whose metrics' names `/metrics` uses as well.
    """

    def __init__(
        self, snapshots: Snapshots, native: NativeForm, open_inference: OpenInference, metrics: Callable[[], Path],
        now_us: Callable[[], int], monotonic: Callable[[], float], observer: Observer,
        peer_names: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self._snapshots = snapshots
        self._metrics_folder = metrics
        self._now_us = now_us
        self._monotonic = monotonic
        self._observer = observer
        self._looks = observer.always
        self._peer_names = peer_names
        self._router = Router()
        handlers = self._handlers(native, open_inference)
        for route in ROUTES:
            handler = handlers[route.handler or route.operation]
            self._router.add(route.method, route.path, route.action, handler, route.resource)

    def handle(self, request: Request, exchange: Exchange) -> None:
        """Answer a request, or hand it to the batch that will."""
        if request.query or self._looks:  # by far most requests have no query, and nothing looks at them
            watched = self._look(request, exchange)
            if watched is not None:
                self._handle_watched(request, watched)
                return
        try:
            self._dispatch(request, exchange)
        except FalajError as error:
            refuse(exchange, error)

    def _look(self, request: Request, exchange: Exchange) -> WatchedExchange | None:
        observer = self._observer
        observer.left -= 1
        sent = request.headers.get(b"traceparent")
        if observer.left > 0 and not request.query and sent is None:
            return None
        timing = bool(request.query) and asks_for_timing(request.query)
        observed = observer.look(sent, request.headers.get(b"tracestate", b""), timing=timing)
        return None if observed is None else WatchedExchange(observer, exchange, request, observed, timing=timing)

    def _handle_watched(self, request: Request, watched: WatchedExchange) -> None:
        def dispatch() -> None:
            try:
                self._dispatch(request, watched, watched)
            except FalajError as error:
                refuse(watched, error)

        if contain(dispatch) is not None:
            watched.fail(500, "the gateway failed on this request", "internal")
        watched.observed.routed_s = self._monotonic()

    def _dispatch(self, request: Request, exchange: Exchange, watched: WatchedExchange | None = None) -> None:
        found = self._router.find(request.path)
        if found is None:
            if request.method == b"OPTIONS" and request.path == b"*":
                exchange.respond(200, b"", b"", ((b"allow", b"GET, HEAD, POST, OPTIONS"),))
                return
            path = request.path[:200].decode("latin-1")
            exchange.fail(404, f"there is no path {path}", "not_found", "GET /v1/openapi.json describes the routes")
            return
        route, name = found
        if watched is not None:
            watched.observed.route, watched.observed.name = route.pattern, name.replace("\n", "/")
        handler = route.handlers.get(request.method)
        if handler is None:
            self._other_method(request, exchange, b", ".join((*sorted(route.handlers), b"OPTIONS")))
            return
        received_us = self._now_us()
        started_s = self._monotonic()
        if request.path not in PUBLIC_PATHS:
            resource = _resource(route, request, name)
            authorization = request.headers.get(b"authorization")
            receipt = receive(
                self._snapshots.guard, authorization, route.action, resource, received_us, started_s,
                request.headers.get(HEADER), len(request.body),
            )  # fmt: skip
        else:
            receipt = Receipt(received_us, started_s, "")
        if watched is not None:
            watched.observed.actor = receipt.actor
            receipt = msgspec.structs.replace(receipt, trace_id=watched.observed.trace_id)
        handler(request, exchange, receipt, name)

    def _other_method(self, request: Request, exchange: Exchange, allowed: bytes) -> None:
        allow = ((b"allow", allowed.replace(b"GET", b"GET, HEAD")),)
        if request.method == b"OPTIONS":
            exchange.respond(200, b"", b"", allow)
        else:
            message = f"{request.method.decode()} is not allowed here"
            exchange.fail(405, message, "method_not_allowed", f"use {allow[0][1].decode()}", allow)

    def _metrics(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        del request, name
        stats = read_stats(self._metrics_folder(), receipt.received_us)
        text = render(stats, peer_families(stats.total, self._peer_names))
        exchange.respond(200, text, CONTENT_TYPE, NO_HEADERS)

    def _openapi(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        del request, receipt, name
        exchange.respond(200, msgspec.json.encode(document()))

    def _handlers(self, native: NativeForm, v2: OpenInference) -> dict[str, Handler]:
        return {
            "predict": native.predict,
            "feedback": native.feedback,
            "features_online": native.online,
            "openapi": self._openapi,
            "metrics": self._metrics,
            "server_metadata": v2.server,
            "server_live": v2.live,
            "server_ready": v2.health,
            "repository_index": v2.index,
            "model_metadata": v2.model,
            "model_ready": v2.model_ready,
            "model_stats": v2.statistics,
            "model_infer": v2.infer,
        }


def refuse(exchange: Exchange, error: FalajError) -> None:
    """Answer with an error; one that ends by itself says when."""
    if isinstance(error, RateLimited):
        body = error_body(error.message, error.code, error.hint)
        exchange.respond(429, body, JSON, ((b"retry-after", b"%d" % error.retry_after_s),))
    else:
        exchange.fail(status_of(error.code), error.message, error.code, error.hint)


def _resource(route: Route, request: Request, name: str) -> str:
    if not route.resource:
        return name.partition("\n")[0].removesuffix(RAW)
    if not route.resource.startswith("?"):
        return route.resource
    query = parse_qsl(request.query.decode("latin-1"))
    return next((value for key, value in query if key == route.resource[1:]), "")
