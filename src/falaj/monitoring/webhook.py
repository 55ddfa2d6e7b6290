"""Webhook: a message as one POST of JSON; what the address and the secret are, no error says."""

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from falaj.kernel.codec import to_json
from falaj.monitoring.alert_message import AlertMessage
from falaj.monitoring.delivery import Send

Secret = Callable[[], str]
"""Gives a credential, or nothing where none is needed; may raise OSError where its file cannot be read."""

_LEAST_SECRET = 6
"""A shorter part of an address is a word, and no secret."""

_MOST_SAID = 200
"""Bytes of a refusal's body that are kept: PagerDuty and Slack say there what they did not like."""


def to_webhook(url: str, timeout_s: float, secret: Secret = str) -> Send:
    """Return a route that POSTs each message as it is; any answer but 2xx is a failure, also a redirect.

    The header `Idempotency-Key` is the same when a message is sent again.

    Args:
        url: An http or https address.
        timeout_s: How long connecting, and each wait for bytes, may take.
        secret: Gives the bearer token.
    """

    def send(message: AlertMessage) -> str:
        try:
            token = secret()
        except OSError as error:
            return f"the secret's file: {error.strerror}"
        headers = {"Idempotency-Key": quote(f"{message.key}/{message.id}")}
        if token and not (token.isascii() and token.isprintable()):  # the library would say it in its error
            return "the secret is not one line of printable ASCII"
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return post("webhook", url, message, timeout_s, headers)

    return send


def post(what: str, url: str, body: Any, timeout_s: float, headers: Mapping[str, str] | None = None) -> str:
    """POST a body as JSON, and return why it did not arrive, or nothing.

    Args:
        what: What is at the other end, for the reason.
        url: Where to.
        body: What to_json takes.
        timeout_s: How long connecting, and each wait for bytes, may take.
        headers: More headers.
    """
    host = _host(url)
    if not host:
        return f"the {what}'s url is not an http or https address without a user and a password"
    sent = {"Content-Type": "application/json"} | dict(headers or {})
    try:
        request = urllib.request.Request(url, to_json(body).encode(), sent)  # noqa: S310 - see _host
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"{what} {host} answered {error.code}{_told(_said(error), url, sent)}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{what} {host}{_told(f': {error}', url, sent)}"


def _told(text: str, url: str, headers: Mapping[str, str]) -> str:
    """Return what was said, or nothing of it where it repeats a part of the address or the token, which are secrets."""
    parts = urlsplit(url)
    secrets = [
        *parts.path.split("/"),
        *re.split("[&=]", parts.query),
        headers.get("Authorization", "").rpartition(" ")[2],
    ]
    return "" if any(len(part) >= _LEAST_SECRET and part in text for part in secrets) else text


def _said(error: urllib.error.HTTPError) -> str:
    try:
        text = error.read(_MOST_SAID).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
    plain = " ".join(text.split())
    return f": {plain}" if plain.isprintable() and plain else ""


def _host(url: str) -> str:
    """Return what errors may name of an address; its path and query are the webhook's secret. Empty if malformed."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and not re.search(r"[\s\x00-\x1f\x7f-\uffff]", url) and parts.port != 0
    except ValueError:
        return ""
    return parts.hostname or "" if fine and "@" not in parts.netloc else ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Following a redirect would turn the POST into a GET without its body, and look like success."""

    def redirect_request(self, *_: Any) -> None:
        return None
