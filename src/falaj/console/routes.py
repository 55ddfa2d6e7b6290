"""The pages' routes: overview, sign-in, a version's card and gate report, and MLflow's."""

from typing import Any

from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.params import FromPath, RawBody

from falaj.app.operation import perform
from falaj.app.values.model import ShowVersion
from falaj.app.values.status import StatusQuery
from falaj.app.web import COOKIE, Authenticate, actor_of_request
from falaj.console.mlflow_pages import mlflow_handler
from falaj.console.pages import login_page, overview_page
from falaj.kernel.codec import from_json
from falaj.kernel.errors import InputError, Unauthenticated

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_SESSION_S = 12 * 3600


def page_handlers(rooms: Any, authenticate: Authenticate) -> list[Any]:
    """Return the handlers of all pages.

    Args:
        rooms: The opened rooms.
        authenticate: Returns the actor of a token.
    """

    @get("/", media_type=MediaType.HTML, sync_to_thread=True)
    def overview(request: Request[Any, Any, Any]) -> Response[str]:
        """Show what serves, or the sign-in."""
        try:
            actor = actor_of_request(request, authenticate)
        except Unauthenticated:
            return _page(login_page())
        return _page(overview_page(perform(rooms, actor, "project.status", StatusQuery()), actor.name))

    @post("/login", status_code=200, sync_to_thread=True)
    def login(request: Request[Any, Any, Any], body: RawBody) -> Response[bytes]:
        """Check a token and keep it in a cookie that scripts cannot read and other sites cannot send."""
        token = from_json(body, dict[str, str], what="login", hint='send {"token": "..."}').get("token", "")
        authenticate(token)
        secure = request.url.scheme == "https"
        cookie = Cookie(key=COOKIE, value=token, httponly=True, samesite="strict", secure=secure, max_age=_SESSION_S)
        return Response(b"{}", media_type=MediaType.JSON, cookies=[cookie])

    @post("/logout", status_code=200, sync_to_thread=False)
    def logout() -> Response[bytes]:
        """Forget the cookie."""
        return Response(b"{}", media_type=MediaType.JSON, cookies=[Cookie(key=COOKIE, value="", max_age=0)])

    @get("/models/{model:str}/versions/{version:int}/{document:str}", media_type=MediaType.HTML, sync_to_thread=True)
    def document(
        request: Request[Any, Any, Any], model: FromPath[str], version: FromPath[int], document: FromPath[str]
    ) -> Response[str]:
        """Show a version's card or gate report."""
        actor = actor_of_request(request, authenticate)
        if document not in ("card", "gate"):
            raise InputError(f"there is no document {document!r}", hint="ask for 'card' or 'gate'")
        shown = perform(rooms, actor, "model.show", ShowVersion(model, version))
        return _page(shown.card_html if document == "card" else shown.gate_html)

    return [overview, login, logout, document, mlflow_handler(rooms, authenticate)]


def _page(text: str) -> Response[str]:
    return Response(text, media_type=MediaType.HTML, headers=_HEADERS)
