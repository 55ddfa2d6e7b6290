"""The operation on figures: what control knows, as numbers for Prometheus; nothing that reads a source's table."""

from collections import Counter

from falaj.app.operations.alert import list_routes
from falaj.app.operations.monitor import monitor_status
from falaj.app.operations.status import cost_by_kind, used_by
from falaj.app.values.alert import RoutesQuery
from falaj.app.values.figures import DriftFigure, EndpointFigures, Figures, FiguresQuery
from falaj.cost.report import price
from falaj.definitions.routing_table import EndpointRoute
from falaj.governance.access import Actor
from falaj.lifecycle.counts import gateway_stats
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring.alerts import list_alerts
from falaj.monitoring.incidents import list_incidents
from falaj.monitoring.triage import ruled_records
from falaj.pipelines.reconcile import reconciler_states
from falaj.pipelines.runs import count_runs
from falaj.rollout.table import current_routes
from falaj.serving.stats import GatewayStats

_MOST_ALERTS = 1_000


def figures(rooms: Rooms, actor: Actor, params: FiguresQuery) -> Figures:
    """Return what control knows as numbers."""
    del params
    stats = gateway_stats(rooms)
    with rooms.db.read() as connection:
        routes = current_routes(connection)
        opened = list_alerts(connection, only_open=True, limit=_MOST_ALERTS)
        held = list_incidents(connection, only_open=True, limit=_MOST_ALERTS)
        runs = count_runs(connection)
    alerts = [one.alert for one in ruled_records(rooms.settings.alerts, opened)]
    incidents = Counter((one.state, one.severity) for one in held)
    return Figures(
        endpoints=tuple(_endpoint(rooms, route, stats) for route in routes.values()),
        alerts=tuple((one.rule, one.subject, one.severity) for one in alerts),
        incidents=tuple((state, severity, count) for (state, severity), count in sorted(incidents.items())),
        routes=tuple(list_routes(rooms, actor, RoutesQuery())),
        runs=runs,
        reconcilers=tuple((one.name, one.failures) for one in reconciler_states(rooms.db)),
        cost=cost_by_kind(rooms),
        currency=rooms.settings.cost.currency,
    )


def _endpoint(rooms: Rooms, route: EndpointRoute, stats: GatewayStats) -> EndpointFigures:
    found = monitor_status(rooms, route.endpoint)
    whole = sum(one.weight for one in route.variants if one.role == "live") or 1
    weights = [(one.name, str(one.version), one.role, one.weight / whole) for one in route.variants]
    return EndpointFigures(
        endpoint=route.endpoint,
        version=found.version,
        weights=tuple(weights),
        drift=int(found.outcome == "DRIFT") if found.at_us else None,
        judged_us=found.at_us,
        features=tuple(DriftFigure(one.feature, one.effect) for one in found.features if one.effect is not None),
        realised={name: value for name, value in found.realised.items() if value is not None},
        outcomes=found.outcomes,
        maturity=found.maturity,
        cost_per_thousand=price(used_by(route.endpoint, stats), rooms.settings.cost).per_thousand_requests,
    )
