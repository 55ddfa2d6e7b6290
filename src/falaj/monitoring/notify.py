"""Telling people: alert notices go to a log file and a webhook, each until it has arrived.

A route never raises. What it could not deliver is written down with the reason, and the next pass tries again,
waiting longer each time up to an hour. A notice may arrive twice, with the same number, when the process dies
between sending and writing that down.
"""

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa

from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.codec import from_json, to_json
from falaj.monitoring.alerts import NOTICE, Alert, Notice
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

Send = Callable[[Notice], str]
"""Delivers a notice; returns why it could not, or nothing."""

FIRST_RETRY_US = 1_000_000
LAST_RETRY_US = 3_600_000_000
_PER_PASS = 100

DELIVERY = sa.Table(
    "alert_delivery",
    metadata,
    sa.Column("route", sa.String, primary_key=True),
    sa.Column("cursor", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("not_before", sa.BigInteger, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
)


class RouteState(msgspec.Struct, frozen=True):
    """How far a route has come.

    Attributes:
        cursor: Number of the last notice that arrived.
        failures: Attempts in a row that did not.
        not_before_us: When to try next.
        error: Why the last attempt failed; empty when it did not.
    """

    cursor: int = 0
    failures: int = 0
    not_before_us: int = 0
    error: str = ""


def deliver(db: Database, routes: Mapping[str, Send], now_us: int) -> int:
    """Send every route what it has not had yet, in order.

    A route that fails is left alone until its time: one that is away costs one attempt per pass, not one per notice.

    Args:
        db: The metadata database.
        routes: Route name to sender.
        now_us: The present, in microseconds.

    Returns:
        How many notices arrived.
    """
    arrived = 0
    for route, send in routes.items():
        with db.read() as connection:
            state = route_state(connection, route)
            waiting = _waiting(connection, state.cursor) if state.not_before_us <= now_us else []
        for notice in waiting:
            error = send(notice)
            state = _after(state, notice, error, now_us)
            with db.write() as connection:
                _store(connection, route, state)
            if error:
                break
            arrived += 1
    return arrived


def route_state(connection: sa.Connection, route: str) -> RouteState:
    """Return how far a route has come."""
    row = connection.execute(sa.select(DELIVERY).where(DELIVERY.c.route == route)).one_or_none()
    return RouteState() if row is None else RouteState(row.cursor, row.failures, row.not_before, row.error)


def to_file(path: Path) -> Send:
    """Return a route that appends each notice to a file as one line of JSON."""

    def send(notice: Notice) -> str:
        try:
            with path.open("ab") as file:
                file.write(to_json(_payload(notice)).encode() + b"\n")
        except OSError as error:
            return f"{path}: {error.strerror}"
        return ""

    return send


def to_webhook(url: str, timeout_s: float) -> Send:
    """Return a route that POSTs each notice as JSON; any answer but 2xx is a failure, also a redirect.

    Args:
        url: An http or https address.
        timeout_s: How long connecting, and each wait for bytes, may take.
    """
    host = _host(url)
    opener = urllib.request.build_opener(_NoRedirect)

    def send(notice: Notice) -> str:
        if not host:
            return "the webhook is not an http or https address"
        body = to_json(_payload(notice)).encode()
        try:
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - see _host
            with opener.open(request, timeout=timeout_s):
                return ""
        except urllib.error.HTTPError as error:
            error.close()
            return f"webhook {host} answered {error.code}"
        except (OSError, http.client.HTTPException) as error:
            return f"webhook {host}: {error}"

    return send


def _host(url: str) -> str:
    """Return what errors may name of an address; its path and query are the webhook's secret. Empty if malformed."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and not re.search(r"[\s\x00-\x1f\x7f-\uffff]", url) and parts.port != 0
    except ValueError:
        return ""
    return parts.hostname or "" if fine else ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Following a redirect would turn the POST into a GET without its body, and look like success."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _payload(notice: Notice) -> dict[str, Any]:
    alert = notice.alert
    return {
        "id": notice.id,
        "alert": notice.alert_id,
        "event": notice.event,
        "rule": alert.rule,
        "severity": alert.severity,
        "subject": alert.subject,
        "message": alert.message,
        "at": rfc3339(from_us(alert.at_us)),
        "evidence": alert.evidence,
    }


def _waiting(connection: sa.Connection, cursor: int) -> list[Notice]:
    query = sa.select(NOTICE).where(NOTICE.c.id > cursor).order_by(NOTICE.c.id).limit(_PER_PASS)
    return [
        Notice(row.id, row.alert_id, row.event, from_json(row.body, Alert, what="stored notice"))
        for row in connection.execute(query)
    ]


def _after(state: RouteState, notice: Notice, error: str, now_us: int) -> RouteState:
    if not error:
        return RouteState(cursor=notice.id)
    wait_us = min(LAST_RETRY_US, FIRST_RETRY_US * 2 ** min(state.failures, 20))
    return RouteState(state.cursor, state.failures + 1, now_us + wait_us, error)


def _store(connection: sa.Connection, route: str, state: RouteState) -> None:
    values = {
        "cursor": state.cursor,
        "failures": state.failures,
        "not_before": state.not_before_us,
        "error": state.error,
    }
    result = connection.execute(DELIVERY.update().where(DELIVERY.c.route == route).values(**values))
    if result.rowcount == 0:
        connection.execute(DELIVERY.insert().values(route=route, **values))
