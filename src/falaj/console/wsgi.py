"""A WSGI application asked from an ASGI one: in a thread, its body from a file, its answer in pieces."""

import asyncio
import concurrent.futures
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from typing import IO, Any

Send = Callable[[Any], Awaitable[None]]

TAKES_S = 30.0
"""A client that takes nothing for so long has left, whatever its connection says: its thread is wanted by others."""

_KEPT_BACK = (b"authorization", b"cookie", b"proxy")
"""Headers that the application behind has no business with; `Proxy` would become the variable HTTP_PROXY."""


def environ_of(scope: Any, path: str, mount: str, body: IO[bytes], size: int) -> dict[str, Any]:
    """Return a request as WSGI says it.

    Args:
        scope: ASGI's.
        path: The decoded path below the mount.
        mount: Where it is mounted, such as "/mlflow".
        body: The request's body.
        size: How many bytes that is.
    """
    server = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": mount,
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1]),
        "CONTENT_LENGTH": str(size),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        if name in _KEPT_BACK or name in (b"content-length", b"transfer-encoding"):
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


async def answer(
    app: Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]],
    environ: dict[str, Any],
    send: Send,
    threads: Executor,
    headers: dict[bytes, bytes],
    takes_s: float = TAKES_S,
) -> None:
    """Ask the application, and send what it answers piece by piece.

    Args:
        app: The WSGI application.
        environ: The request.
        send: ASGI's.
        threads: Where the application runs; each piece waits for the client to have taken the one before.
        headers: By lower-case name, what is said instead of what the application says of it.
        takes_s: How long the client may take over one piece.

    Raises:
        TimeoutError: It took longer; what it was sent is not whole.
    """
    loop = asyncio.get_running_loop()

    def send_now(message: dict[str, Any]) -> None:
        sending = asyncio.run_coroutine_threadsafe(_sent(send, message), loop)
        try:
            sending.result(takes_s)
        except concurrent.futures.TimeoutError:
            sending.cancel()
            raise

    def run() -> None:
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, given: list[tuple[str, str]], _: Any = None) -> Callable[..., None]:
            begun[:] = [(status, given)]
            return _no_write

        pieces = app(environ, start_response)
        try:
            first = True
            for piece in pieces:
                if first:
                    send_now(_start(*begun[0], headers))
                    first = False
                if piece:
                    send_now({"type": "http.response.body", "body": piece, "more_body": True})
            if first:
                send_now(_start(*begun[0], headers))
            send_now({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    await loop.run_in_executor(threads, run)


async def _sent(send: Send, message: dict[str, Any]) -> None:
    await send(message)


def _start(status: str, given: list[tuple[str, str]], headers: dict[bytes, bytes]) -> dict[str, Any]:
    kept = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in given]
    own = [pair for pair in kept if pair[0] not in headers]
    return {"type": "http.response.start", "status": int(status.split()[0]), "headers": [*own, *headers.items()]}


def _no_write(_: bytes) -> None:
    raise NotImplementedError("WSGI's write() is not offered")
