"""Starting a rollout: the first version of an endpoint serves at once, a later one begins as a canary."""

from collections.abc import Callable, Mapping

import msgspec
import sqlalchemy as sa

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.definitions.rollout import Canary
from falaj.definitions.routing_table import EndpointRoute, Variant
from falaj.governance.access import Actor, authorise
from falaj.governance.audit import audited
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.errors import Conflict, InUse
from falaj.kernel.ids import NewId
from falaj.rollout import rollouts, table
from falaj.rollout.canary import CanaryState, thresholds_ms
from falaj.rollout.evidence import Counts
from falaj.rollout.rollouts import Rollout
from falaj.storage.metadata.database import Database

CHAMPION = "champion"
CANDIDATE = "candidate"

ReadCounts = Callable[[str], Mapping[str, Counts]]
"""Endpoint to each variant's counters, which only grow; a variant that cannot be read is absent."""

Publish = Callable[[], object]
"""Brings the key-value store up to the routing table, at once."""

Within = Callable[[sa.Connection], object]
"""Done in the transaction that changes the routing, so that both happen or neither; what it raises undoes both."""


def nothing_more(connection: sa.Connection) -> None:
    """Do nothing beside the change of the routing."""
    del connection


def deploy(
    db: Database,
    clock: Clock,
    new_id: NewId,
    actor: Actor,
    endpoint: str,
    candidate: Variant,
    *,
    plan: Canary,
    read_counts: ReadCounts,
    publish: Publish,
    defaults: Mapping[str, float] | None = None,
    options: EndpointOptions = EndpointOptions(),  # noqa: B008 - a frozen value
    within: Within = nothing_more,
) -> Rollout:
    """Start to roll a version out on an endpoint.

    Args:
        db: The metadata database.
        clock: The time.
        new_id: Makes the rollout's identifier.
        actor: Who wants it.
        endpoint: Where to.
        candidate: The version; its name, weight and role are set here.
        plan: How it grows and what stops it.
        read_counts: For the counters' present values, above which the first step counts.
        publish: Called after the routing is written.
        defaults: Feature values used when the feature store fails.
        options: How requests are treated.
        within: Done in the same transaction.

    Returns:
        The rollout, running, or promoted at once where nothing served before.

    Raises:
        AccessDenied: The actor may not do `endpoint.deploy`.
        Conflict: A rollout runs there already, that version serves already, or several variants serve.
    """
    authorise(actor, "endpoint.deploy", endpoint)
    baseline = read_counts(endpoint).get(CANDIDATE, Counts())
    now_us = to_us(clock.now())
    detail = {"model": candidate.model, "version": candidate.version}
    with audited(db, clock, actor, "endpoint.deploy", endpoint, detail) as connection:
        route = table.current_route(connection, endpoint)
        previous = () if route is None else tuple(_live(route.variants))
        rollouts.refuse_second(connection, endpoint)
        _check(endpoint, candidate, previous)
        rollout = Rollout(
            id=new_id("rollout"),
            endpoint=endpoint,
            status="running" if previous else "promoted",
            plan=plan,
            candidate=msgspec.structs.replace(candidate, name=CANDIDATE, weight=0, role="live"),
            previous=previous,
            state=CanaryState(0, now_us),
            baseline=baseline,
            revision=0,
            started_us=now_us,
            ended_us=None if previous else now_us,
            reason="started" if previous else "nothing served before: it takes all traffic at once",
            actor=actor.name,
        )
        rollouts.insert(connection, rollout)
        base = route or EndpointRoute(endpoint, 0, endpoint, ())
        base = msgspec.structs.replace(
            base, thresholds_ms=thresholds_ms(plan), defaults=dict(defaults or {}), options=options
        )
        table.write_route(connection, routed(base, rollout), actor.name, now_us)
        within(connection)
    publish()
    return rollout


def replace(
    db: Database,
    clock: Clock,
    new_id: NewId,
    actor: Actor,
    endpoint: str,
    winner: Variant,
    *,
    publish: Publish,
    within: Within = nothing_more,
) -> Rollout:
    """Put a version in place of what serves, at once: for bare models and ensembles.

    No rule could be judged on the answers of a bare model, and an ensemble's members have rollouts of their own.

    Args:
        db: The metadata database.
        clock: The time.
        new_id: Makes the rollout's identifier.
        actor: Who wants it.
        endpoint: Where to.
        winner: The version; its name, weight and role are set here.
        publish: Called after the routing is written.
        within: Done in the same transaction.

    Returns:
        The rollout, promoted; a rollback returns to what served before it.

    Raises:
        AccessDenied: The actor may not do `endpoint.deploy`.
        Conflict: It serves there already, or another kind of model does.
    """
    authorise(actor, "endpoint.deploy", endpoint)
    now_us = to_us(clock.now())
    detail = {"model": winner.model, "version": winner.version}
    with audited(db, clock, actor, "endpoint.deploy", endpoint, detail) as connection:
        base = table.current_route(connection, endpoint) or EndpointRoute(endpoint, 0, endpoint, ())
        _check(endpoint, winner, base.variants)
        rollout = Rollout(
            id=new_id("rollout"),
            endpoint=endpoint,
            status="promoted",
            plan=Canary((100,), "0s", ()),
            candidate=msgspec.structs.replace(winner, name=CANDIDATE, weight=0, role="live"),
            previous=tuple(_live(base.variants)),
            state=CanaryState(0, now_us),
            baseline=Counts(),
            revision=0,
            started_us=now_us,
            ended_us=now_us,
            reason="it took the place of what served" if base.variants else "nothing served before",
            actor=actor.name,
        )
        rollouts.insert(connection, rollout)
        table.write_route(connection, routed(base, rollout), actor.name, now_us)
        within(connection)
    publish()
    return rollout


def routed(base: EndpointRoute, rollout: Rollout) -> EndpointRoute:
    """Return the route that a rollout wants where it stands.

    While it runs, the champion stays loaded even at weight zero, so that going back needs no loading. The champion's
    share comes first, so that the units the candidate has at 10 % are among those it has at 50 %. The endpoint's shadow
    is no matter of the rollout and stays; a version that decides is a shadow no more.
    """
    if rollout.status == "promoted":
        winner = msgspec.structs.replace(rollout.candidate, name=CHAMPION, weight=table.WHOLE)
        return table.with_live(base, (winner,))
    if rollout.status != "running":
        return table.with_live(base, rollout.previous)
    share = rollout.plan.steps[rollout.state.step] * table.WHOLE // 100
    champion, candidate = (
        msgspec.structs.replace(_live(rollout.previous)[0], weight=table.WHOLE - share),
        msgspec.structs.replace(rollout.candidate, weight=share),
    )
    return table.with_live(base, (champion, candidate))


def withdraw(
    db: Database, clock: Clock, actor: Actor, endpoint: str, *, publish: Publish, within: Within = nothing_more
) -> None:
    """Stop serving an endpoint, and end the rollout that runs on it.

    Args:
        db: The metadata database.
        clock: The time.
        actor: Who wants it.
        endpoint: Which.
        publish: Called after the routing is written.
        within: Done in the same transaction.

    Raises:
        AccessDenied: The actor may not do `endpoint.withdraw`.
        NotFound: Nothing serves there.
        InUse: An ensemble needs it.
    """
    authorise(actor, "endpoint.withdraw", endpoint)
    now_us = to_us(clock.now())
    with audited(db, clock, actor, "endpoint.withdraw", endpoint) as connection:
        route = table.require_route(connection, endpoint)
        _refuse_needed(connection, endpoint)
        end(connection, rollouts.find(connection, endpoint, "running"), now_us)
        table.write_route(connection, msgspec.structs.replace(route, variants=()), actor.name, now_us)
        within(connection)
    publish()


def end(connection: sa.Connection, rollout: Rollout | None, now_us: int) -> None:
    """Mark a running rollout as ended by the endpoint's withdrawal."""
    if rollout is not None:
        ended = msgspec.structs.replace(
            rollout, status="withdrawn", ended_us=now_us, reason="the endpoint was withdrawn"
        )
        rollouts.update(connection, ended)


def _live(variants: tuple[Variant, ...]) -> list[Variant]:
    return [variant for variant in variants if variant.role == "live"]


def _refuse_needed(connection: sa.Connection, endpoint: str) -> None:
    for route in table.current_routes(connection).values():
        for variant in route.variants:
            if variant.ensemble is not None and endpoint in variant.ensemble.endpoints:
                raise InUse(
                    f"ensemble {route.endpoint!r} needs endpoint {endpoint!r}",
                    hint=f"first: falaj undeploy {route.endpoint}",
                )


def _kind(variant: Variant) -> tuple[bool, bool]:
    return variant.tensors is not None, variant.ensemble is not None


def _check(endpoint: str, candidate: Variant, previous: tuple[Variant, ...]) -> None:
    live = _live(previous)
    if previous and len(live) != 1:
        raise Conflict(
            f"endpoint {endpoint!r} serves {len(live)} live variants", hint="end the rollout or experiment on it first"
        )
    for variant in live:
        if _kind(variant) != _kind(candidate):
            raise Conflict(
                f"endpoint {endpoint!r} serves another kind of model", hint=f"first: falaj undeploy {endpoint}"
            )
        if (variant.model, variant.version) == (candidate.model, candidate.version):
            raise Conflict(
                f"version {candidate.version} of model {candidate.model!r} serves endpoint {endpoint!r} already",
                hint="deploy another version",
            )
