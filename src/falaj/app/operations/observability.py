"""Operations that write for Prometheus and Grafana, out of the applied definitions."""

from falaj.app.values.observability import Generated, GenerateQuery
from falaj.governance.access import Actor
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring import dashboards as grafana
from falaj.monitoring.prometheus_rules import RULES_FILE, prometheus_rules


def rules(rooms: Rooms, actor: Actor, params: GenerateQuery) -> Generated:
    """Return Prometheus' recording and alerting rules."""
    del actor, params
    return Generated({RULES_FILE: prometheus_rules(rooms.definitions)})


def dashboards(rooms: Rooms, actor: Actor, params: GenerateQuery) -> Generated:
    """Return Grafana's dashboards, and the provider that names their folder."""
    del actor, params
    return Generated(grafana.dashboards(rooms.definitions))
