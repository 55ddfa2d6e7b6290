"""The shadow of an endpoint: a version that computes what others decide, and decides nothing."""

from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from falaj.definitions.routing_table import EndpointRoute, Variant
from falaj.governance.access import Actor, authorise
from falaj.governance.audit import audited
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.errors import Conflict, NotFound
from falaj.rollout import table
from falaj.rollout.deploy import Publish
from falaj.storage.metadata.database import Database

SHADOW = "shadow"
_LOOKED_BACK = 1_000


class ShadowSpan(NamedTuple):
    """How long a version was, or has been, an endpoint's shadow.

    Attributes:
        route: The last route that had it.
        variant: It, as that route had it.
        first_epoch: The endpoint's epoch from which on it computed.
        last_epoch: The last one; None while it still computes.
        since_us: Since when, in microseconds.
        until_us: Until when; None while it still computes.
    """

    route: EndpointRoute
    variant: Variant
    first_epoch: int
    last_epoch: int | None
    since_us: int
    until_us: int | None


def set_shadow(
    db: Database, clock: Clock, actor: Actor, endpoint: str, version: Variant, weight: int, *, publish: Publish
) -> Variant:
    """Let a version compute for a share of an endpoint's units, in place of the shadow before it.

    Args:
        db: The metadata database.
        clock: The time.
        actor: Who wants it.
        endpoint: Where.
        version: The version; its name, weight and role are set here.
        weight: Its share in ten-thousandths of units; at 0 it is kept ready and computes nothing.
        publish: Called after the routing is written.

    Returns:
        The version as the route has it.

    Raises:
        AccessDenied: The actor may not do `endpoint.shadow`.
        NotFound: Nothing serves there.
        Conflict: It decides there already, an ensemble or a bare model serves there, or it is a shadow so already.
    """
    authorise(actor, "endpoint.shadow", endpoint)
    now_us = to_us(clock.now())
    shadow = msgspec.structs.replace(version, name=SHADOW, weight=weight, role="shadow")
    detail: dict[str, object] = {"model": shadow.model, "version": shadow.version, "weight": weight / table.WHOLE}
    with audited(db, clock, actor, "endpoint.shadow", endpoint, detail) as connection:
        route = table.require_route(connection, endpoint)
        _check(route, shadow)
        live = tuple(variant for variant in route.variants if variant.role == "live")
        route = msgspec.structs.replace(route, variants=(*live, shadow))
        table.write_route(connection, route, actor.name, now_us)
    publish()
    return shadow


def end_shadow(db: Database, clock: Clock, actor: Actor, endpoint: str, *, publish: Publish) -> Variant:
    """Let an endpoint have no shadow.

    Args:
        db: The metadata database.
        clock: The time.
        actor: Who wants it.
        endpoint: Where.
        publish: Called after the routing is written.

    Returns:
        The version that was its shadow.

    Raises:
        AccessDenied: The actor may not do `endpoint.shadow`.
        NotFound: Nothing serves there.
        Conflict: It has no shadow.
    """
    authorise(actor, "endpoint.shadow", endpoint)
    now_us = to_us(clock.now())
    detail: dict[str, object] = {}
    with audited(db, clock, actor, "endpoint.shadow_end", endpoint, detail) as connection:
        route = table.require_route(connection, endpoint)
        shadow = shadow_of(route)
        if shadow is None:
            raise Conflict(f"endpoint {endpoint!r} has no shadow", hint=f"set one: falaj shadow {endpoint} VERSION")
        detail |= {"model": shadow.model, "version": shadow.version}
        live = tuple(variant for variant in route.variants if variant.role == "live")
        table.write_route(connection, msgspec.structs.replace(route, variants=live), actor.name, now_us)
    publish()
    return shadow


def shadow_of(route: EndpointRoute) -> Variant | None:
    """Return the route's shadow; None where it has none."""
    return next((variant for variant in route.variants if variant.role == "shadow"), None)


def latest_span(connection: sa.Connection, endpoint: str) -> ShadowSpan:
    """Return how long the endpoint's present shadow has been there, or how long its last one was.

    A change of its weight, or of what decides, does not begin it anew.

    Raises:
        NotFound: The endpoint never had one.
    """
    found: ShadowSpan | None = None
    after: table.RouteChange | None = None
    for change in table.route_history(connection, endpoint, limit=_LOOKED_BACK):
        shadow = shadow_of(change.route)
        if found is None and shadow is not None:
            ended = (None, None) if after is None else (change.route.epoch, after.at_us)
            found = ShadowSpan(change.route, shadow, change.route.epoch, ended[0], change.at_us, ended[1])
        elif found is not None:
            if shadow is None or shadow.subject != found.variant.subject:
                break
            found = found._replace(first_epoch=change.route.epoch, since_us=change.at_us)
        after = change
    if found is None:
        raise NotFound(f"endpoint {endpoint!r} has had no shadow", hint=f"set one: falaj shadow {endpoint} VERSION")
    return found


def _check(route: EndpointRoute, shadow: Variant) -> None:
    for variant in route.variants:
        if variant.role == "live" and (variant.ensemble is not None or variant.tensors is not None):
            what = "an ensemble" if variant.ensemble is not None else "a bare model"
            raise Conflict(
                f"endpoint {route.endpoint!r} serves {what}, which has no shadow",
                hint="shadow an endpoint that serves the versions of one model",
            )
        if variant.role == "live" and variant.subject == shadow.subject:
            raise Conflict(
                f"version {shadow.version} of model {shadow.model!r} decides on endpoint {route.endpoint!r} already",
                hint="shadow another version",
            )
        if variant == shadow:
            raise Conflict(
                f"version {shadow.version} is the shadow of endpoint {route.endpoint!r} at that weight already",
                hint=f"see how it does: falaj shadow {route.endpoint}",
            )
