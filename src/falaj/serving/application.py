"""Application: every path of the gateway, who may use it, and what an error looks like."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

from falaj.kernel.errors import FalajError
from falaj.serving.data_plane import RAW
from falaj.serving.exposition import CONTENT_TYPE, render
from falaj.serving.guard import PUBLIC_PATHS
from falaj.serving.http import Exchange, Request
from falaj.serving.http.messages import NO_HEADERS
from falaj.serving.intake import Receipt
from falaj.serving.native import NativeForm
from falaj.serving.open_inference import OpenInference
from falaj.serving.router import Route, Router
from falaj.serving.snapshots import Snapshots
from falaj.serving.stats import read_stats
from falaj.serving.statuses import status_of


class Gateway:
    """The application that a worker serves.

    Args:
        snapshots: What serves and who may ask.
        native: Our own form.
        open_inference: The standard form.
        metrics: Writes this worker's counts and returns the folder of all workers' counts.
        now_us: The present instant in microseconds.
        monotonic: Seconds, for latencies.
    """

    def __init__(
        self, snapshots: Snapshots, native: NativeForm, open_inference: OpenInference, metrics: Callable[[], Path],
        now_us: Callable[[], int], monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        self._snapshots = snapshots
        self._metrics_folder = metrics
        self._now_us = now_us
        self._monotonic = monotonic
        self._router = Router()
        self._add_native(native)
        self._add_open_inference(open_inference)

    def handle(self, request: Request, exchange: Exchange) -> None:
        """Answer a request, or hand it to the batch that will."""
        try:
            self._dispatch(request, exchange)
        except FalajError as error:
            exchange.fail(status_of(error.code), error.message, error.code, error.hint)

    def _dispatch(self, request: Request, exchange: Exchange) -> None:
        found = self._router.find(request.path)
        if found is None:
            if request.method == b"OPTIONS" and request.path == b"*":
                exchange.respond(200, b"", b"", ((b"allow", b"GET, HEAD, POST, OPTIONS"),))
                return
            path = request.path[:200].decode("latin-1")
            exchange.fail(
                404, f"there is no path {path}", "not_found", "the routes are in docs/how-to/ask-over-http.md"
            )
            return
        route, name = found
        handler = route.handlers.get(request.method)
        if handler is None:
            self._other_method(request, exchange, b", ".join((*sorted(route.handlers), b"OPTIONS")))
            return
        received_us = self._now_us()
        actor = ""
        if request.path not in PUBLIC_PATHS:
            resource = _resource(route, request, name)
            authorization = request.headers.get(b"authorization")
            actor = self._snapshots.guard.admit(authorization, route.action, resource, received_us).name
        handler(request, exchange, Receipt(received_us, self._monotonic(), actor), name)

    def _other_method(self, request: Request, exchange: Exchange, allowed: bytes) -> None:
        allow = ((b"allow", allowed.replace(b"GET", b"GET, HEAD")),)
        if request.method == b"OPTIONS":
            exchange.respond(200, b"", b"", allow)
        else:
            message = f"{request.method.decode()} is not allowed here"
            exchange.fail(405, message, "method_not_allowed", f"use {allow[0][1].decode()}", allow)

    def _metrics(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        del request, name
        exchange.respond(200, render(read_stats(self._metrics_folder(), receipt.received_us)), CONTENT_TYPE, NO_HEADERS)

    def _add_native(self, native: NativeForm) -> None:
        add = self._router.add
        add("POST", "/v1/endpoints/{name}/predict", "endpoint.predict", native.predict)
        add("POST", "/v1/feedback", "feedback.push", native.feedback, "feedback")
        add("GET", "/v1/features/online", "features.online", native.online, "?service")
        add("GET", "/metrics", "monitor.read", self._metrics, "metrics")

    def _add_open_inference(self, v2: OpenInference) -> None:
        add = self._router.add
        add("GET", "/v2", "endpoint.read", v2.server, "*")
        add("GET", "/v2/", "endpoint.read", v2.server, "*")
        add("GET", "/v2/health/live", "", v2.live)
        add("GET", "/v2/health/ready", "", v2.health)
        add("POST", "/v2/repository/index", "endpoint.read", v2.index, "*")
        for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            add("GET", path, "endpoint.read", v2.model)
            add("GET", f"{path}/ready", "endpoint.read", v2.model_ready)
            add("GET", f"{path}/stats", "endpoint.read", v2.statistics)
            add("POST", f"{path}/infer", "endpoint.predict", v2.infer)


def _resource(route: Route, request: Request, name: str) -> str:
    if not route.resource:
        return name.partition("\n")[0].removesuffix(RAW)
    if not route.resource.startswith("?"):
        return route.resource
    query = parse_qsl(request.query.decode("latin-1"))
    return next((value for key, value in query if key == route.resource[1:]), "")
