"""The operation on consistency: what the last check of served features found."""

from falaj.app.values.consistency import ConsistencyQuery, ConsistencyStatus
from falaj.governance.access import Actor
from falaj.kernel.clock import to_us
from falaj.lifecycle.consistency import last_check
from falaj.lifecycle.rooms import Rooms

_SECOND_US = 1_000_000


def consistency(rooms: Rooms, actor: Actor, params: ConsistencyQuery) -> ConsistencyStatus:
    """Return what the last check found, of the schedule or of `falaj features verify` over all endpoints."""
    del actor, params
    settings, found = rooms.settings.consistency, last_check(rooms)
    every_s = settings.every_s if settings.enabled else None
    if found is None:
        return ConsistencyStatus(every_s)
    evidence = found.evidence
    return ConsistencyStatus(
        every_s,
        found.outcome,
        found.reason,
        max(to_us(rooms.clock.now()) - found.at_us, 0) / _SECOND_US,
        evidence["decisions"],
        evidence["compared"],
        evidence["mismatches"],
        evidence["non_default_share"],
        evidence["changed_by_view"],
    )
