"""MLflow's pages and API below `/mlflow/`, behind our access check."""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any
from urllib.parse import unquote

from litestar import asgi

from falaj.app.web import COOKIE, Authenticate
from falaj.console.mlflow_access import ARTIFACTS, check_written, is_write, name_of
from falaj.console.wsgi import answer, environ_of
from falaj.governance.access import Actor, authorise
from falaj.governance.exposure import is_loopback
from falaj.kernel.errors import AccessDenied, FalajError, InputError, NotFound, Unauthenticated
from falaj.models.mlflow_server import MlflowRoute, MlflowServer
from falaj.serving.statuses import error_answer
from falaj.storage.disk import failure

MOUNT = "/mlflow"
READ = "mlflow.read"
WRITE = "mlflow.write"

_WHOLE = "mlflow"
"""The resource that is asked for: its pages show every model of the project, so a token for one is not let in."""

_THREADS = 4
_IN_MEMORY_BYTES = 1 << 20
_MAX_BODY_BYTES = 16 << 20
_MAX_UPLOAD_BYTES = 4 << 30

_HEADERS = {
    # Its pages run their own scripts and no others, speak to nobody but us, and stand in no frame.
    b"content-security-policy": b"default-src 'none'; script-src 'self' 'unsafe-eval'; "
    b"style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    b"frame-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
}
_LOGGED = _HEADERS | {b"content-security-policy": b"sandbox; default-src 'none'"}
"""A file that somebody logged is never a page of ours: it would run with the reader's cookie."""


class MlflowPages:
    """MLflow mounted in control.

    Args:
        server: MLflow, loaded at the first request that may pass.
        authenticate: Returns the actor of a token.
    """

    def __init__(self, server: MlflowServer, authenticate: Authenticate) -> None:
        self._server = server
        self._authenticate = authenticate
        # Its own threads: a slow page of MLflow's keeps no route of ours waiting.
        self._threads = ThreadPoolExecutor(_THREADS, "mlflow")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        try:
            path = path_below(scope)
            if path is None:
                await _reply(send, 308, b"", {b"location": f"{MOUNT}/".encode()})
                return
            loop = asyncio.get_running_loop()
            route = await loop.run_in_executor(self._threads, self._admitted, scope, path)
            # Beside what is uploaded: the folder of temporary files is memory on many machines.
            with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=str(self._server.uploads)) as body:
                size = await _read(receive, body, _limit(route))
                if route.method in ("POST", "PATCH") and is_write(route, path):
                    await loop.run_in_executor(self._threads, check_written, route, body.read(), self._server.is_own)
                    body.seek(0)
                environ = environ_of(scope, path, MOUNT, body, size)
                headers = _LOGGED if name_of(route) in ARTIFACTS else _HEADERS
                await answer(self._server.load(), environ, send, self._threads, headers)
        except Unauthenticated as error:
            if _wants_page(scope):
                await _reply(send, 303, b"", {b"location": b"/"})  # where the sign-in is
            else:
                await _refuse(send, error)
        except FalajError as error:
            await _refuse(send, error)

    def _admitted(self, scope: Any, path: str) -> MlflowRoute:
        """Return the route of a request that may pass; MLflow is not loaded for anybody else."""
        actor, by_cookie = self._actor(scope)
        authorise(actor, READ, _WHOLE)
        route = self._server.route(scope["method"], path)
        if is_write(route, path):
            authorise(actor, WRITE, _WHOLE)
            if by_cookie:
                raise AccessDenied(
                    "MLflow's pages only read here",
                    hint="log with the token: MLFLOW_TRACKING_TOKEN, by MLflow's client",
                )
        assert route is not None
        return route

    def _actor(self, scope: Any) -> tuple[Actor, bool]:
        headers = _headers(scope)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return self._authenticate(token.strip()), False
        cookie = _cookie(headers.get("cookie", ""))
        if cookie and _same_origin(headers):
            return self._authenticate(unquote(cookie)), True
        raise Unauthenticated("no token was given", hint="sign in at '/', or send 'Authorization: Bearer TOKEN'")


def mlflow_handler(rooms: Any, authenticate: Authenticate) -> Any:
    """Return the handler of MLflow's pages and API.

    Args:
        rooms: The opened rooms.
        authenticate: Returns the actor of a token.
    """
    state = rooms.state
    server = MlflowServer(
        state.mlflow_db,
        state.path / "mlflow-uploads",
        local=is_loopback(rooms.settings.control.host),
    )
    return asgi(MOUNT, is_mount=True, copy_scope=True)(MlflowPages(server, authenticate).__call__)


def path_below(scope: Any) -> str | None:
    """Return the decoded path below the mount as the client sent it; None for the mount without its slash.

    Litestar's own answer ends in a slash, joins what stood between two, and takes `/mlflowx` for the mount too.

    Raises:
        NotFound: It is not below the mount, or holds what no path holds.

    Example:
        >>> path_below({"raw_path": b"/mlflow/api/2.0/mlflow/runs/get", "path": "/api/2.0/mlflow/runs/get/"})
        '/api/2.0/mlflow/runs/get'
    """
    raw = scope["raw_path"].split(b"?")[0].decode("latin-1")
    path = unquote(raw, errors="strict") if raw.isascii() else ""
    if path == MOUNT:
        return None
    if not path.startswith(f"{MOUNT}/") or "\0" in path:
        raise NotFound(f"there is no route {path[:200]!r}")
    return path.removeprefix(MOUNT)


def _headers(scope: Any) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _cookie(header: str) -> str:
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), "")


def _same_origin(headers: dict[str, str]) -> bool:
    """Return whether a browser asks for a page of ours, or a page of ours asks.

    A page of another port of this machine counts as the same site: the cookie comes along, and MLflow would answer.
    """
    fetched_from = headers.get("sec-fetch-site", "none")
    to_page = headers.get("sec-fetch-mode") == "navigate"
    origin = headers.get("origin")
    own = origin is None or origin.partition("://")[2] == headers.get("host")
    return own and (to_page or fetched_from in ("none", "same-origin"))


def _wants_page(scope: Any) -> bool:
    return scope["method"] == "GET" and "text/html" in _headers(scope).get("accept", "")


def _limit(route: MlflowRoute) -> int:
    return _MAX_UPLOAD_BYTES if route.method == "PUT" else _MAX_BODY_BYTES


async def _read(receive: Any, body: IO[bytes], limit: int) -> int:
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise InputError("the client left before it had sent its request")
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise InputError(f"the body is larger than {limit:,} bytes")
        try:
            body.write(piece)
        except OSError as error:
            raise failure(error, "what is uploaded to MLflow cannot be kept") from error
        if not message.get("more_body", False):
            body.seek(0)
            return size


async def _refuse(send: Any, error: FalajError) -> None:
    status, body = error_answer(error)
    asks = {b"www-authenticate": b"Bearer"} if isinstance(error, Unauthenticated) else {}
    await _reply(send, status, body, {b"content-type": b"application/json", **asks})


async def _reply(send: Any, status: int, body: bytes, headers: dict[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*headers.items()]})
    await send({"type": "http.response.body", "body": body, "more_body": False})
