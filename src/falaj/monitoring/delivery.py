"""Delivery: every route is told every message that concerns it, in order, until it has arrived.

A route never raises. What it could not deliver is written down with the reason, and a later pass tries again, waiting
longer each time up to an hour. A message may arrive twice, with the same number, when the process dies between sending
and writing that down. Each route goes at its own pace: none waits for another.
"""

from collections.abc import Callable, Collection
from pathlib import Path

import msgspec
import sqlalchemy as sa

from falaj.kernel.codec import to_json
from falaj.monitoring.alert_message import AlertMessage, last_message, messages_after
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

Send = Callable[[AlertMessage], str]
"""Delivers a message; returns why it could not, or nothing."""

Concerns = Callable[[AlertMessage], bool]
"""Says whether a route is to be told a message."""

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
        cursor: Number of the last message that arrived, or did not concern it.
        failures: Attempts in a row that did not.
        not_before_us: When to try next.
        error: Why the last attempt failed; empty when it did not.
    """

    cursor: int = 0
    failures: int = 0
    not_before_us: int = 0
    error: str = ""


def deliver(db: Database, route: str, send: Send, now_us: int, *, concerns: Concerns = lambda _: True) -> int:
    """Send a route what it has not had yet, in order, until one fails.

    A route that fails is left alone until its time: one that is away costs one attempt per pass, not one per message.

    Args:
        db: The metadata database.
        route: The route's name.
        send: Delivers one message.
        now_us: The present, in microseconds.
        concerns: Which messages the route is told.

    Returns:
        How many arrived.
    """
    arrived = 0
    with db.read() as connection:
        state = route_state(connection, route)
        waiting = messages_after(connection, state.cursor, limit=_PER_PASS) if state.not_before_us <= now_us else []
    for message in waiting:
        wanted = concerns(message)
        error = send(message) if wanted else ""
        state = _after(state, message, error, now_us)
        with db.write() as connection:
            _store(connection, route, state)
        if error:
            break
        arrived += wanted
    return arrived


def route_state(connection: sa.Connection, route: str) -> RouteState:
    """Return how far a route has come."""
    row = connection.execute(sa.select(DELIVERY).where(DELIVERY.c.route == route)).one_or_none()
    return RouteState() if row is None else RouteState(row.cursor, row.failures, row.not_before, row.error)


def is_kept(connection: sa.Connection, route: str) -> bool:
    """Return whether a route has begun, so that it is known what it has been told."""
    return connection.scalar(sa.select(DELIVERY.c.route).where(DELIVERY.c.route == route)) is not None


def routes_differ(connection: sa.Connection, routes: Collection[str]) -> bool:
    """Return whether the routes that are kept are others than these."""
    return set(connection.execute(sa.select(DELIVERY.c.route)).scalars()) != set(routes)


def keep_routes(connection: sa.Connection, routes: Collection[str]) -> None:
    """Begin with the routes that are new, from what comes next, and forget those that are gone."""
    held = set(connection.execute(sa.select(DELIVERY.c.route)).scalars())
    for route in set(routes) - held:
        _store(connection, route, RouteState(cursor=last_message(connection)))
    if held - set(routes):
        connection.execute(DELIVERY.delete().where(DELIVERY.c.route.in_(held - set(routes))))


def to_file(path: Path) -> Send:
    """Return a route that appends each message to a file as one line of JSON."""

    def send(message: AlertMessage) -> str:
        try:
            with path.open("ab") as file:
                file.write(to_json(message).encode() + b"\n")
        except OSError as error:
            return f"{path}: {error.strerror}"
        return ""

    return send


def _after(state: RouteState, message: AlertMessage, error: str, now_us: int) -> RouteState:
    if not error:
        return RouteState(cursor=message.id)
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
