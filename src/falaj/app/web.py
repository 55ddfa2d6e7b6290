"""What the API and the pages share: who asks."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from falaj.governance.access import Actor
from falaj.kernel.errors import Unauthenticated

COOKIE = "falaj_token"
Authenticate = Callable[[str], Actor]
"""Returns the actor of a token, or raises Unauthenticated."""


def actor_of_request(request: Any, authenticate: Authenticate) -> Actor:
    """Return who asks: by bearer token, or, for reading only, by the page's cookie.

    The cookie is never taken for a write, so that no other site can make a signed-in browser write.

    Args:
        request: A Litestar request.
        authenticate: Returns the actor of a token.

    Raises:
        Unauthenticated: There is no valid token.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return authenticate(token.strip())
    cookie = request.cookies.get(COOKIE)
    if cookie and request.method == "GET":
        return authenticate(unquote(cookie))
    raise Unauthenticated("no token was given", hint="send 'Authorization: Bearer TOKEN'")
