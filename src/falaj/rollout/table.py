"""The routing table: which variants serve each endpoint now. This module alone writes it."""

from collections.abc import Iterable, Mapping

import msgspec
import sqlalchemy as sa

from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.definitions.routing_table import EndpointRoute, RoutingTable, Variant
from falaj.kernel.codec import from_json, to_json, to_msgpack
from falaj.kernel.errors import InputError, NotFound
from falaj.kernel.names import did_you_mean
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.metadata import outbox
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

TOPIC = "routing"
WHOLE = 10_000
"""Weights are in ten-thousandths; the live ones of an endpoint add up to this."""

ENDPOINT_ROUTING = sa.Table(
    "endpoint_routing",
    metadata,
    sa.Column("endpoint", sa.String, primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("table", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
)


class RouteChange(msgspec.Struct, frozen=True):
    """One entry of an endpoint's routing history.

    Attributes:
        route: What served from then on.
        at_us: From when, in microseconds.
        actor: Who changed it.
    """

    route: EndpointRoute
    at_us: int
    actor: str


def write_route(connection: sa.Connection, route: EndpointRoute, actor: str, at_us: int) -> EndpointRoute:
    """Put a route in force, in a transaction that is already open, and announce it.

    Old routes stay: the row before is what a rollback and an auditor look at.

    Args:
        connection: Of the transaction, which also holds the audit record.
        route: The wanted route; its epoch is replaced. Without variants the endpoint is withdrawn.
        actor: Who changes it.
        at_us: When, in microseconds.

    Returns:
        The route with its new epoch.

    Raises:
        InputError: Live weights do not add up to 10,000, or variants share a name.
    """
    _check(route)
    last = connection.execute(
        sa.select(sa.func.max(ENDPOINT_ROUTING.c.epoch)).where(ENDPOINT_ROUTING.c.endpoint == route.endpoint)
    ).scalar_one()
    route = msgspec.structs.replace(route, epoch=(last or 0) + 1)
    connection.execute(
        ENDPOINT_ROUTING.insert().values(
            endpoint=route.endpoint, epoch=route.epoch, table=to_json(route), at=at_us, actor=actor
        )
    )
    outbox.announce(connection, TOPIC, at_us)
    return route


def with_live(route: EndpointRoute, live: Iterable[Variant]) -> EndpointRoute:
    """Return the route with other live variants; its shadow stays, unless it is one of those that decide now.

    Args:
        route: In force.
        live: What shall decide; shadows among them are left out.
    """
    deciding = tuple(variant for variant in live if variant.role == "live")
    subjects = {variant.subject for variant in deciding}
    shadows = (one for one in route.variants if one.role == "shadow" and one.subject not in subjects)
    return msgspec.structs.replace(route, variants=(*deciding, *shadows))


def current_routes(connection: sa.Connection) -> dict[str, EndpointRoute]:
    """Return the routes in force by endpoint, withdrawn ones left out."""
    newest = (
        sa.select(ENDPOINT_ROUTING.c.endpoint, sa.func.max(ENDPOINT_ROUTING.c.epoch).label("epoch"))
        .group_by(ENDPOINT_ROUTING.c.endpoint)
        .subquery()
    )
    query = sa.select(ENDPOINT_ROUTING.c.table).join(
        newest,
        sa.and_(ENDPOINT_ROUTING.c.endpoint == newest.c.endpoint, ENDPOINT_ROUTING.c.epoch == newest.c.epoch),
    )
    routes = [from_json(raw, EndpointRoute, what="stored route") for raw in connection.execute(query).scalars()]
    return {route.endpoint: route for route in sorted(routes, key=lambda route: route.endpoint) if route.variants}


def current_route(connection: sa.Connection, endpoint: str) -> EndpointRoute | None:
    """Return the route in force, or None where nothing serves."""
    changes = route_history(connection, endpoint, limit=1)
    return changes[0].route if changes and changes[0].route.variants else None


def require_route(connection: sa.Connection, endpoint: str) -> EndpointRoute:
    """Return the route in force.

    Raises:
        NotFound: Nothing serves under that name.
    """
    route = current_route(connection, endpoint)
    if route is None:
        known = current_routes(connection)
        hint = did_you_mean(endpoint, known) if known else f"roll a version out first: falaj deploy {endpoint}"
        raise NotFound(f"nothing serves endpoint {endpoint!r}", hint=hint)
    return route


def route_history(connection: sa.Connection, endpoint: str, *, limit: int = 100) -> list[RouteChange]:
    """Return an endpoint's routes, the newest first."""
    query = (
        sa.select(ENDPOINT_ROUTING)
        .where(ENDPOINT_ROUTING.c.endpoint == endpoint)
        .order_by(ENDPOINT_ROUTING.c.epoch.desc())
        .limit(limit)
    )
    return [
        RouteChange(from_json(row.table, EndpointRoute, what="stored route"), row.at, row.actor)
        for row in connection.execute(query)
    ]


def routing_snapshot(
    connection: sa.Connection, policies: Mapping[str, PredictionPolicy] = {}, *, numbers: bool = False
) -> bytes:
    """Return the MessagePack of the whole `RoutingTable`, the same bytes for the same routes and policies.

    Args:
        connection: Of the transaction that publishes.
        policies: Endpoint to what of its decisions is written down.
        numbers: Whether an outcome may be any number.
    """
    routes = with_policies(current_routes(connection), policies)
    return to_msgpack(RoutingTable(outbox.last_announced(connection, TOPIC), routes, numbers))


def with_policies(
    routes: Mapping[str, EndpointRoute], policies: Mapping[str, PredictionPolicy]
) -> dict[str, EndpointRoute]:
    """Return the routes with what is applied about their logs: it does not wait for a rollout, as routes do."""
    return {
        name: msgspec.structs.replace(route, prediction_log=policies[name]) if name in policies else route
        for name, route in routes.items()
    }


def publish(db: Database, store: KeyValueStore, now_us: int) -> bool:
    """Publish the routing table alone; where other topics are announced too, publish all with `outbox.publish`."""
    return outbox.publish(db, store, {TOPIC: routing_snapshot}, now_us)


def _check(route: EndpointRoute) -> None:
    names = [variant.name for variant in route.variants]
    total = _live_weight(route.variants)
    if len(set(names)) != len(names):
        raise InputError(
            f"endpoint {route.endpoint!r}: variants {names} share a name", hint="name each one differently"
        )
    if route.variants and (total != WHOLE or any(variant.weight < 0 for variant in route.variants)):
        raise InputError(
            f"endpoint {route.endpoint!r}: live weights add up to {total} and not to {WHOLE}",
            hint="weights are shares in ten-thousandths",
        )


def _live_weight(variants: Iterable[Variant]) -> int:
    return sum(variant.weight for variant in variants if variant.role == "live")
