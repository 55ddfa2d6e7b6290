"""Hindrances: what keeps an approved version from an endpoint's traffic for now, by its model's policy."""

from falaj.definitions.endpoint import Endpoint
from falaj.kernel.clock import from_us, rfc3339, to_us
from falaj.kernel.duration import duration_us
from falaj.lifecycle.outdated import outdated
from falaj.lifecycle.rooms import Rooms
from falaj.models.stages import Stage
from falaj.models.version import ModelVersion
from falaj.monitoring.alerts import list_alerts
from falaj.monitoring.routes import APPROVAL

OF_WHAT_SERVES = ("drift", "performance", "endpoint_load")
"""Alerts about what a new version is to replace: they ask for one, and are no reason to wait with it."""

_MOST_ALERTS = 10_000


def hindrance(rooms: Rooms, endpoint: Endpoint, version: ModelVersion) -> str:
    """Return why the version gets no traffic yet, as one sentence; empty where nothing keeps it.

    Args:
        rooms: The project.
        endpoint: Where it is wanted.
        version: Approved; for `soak` to pass it must stand in staging.
    """
    return outdated(rooms, version) or _soaking(rooms, version) or unquiet(rooms, endpoint.name, version.model)


def _soaking(rooms: Rooms, version: ModelVersion) -> str:
    soak = rooms.definitions.policy_of(version.model).soak
    if not duration_us(soak):
        return ""
    moves = rooms.registry.history(version.model, version.version)
    if moves and moves[-1].to_stage is Stage.PRODUCTION:  # it serves another endpoint
        return ""
    if not moves or moves[-1].to_stage is not Stage.STAGING:
        return f"it has to stand in staging for {soak}"
    until_us = moves[-1].at_us + duration_us(soak)
    if to_us(rooms.clock.now()) >= until_us:
        return ""
    return f"it stands in staging for {soak}, until {rfc3339(from_us(until_us))[:19]}"


def unquiet(rooms: Rooms, endpoint: str, model: str) -> str:
    """Return which open alert keeps a model's versions from an endpoint, as one sentence; empty where none does."""
    if not rooms.definitions.policy_of(model).quiet:
        return ""
    others = {name for name in (*rooms.definitions.endpoints, *rooms.definitions.ensembles) if name != endpoint}
    with rooms.db.read() as connection:
        found = [one.alert for one in list_alerts(connection, only_open=True, limit=_MOST_ALERTS)]
    told = [one for one in found if one.subject not in others and one.rule not in (*OF_WHAT_SERVES, APPROVAL)]
    if not told:
        return ""
    more = f" and {len(told) - 1} more" if len(told) > 1 else ""
    return f"the policy wants quiet, and an alert is open: {told[0].rule} of {told[0].subject}{more}"
