"""The control process's HTTP application: who asks, what they may, and one call each."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import FromPath, FromQuery, RawBody

from falaj import __version__
from falaj.api.metrics import render_control
from falaj.api.push_gate import PushGate
from falaj.app.operation import perform
from falaj.app.web import Authenticate, actor_of_request
from falaj.governance.access import Actor
from falaj.kernel.codec import from_json, to_json
from falaj.kernel.errors import FalajError, InputError, Unauthenticated
from falaj.serving.exposition import CONTENT_TYPE
from falaj.serving.statuses import error_answer, error_body
from falaj.storage.disk import failure

PUBLIC_ROUTES: tuple[str, ...] = (
    "/healthz", "/", "/login", "/logout", "/schema", "/schema/openapi.json", "/schema/{path}",
)  # fmt: skip
"""Routes that answer without a token: liveness, the page's frame and its sign-in, and the API's description."""

MAX_BODY_BYTES = 16 * 1024 * 1024
JSON = "application/json"
_RETRY_AFTER_S = "1"
_EVENTS = "send an object, a list, or an object a line"


class Handlers:
    """The routes over one project's rooms.

    Args:
        rooms: The opened rooms, handed through to the operations.
        authenticate: Returns the actor of a token.
    """

    def __init__(self, rooms: Any, authenticate: Authenticate) -> None:
        self._rooms = rooms
        self._authenticate = authenticate

    def actor(self, request: Request[Any, Any, Any]) -> Actor:
        """Return who asks.

        Raises:
            Unauthenticated: There is no valid token.
        """
        return actor_of_request(request, self._authenticate)

    def answer(self, actor: Actor, name: str, params: Any) -> Response[bytes]:
        """Carry out one operation for an actor, and answer with its result as JSON."""
        return Response(to_json(perform(self._rooms, actor, name, params)).encode(), media_type=JSON)

    def result(self, request: Request[Any, Any, Any], name: str, params: Any) -> Any:
        """Carry out one operation for whoever asks, and return its result."""
        return perform(self._rooms, self.actor(request), name, params)

    def perform(self, request: Request[Any, Any, Any], name: str, params: Any) -> Response[bytes]:
        """Carry out one operation for whoever asks."""
        return self.answer(self.actor(request), name, params)


def make_app(rooms: Any, authenticate: Authenticate, pages: Sequence[Any] = ()) -> Litestar:
    """Return the application.

    Args:
        rooms: The opened rooms.
        authenticate: Returns the actor of a token, or raises Unauthenticated.
        pages: Handlers of pages, which live in the room beside this one.
    """
    handlers = Handlers(rooms, authenticate)
    return Litestar(
        route_handlers=[healthz, *pages, *_reads(handlers), *_writes(handlers)],
        exception_handlers={
            FalajError: _falaj_error,
            HTTPException: _http_error,
            OSError: _disk_error,
            Exception: _fault,
        },
        # The description alone. The pages that usually come with it load scripts of strangers, and would run them on
        # the origin whose cookie reads the project.
        openapi_config=OpenAPIConfig(title="Falaj control", version=__version__, render_plugins=[JsonRenderPlugin()]),
        request_max_body_size=MAX_BODY_BYTES,
        middleware=[PushGate(rooms.settings.events.max_body_mib << 20, MAX_BODY_BYTES).before],
    )


@get("/healthz", sync_to_thread=False)
def healthz() -> dict[str, bool]:
    """Say that the process is alive."""
    return {"live": True}


def _reads(handlers: Handlers) -> list[Any]:
    @get("/v1/status", sync_to_thread=True)
    def status(request: Request[Any, Any, Any]) -> Response[bytes]:
        """What serves, how well, at what cost."""
        return handlers.perform(request, "project.status", {})

    @get("/v1/models", sync_to_thread=True)
    def models(request: Request[Any, Any, Any], model: FromQuery[str] = "") -> Response[bytes]:
        """Versions of all models, or of one."""
        return handlers.perform(request, "model.list", {"model": model})

    @get("/v1/models/{model:str}/versions/{version:int}", sync_to_thread=True)
    def version(request: Request[Any, Any, Any], model: FromPath[str], version: FromPath[int]) -> Response[bytes]:
        """One version with its gate report and card."""
        return handlers.perform(request, "model.show", {"model": model, "version": version})

    @get("/v1/runs", sync_to_thread=True)
    def runs(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The newest runs."""
        return handlers.perform(request, "run.list", {})

    @get("/v1/runs/{run_id:str}", sync_to_thread=True)
    def run(request: Request[Any, Any, Any], run_id: FromPath[str]) -> Response[bytes]:
        """One run and its steps."""
        return handlers.perform(request, "run.show", {"run_id": run_id})

    @get("/v1/decisions/{request_id:str}", sync_to_thread=True)
    def why(request: Request[Any, Any, Any], request_id: FromPath[str]) -> Response[bytes]:
        """One decision: features, versions, dataset, gate report, approver."""
        return handlers.perform(request, "prediction.why", {"request_id": request_id})

    @get("/v1/alerts", sync_to_thread=True)
    def alerts(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Open and past alerts."""
        return handlers.perform(request, "alert.list", {})

    @get("/v1/incidents", sync_to_thread=True)
    def incidents(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Open and past incidents."""
        return handlers.perform(request, "incident.list", {})

    @get("/v1/incidents/{incident:int}", sync_to_thread=True)
    def incident(request: Request[Any, Any, Any], incident: FromPath[int]) -> Response[bytes]:
        """One incident with its alerts and its timeline."""
        return handlers.perform(request, "incident.show", {"incident": incident})

    @get("/v1/audit", sync_to_thread=True)
    def audit(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The newest audit records."""
        return handlers.perform(request, "audit.list", {})

    @get("/metrics", sync_to_thread=True)
    def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """What control watches, for Prometheus; the gateway's own numbers are on its port."""
        views = handlers.result(request, "features.freshness", {})
        checked = handlers.result(request, "features.consistency", {})
        figures = handlers.result(request, "monitor.figures", {})
        return Response(render_control(views, checked, figures), media_type=CONTENT_TYPE.decode())

    return [status, models, version, runs, run, why, alerts, incidents, incident, audit, metrics]


def _writes(handlers: Handlers) -> list[Any]:
    @post("/v1/operations/{name:str}", status_code=200, sync_to_thread=True)
    def operation(request: Request[Any, Any, Any], name: FromPath[str], body: RawBody) -> Response[bytes]:
        """Carry out any operation; this is what the command line calls."""
        return handlers.perform(request, name, body)

    @post("/v1/events/{source:str}", status_code=202, sync_to_thread=True)
    def events(
        request: Request[Any, Any, Any], source: FromPath[str], body: RawBody, wait: FromQuery[str] = "logged"
    ) -> Response[bytes]:
        """Take events: one object, a list, or JSON lines. Answers when they are durable, or applied if asked."""
        actor = handlers.actor(request)  # first: who may not push learns nothing about what is wrong with it
        return handlers.answer(actor, "source.push", {"source": source, "events": _events(body), "wait": wait})

    return [operation, events]


def _events(body: bytes) -> list[Any]:
    """Return the events of a body; what cannot be decoded comes as its text, and goes to quarantine as that."""
    text = body.strip()
    if not text:
        raise InputError("the body holds no events", hint=_EVENTS)
    if text[:1] == b"[":
        return from_json(text, list[Any], what="events")
    whole = _event(text)  # one object may be spread over many lines
    if not isinstance(whole, str):
        return [whole]
    return [_event(line) for line in text.split(b"\n") if line.strip()]


def _event(text: bytes) -> dict[str, Any] | str:
    try:
        return from_json(text, dict[str, Any])
    except InputError:
        return text.decode(errors="backslashreplace")


def _falaj_error(_: Request[Any, Any, Any], error: FalajError) -> Response[bytes]:
    status, body = error_answer(error)
    headers = {"www-authenticate": "Bearer"} if isinstance(error, Unauthenticated) else {}
    if status == 503:
        headers["retry-after"] = _RETRY_AFTER_S
    return Response(body, status_code=status, media_type=JSON, headers=headers)


def _disk_error(request: Request[Any, Any, Any], error: OSError) -> Response[bytes]:
    return _falaj_error(request, failure(error, str(error.filename or "the operating system")))


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    status, path = error.status_code, request.url.path[:200]
    code, message = {
        404: ("not_found", f"there is no route {path!r}"),
        405: ("method_not_allowed", f"{path!r} does not take {request.method}"),
        413: ("too_large", f"the body is larger than {MAX_BODY_BYTES:,} bytes"),
    }.get(status, ("input_invalid", str(error.detail)))
    hint = "the routes are described at /schema/openapi.json" if status in (404, 405) else ""
    return Response(error_body(message, code, hint), status_code=status, media_type=JSON)


def _fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    request.app.logger.error("fault", exc_info=error) if request.app.logger else None
    return Response(error_body("the control process failed at this", "internal"), status_code=500, media_type=JSON)


__all__ = ["PUBLIC_ROUTES", "make_app"]
