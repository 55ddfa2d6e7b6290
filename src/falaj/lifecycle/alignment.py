"""Alignment: the registry's stages follow the traffic, whatever a crash left between the two.

Production holds one version of a model. Where several endpoints serve the model, it is the version that was brought to
one of them last, by a promotion or a rollback.
"""

import msgspec
import sqlalchemy as sa

from falaj.definitions.policy import Policy
from falaj.definitions.routing_table import EndpointRoute, Variant
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import to_us
from falaj.kernel.errors import AccessDenied, Conflict
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.wishes import close_older, wishes
from falaj.models.stages import Stage, holder, stages, transitions
from falaj.monitoring.alerts import list_alerts, resolve_alert
from falaj.rollout import rollouts, table

AS_SERVED = Policy(auto_promote=True, accept_inconclusive=True)
"""For what serves already: to ask for approvals then would only make the registry say what is not so."""


class Traffic(msgspec.Struct, frozen=True):
    """What the endpoints of one model route.

    Attributes:
        serves: The version that takes all of an endpoint's traffic and was brought there last; None for none.
        kept: Versions that staging may hold: those on their way, and those that are wished for.
        routed: Whether any endpoint lets a version of the model decide.
    """

    serves: int | None
    kept: frozenset[int]
    routed: bool


def align_stages(rooms: Rooms) -> None:
    """Bring every model's stages in line with what the endpoints route, and close alerts about what served before."""
    for model in rooms.registry.models():
        with rooms.db.read() as connection:
            agree = _moves(connection, model) == []
        if not agree:
            _align(rooms, model)
    _close_outlived_alerts(rooms)


def _align(rooms: Rooms, model: str) -> None:
    """Make the moves in one transaction, from what stands there now: two that align at once make each move once."""
    with rooms.db.write() as connection:
        for version, to in _moves(connection, model):
            if to is Stage.PRODUCTION:
                _enter_production(rooms, connection, model, version)
            else:
                reason = "its rollout ended without promotion" if to is Stage.DEVELOPMENT else "no endpoint serves it"
                rooms.registry.transition(model, version, to, SYSTEM, reason=reason, connection=connection)


def _moves(connection: sa.Connection, model: str) -> list[tuple[int, Stage]]:
    """Return the moves that are owed."""
    traffic = _traffic(connection, model)
    held = holder(connection, model, Stage.PRODUCTION)
    owed: list[tuple[int, Stage]] = []
    if traffic.serves is not None and traffic.serves != held:
        owed.append((traffic.serves, Stage.PRODUCTION))
    elif held is not None and not traffic.routed:
        owed.append((held, Stage.ARCHIVED))
    staged = holder(connection, model, Stage.STAGING)
    if staged is not None and staged != traffic.serves and staged not in traffic.kept:
        owed.append((staged, Stage.DEVELOPMENT))
    return owed


def _traffic(connection: sa.Connection, model: str) -> Traffic:
    running = {rollout.endpoint: rollout for rollout in rollouts.running(connection)}
    routes = [
        route
        for route in table.current_routes(connection).values()
        if any((variant.model, variant.role) == (model, "live") for variant in route.variants)
    ]
    whole = [
        (only, route.endpoint)
        for route in routes
        if route.endpoint not in running and (only := sole_variant(route)) is not None and only.model == model
    ]
    if len(whole) > 1:
        whole.sort(key=lambda one: brought_us(connection, one[1]))
    kept = {one.candidate.version for one in running.values() if one.candidate.model == model}
    kept |= {one.version for one in wishes(connection) if one.model == model}
    return Traffic(whole[-1][0].version if whole else None, frozenset(kept), bool(routes))


def sole_variant(route: EndpointRoute) -> Variant | None:
    """Return the only live variant, or None where there are several: a canary at 100 % has not won yet."""
    live = [variant for variant in route.variants if variant.role == "live"]
    return live[0] if len(live) == 1 else None


def brought_us(connection: sa.Connection, endpoint: str) -> int:
    """Return when the version that takes all of an endpoint's traffic was brought there.

    A canary that came and went in between does not count: the version was there before it.
    """
    found: tuple[str, int] | None = None
    since_us = 0
    for change in table.route_history(connection, endpoint):
        only = sole_variant(change.route)
        if only is None and change.route.variants:
            continue
        serves = None if only is None else (only.model, only.version)
        if found is None:
            found = serves
        if serves is None or serves != found:
            break
        since_us = change.at_us
    return since_us


def _enter_production(rooms: Rooms, connection: sa.Connection, model: str, version: int) -> None:
    at = stages(connection, model).get(version, Stage.DEVELOPMENT)
    held = holder(connection, model, Stage.PRODUCTION)
    if at is Stage.ARCHIVED and held is not None and _predecessor(connection, model, held) == version:
        rooms.registry.rollback(model, SYSTEM, reason="the traffic went back to it", connection=connection)
        return
    policy = rooms.definitions.policy_of(model)
    # A rollout begins in staging. What serves from elsewhere was brought back, and waits for nobody.
    reason = "its rollout ended well" if at is Stage.STAGING else "it serves"
    if at is not Stage.STAGING:
        to = Stage.STAGING
        rooms.registry.transition(model, version, to, SYSTEM, policy=AS_SERVED, reason=reason, connection=connection)
    if at is Stage.ARCHIVED:
        policy = AS_SERVED
    try:
        _to_production(rooms, connection, model, version, policy, reason)
    except (AccessDenied, Conflict):  # refused, or the policy became stricter, while its rollout ran
        _to_production(rooms, connection, model, version, AS_SERVED, f"{reason}; its approvals hold no more")
    close_older(rooms, connection, model, version)


def _to_production(
    rooms: Rooms, connection: sa.Connection, model: str, version: int, policy: Policy, reason: str
) -> None:
    to = Stage.PRODUCTION
    rooms.registry.transition(model, version, to, SYSTEM, policy=policy, reason=reason, connection=connection)


def _predecessor(connection: sa.Connection, model: str, version: int) -> int | None:
    entered = [move for move in transitions(connection, model, version) if move.to_stage is Stage.PRODUCTION]
    return entered[-1].previous_holder if entered else None


def _close_outlived_alerts(rooms: Rooms) -> None:
    """Close drift alerts from before the present version came, whose own windows judge anew, or where none serves."""
    outlived: dict[str, str] = {}
    with rooms.db.read() as connection:
        found = [one for one in list_alerts(connection, only_open=True) if one.alert.rule == "drift"]
        for one in found:
            endpoint = one.alert.subject
            route = table.current_route(connection, endpoint)
            only = None if route is None else sole_variant(route)
            if route is None:
                outlived[endpoint] = "nothing serves there now"
            elif only is not None and one.opened_us < brought_us(connection, endpoint):
                outlived[endpoint] = f"version {only.version} serves now"
    for endpoint, reason in outlived.items():
        with rooms.db.write() as connection:
            resolve_alert(connection, "drift", endpoint, reason, to_us(rooms.clock.now()))
