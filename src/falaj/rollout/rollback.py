"""Rollback: return an endpoint to what served before, at once."""

import msgspec

from falaj.governance.access import Actor, authorise
from falaj.governance.audit import audited
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.errors import Conflict
from falaj.rollout import rollouts, table
from falaj.rollout.deploy import Publish, Within, nothing_more, routed
from falaj.rollout.rollouts import Rollout
from falaj.storage.metadata.database import Database


def roll_back(
    db: Database,
    clock: Clock,
    actor: Actor,
    endpoint: str,
    *,
    publish: Publish,
    reason: str = "asked for",
    within: Within = nothing_more,
) -> Rollout:
    """Return an endpoint to the recorded previous variants: those before the rollout that runs, or the last promoted.

    Called again, it goes back one more promotion.

    Args:
        db: The metadata database.
        clock: The time.
        actor: Who wants it.
        endpoint: Which.
        publish: Called after the routing is written; gateways follow within their polling time.
        reason: Why, kept with the rollout.
        within: Done in the same transaction.

    Returns:
        The rollout that was undone.

    Raises:
        AccessDenied: The actor may not do `endpoint.rollback`.
        NotFound: Nothing serves there.
        Conflict: Nothing served before.
    """
    authorise(actor, "endpoint.rollback", endpoint)
    now_us = to_us(clock.now())
    detail: dict[str, object] = {"reason": reason}
    with audited(db, clock, actor, "endpoint.rollback", endpoint, detail) as connection:
        route = table.require_route(connection, endpoint)
        last = rollouts.find(connection, endpoint, "running") or rollouts.find(connection, endpoint, "promoted")
        if last is None or not last.previous:
            raise Conflict(f"nothing served endpoint {endpoint!r} before", hint="deploy another version instead")
        undone = msgspec.structs.replace(last, status="rolled_back", ended_us=now_us, reason=reason)
        undone = rollouts.update(connection, undone)
        table.write_route(connection, routed(route, undone), actor.name, now_us)
        detail["from"] = last.candidate.version
        detail["to"] = [variant.version for variant in last.previous]
        within(connection)
    publish()
    return undone
