"""The status operation: what serves, how well, at what cost."""

from falaj.app.operations.alert import list_alerts
from falaj.app.operations.consistency import consistency
from falaj.app.operations.freshness import freshness
from falaj.app.operations.model import list_versions
from falaj.app.operations.monitor import monitor_status
from falaj.app.operations.run import list_runs
from falaj.app.operations.source import source_facts
from falaj.app.running import find_control
from falaj.app.values.alert import AlertsQuery
from falaj.app.values.consistency import ConsistencyQuery
from falaj.app.values.freshness import FreshnessQuery
from falaj.app.values.model import VersionsQuery
from falaj.app.values.run import RunsQuery
from falaj.app.values.status import EndpointStatus, Status, StatusQuery, VariantStatus, VersionStatus
from falaj.cost.meter import Usage
from falaj.cost.report import price, report
from falaj.definitions.routing_table import EndpointRoute, Variant
from falaj.governance.access import Actor, is_allowed
from falaj.governance.approvals import ApprovalState
from falaj.governance.audit import list_records
from falaj.kernel.clock import to_us
from falaj.lifecycle.approving import is_approved
from falaj.lifecycle.counts import gateway_stats
from falaj.lifecycle.hindrances import hindrance
from falaj.lifecycle.promoted import KEPT_BACK, WAITS
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.wishes import Wish, wishes
from falaj.models.stages import Stage
from falaj.rollout import rollouts, table
from falaj.serving.stats import GatewayStats, Series

_SECOND_US = 1_000_000


def status(rooms: Rooms, actor: Actor, params: StatusQuery) -> Status:
    """Return the project at a glance."""
    del params
    stats = gateway_stats(rooms)
    control = find_control(rooms.state.path)
    audit = list_records(rooms.db, limit=12) if is_allowed(actor, "audit.read", "project") else []
    return Status(
        rooms.settings.project.name,
        to_us(rooms.clock.now()),
        control is not None,
        len(stats.live),
        tuple(source_facts(rooms, source) for source in rooms.definitions.sources.values()),
        tuple(freshness(rooms, actor, FreshnessQuery())) if control else (),
        tuple(_endpoints(rooms, stats)),
        tuple(sorted(list_versions(rooms, actor, VersionsQuery()), key=_rank)[:20]),
        tuple(list_runs(rooms, actor, RunsQuery(limit=10))),
        tuple(list_alerts(rooms, actor, AlertsQuery(limit=10))),
        tuple({"at": r.at, "actor": r.actor, "action": r.action, "resource": r.resource} for r in audit),
        cost_by_kind(rooms),
        rooms.settings.cost.currency,
        consistency=consistency(rooms, actor, ConsistencyQuery()),
        page="" if control is None else control.url,
    )


def cost_by_kind(rooms: Rooms) -> dict[str, float]:
    """Return what measured use cost, by kind."""
    cost: dict[str, float] = {}
    for line in report(rooms.db, rooms.settings.cost):
        cost[line.used.kind] = cost.get(line.used.kind, 0.0) + line.amount
    return cost


def _endpoints(rooms: Rooms, stats: GatewayStats) -> list[EndpointStatus]:
    with rooms.db.read() as connection:
        routes = table.current_routes(connection)
        running = {rollout.endpoint: rollout for rollout in rollouts.running(connection)}
        wanted = {one.endpoint: one for one in wishes(connection)}
    found = []
    for name, route in routes.items():
        rollout = running.get(name)
        words = ""
        if rollout is not None:
            step, steps = rollout.state.step, rollout.plan.steps
            words = f"canary step {step + 1} of {len(steps)}: {steps[step]} %"
        elif name in wanted:
            words = _waiting(rooms, wanted[name])
        used = used_by(name, stats)
        found.append(
            EndpointStatus(
                name,
                route.variants[0].model,
                route.epoch,
                tuple(variant_status(rooms, route, variant, stats) for variant in route.variants),
                words,
                monitor_status(rooms, name),
                price(used, rooms.settings.cost).per_thousand_requests,
                rooms.settings.cost.currency,
                stats.load_error(name),
            )
        )
    return found


def _rank(version: VersionStatus) -> int:
    """Return the place of a version in the list: what serves first, then what waits; the newest first in each."""
    if version.stage == Stage.PRODUCTION:
        return 0
    return 1 if version.stage == Stage.STAGING or version.approval == ApprovalState.PENDING else 2


def _waiting(rooms: Rooms, one: Wish) -> str:
    version, endpoint = rooms.registry.get(one.model, one.version), rooms.definitions.endpoints.get(one.endpoint)
    if not is_approved(rooms, version):
        return f"version {one.version} {WAITS}"
    why = hindrance(rooms, endpoint, version) if endpoint is not None else ""
    return f"version {one.version} {KEPT_BACK}: {why}" if why else f"version {one.version} is about to go out"


def variant_status(rooms: Rooms, route: EndpointRoute, variant: Variant, stats: GatewayStats) -> VariantStatus:
    """Return a variant with what the gateway counted of its version in its role."""
    series = Series(endpoint=route.endpoint, variant=variant.name, version=variant.version)
    for one in stats.total.series:
        # A version keeps its counts when it goes from candidate to champion.
        if (one.endpoint, one.version, one.role) == (route.endpoint, variant.version, variant.role):
            series.add(one)
    return VariantStatus(
        variant.name,
        variant.version,
        variant.role,
        variant.weight / table.WHOLE * 100,
        series.requests,
        series.errors,
        rooms.rates.per_second((route.endpoint, variant.version)),
        series.quantile_ms(0.5),
        series.quantile_ms(0.99),
    )


def used_by(endpoint: str, stats: GatewayStats) -> Usage:
    """Return what an endpoint's decisions used: their time in the gateway, as if each had held a core for it.

    That is an upper bound, because decisions of one batch share their time. What a shadow computes costs, and is no
    decision.
    """
    series = [one for one in stats.total.series if one.endpoint == endpoint]
    seconds = sum(one.latency_us for one in series) / _SECOND_US
    return Usage("endpoint", endpoint, seconds, seconds, sum(one.requests for one in series if one.role != "shadow"))
