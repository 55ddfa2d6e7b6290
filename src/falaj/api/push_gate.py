"""PushGate: how many bytes of pushes control reads at the same time, decided before any of them is read."""

from litestar.types import ASGIApp, Receive, Scope, Send

from falaj.kernel.errors import Overloaded
from falaj.serving.statuses import error_answer

_PATHS = ("/v1/events/", "/v1/operations/source.push")


class PushGate:
    """Lets a push in while the bodies of those that are inside, and its own, stay below a bound.

    A body is held in memory until it is in the log. Without the gate a hundred producers that send the largest body at
    once would take as much memory as they like.

    Args:
        max_bytes: The bound. A body without a length counts as the largest that is allowed.
        max_body_bytes: That largest one.
    """

    def __init__(self, max_bytes: int, max_body_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_body_bytes = max_body_bytes
        self._inside = 0

    def before(self, app: ASGIApp) -> ASGIApp:
        """Return the application with this gate before it; each route of Litestar is one."""

        async def gated(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"].startswith(_PATHS):
                await self._let_in(app, scope, receive, send)
            else:
                await app(scope, receive, send)

        return gated

    async def _let_in(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        size = self._size(scope)
        if self._inside and self._inside + size > self._max_bytes:
            await self._refuse(send)
            return
        self._inside += size
        try:
            await app(scope, receive, send)
        finally:
            self._inside -= size

    def _size(self, scope: Scope) -> int:
        stated = dict(scope["headers"]).get(b"content-length", b"")
        return min(int(stated), self._max_body_bytes) if stated.isdigit() else self._max_body_bytes

    async def _refuse(self, send: Send) -> None:
        error = Overloaded(
            "too many bytes of pushes are being read", hint="push again in a second, or in smaller pieces"
        )
        status, body = error_answer(error)
        headers = [(b"content-type", b"application/json"), (b"retry-after", b"1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
