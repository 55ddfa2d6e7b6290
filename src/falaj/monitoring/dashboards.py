"""Dashboards: Grafana's, out of the definitions, as files that it provisions itself from."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import yaml

from falaj.definitions.project import Definitions
from falaj.monitoring.prometheus_rules import DEFAULTED, ERRORS, P50, P99, PREDICTIONS, RESPONSES

PROVIDER_FILE = "falaj.provider.yml"

_SCHEMA = 38
"""Version of Grafana's dashboard model, that of its release 10."""

_WIDTH, _HEIGHT = 12, 8
_OF = '{endpoint=~"$endpoint"}'


class Panel(NamedTuple):
    """One graph.

    Attributes:
        title: What it shows.
        unit: Grafana's name of the unit.
        queries: Expression and legend of each line.
        kind: Grafana's name of the graph.
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


def dashboards(definitions: Definitions) -> dict[str, str]:
    """Return the text of each file by its name: four dashboards, and the provider that names their folder.

    Args:
        definitions: Those in force.
    """
    endpoints = sorted(definitions.endpoints)
    made = {
        "falaj-model-performance": ("Falaj: model performance", list(_performance())),
        "falaj-model-quality": ("Falaj: model quality", list(_quality(definitions))),
        "falaj-infrastructure": ("Falaj: infrastructure", list(_infrastructure())),
        "falaj-business": ("Falaj: business", list(_business())),
    }
    files = {
        f"{uid}.json": json.dumps(_dashboard(uid, title, panels, endpoints), indent=2) + "\n"
        for uid, (title, panels) in made.items()
    }
    provider = {
        "apiVersion": 1,
        "providers": [
            {
                "name": "falaj",
                "folder": "Falaj",
                "type": "file",
                "options": {"path": "/var/lib/grafana/dashboards/falaj"},
            }
        ],
    }
    return files | {PROVIDER_FILE: str(yaml.safe_dump(provider, sort_keys=False))}


def _performance() -> Iterator[Panel]:
    by = "{{endpoint}} {{version}}"
    yield Panel("Decisions", "reqps", ((f"{PREDICTIONS}{_OF}", by),))
    yield Panel("Latency", "s", ((f"{P50}{_OF}", f"{by} p50"), (f"{P99}{_OF}", f"{by} p99")))
    yield Panel("Failed decisions", "percentunit", ((f"{ERRORS}{_OF}", by),))
    yield Panel("Decisions on defaults", "percentunit", ((f"{DEFAULTED}{_OF}", by),))
    yield Panel("Traffic by version", "percentunit",
                ((f"falaj_variant_weight_ratio{_OF}", "{{endpoint}} {{variant}} {{version}}"),))  # fmt: skip
    yield Panel("Rows computed together", "short",
                (("rate(falaj_batch_rows_sum[5m]) / rate(falaj_batch_rows_count[5m])", "rows"),))  # fmt: skip


def _quality(definitions: Definitions) -> Iterator[Panel]:
    by = "{{endpoint}} {{version}}"
    yield Panel("Drift", "bool", ((f"falaj_drift{_OF}", by),))
    floors = {one.monitor.psi_floor for one in definitions.endpoints.values()}
    floor = f" (floor {min(floors):g})" if floors else ""
    yield Panel(f"Most moved features, PSI{floor}", "short",
                ((f"topk(10, falaj_drift_psi{_OF})", "{{endpoint}} {{feature}}"),))  # fmt: skip
    yield Panel("Realised quality", "short", ((f"falaj_realised{_OF}", f"{by} {{{{metric}}}}"),))
    yield Panel("Outcomes known", "percentunit", ((f"falaj_label_maturity_ratio{_OF}", by),))
    yield Panel("Outcomes that the quality rests on", "short", ((f"falaj_realised_outcomes{_OF}", by),))
    yield Panel("Features that are not present", "percentunit", ((
        f'sum by (endpoint, feature) (rate(falaj_feature_status_total{{endpoint=~"$endpoint",status!="PRESENT"}}[5m])) '
        f"/ sum by (endpoint, feature) (rate(falaj_feature_status_total{_OF}[5m]))", "{{endpoint}} {{feature}}"),
    ))  # fmt: skip
    yield Panel("Served features that are not what the events say", "short",
                (("falaj_consistency_mismatches", "values"),))  # fmt: skip


def _infrastructure() -> Iterator[Panel]:
    yield Panel("Gateway workers", "short", (("falaj_workers", "workers"), ("falaj_open_connections", "connections")))
    yield Panel("Answers by status", "reqps", ((RESPONSES, "{{status}}"),))
    yield Panel("Rows waiting", "short", (("falaj_queue_rows", "rows"),))
    yield Panel("Faults", "short", (
        ("increase(falaj_faults_total[5m])", "faults"), ("increase(falaj_load_failures_total[5m])", "loads"),
        ("increase(falaj_feature_store_failures_total[5m])", "feature store"),
        ("increase(falaj_log_drops_total[5m])", "lost from the log"),
        ("increase(falaj_rejected_requests_total[5m])", "refused"),
    ))  # fmt: skip
    yield Panel("From a pushed event to the next read, p99", "s", ((
        "histogram_quantile(0.99, sum by (view, le) (rate(falaj_view_freshness_seconds_bucket[5m])))", "{{view}}"),
    ))  # fmt: skip
    yield Panel("Views behind their sources", "s", (("falaj_view_lag_seconds", "{{view}}"),))
    yield Panel("Reconcilers that fail", "short", (("falaj_reconciler_failures > 0", "{{reconciler}}"),))
    yield Panel("Routes that are away", "short", (("falaj_alert_route_failures", "{{route}}"),
                                                  ("falaj_alert_route_waiting", "{{route}} waiting")))  # fmt: skip


def _business() -> Iterator[Panel]:
    yield Panel("Decisions in a day", "short",
                (('sum by (endpoint) (increase(falaj_predictions_total{role="live",endpoint=~"$endpoint"}[1d]))',
                  "{{endpoint}}"),), "stat")  # fmt: skip
    yield Panel("What a thousand decisions cost", "short",
                ((f"falaj_cost_per_thousand_decisions{_OF}", "{{endpoint}} {{currency}}"),), "stat")  # fmt: skip
    yield Panel("What trainings and other runs cost", "short", (("falaj_cost_total", "{{kind}} {{currency}}"),))
    yield Panel("Open incidents", "short", (("falaj_incidents_open", "{{state}} {{severity}}"),), "stat")
    yield Panel("Open alerts", "short", (("falaj_alerts_open", "{{rule}} of {{subject}}"),))
    yield Panel("Runs", "short", (("falaj_runs", "{{pipeline}} {{state}}"),))


def _dashboard(uid: str, title: str, panels: Sequence[Panel], endpoints: Sequence[str]) -> dict[str, Any]:
    return {
        "uid": uid,
        "title": title,
        "description": "Written by `falaj dashboards`; change the definitions, not this file.",
        "tags": ["falaj"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": False,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source(), _endpoint(endpoints)]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _endpoint(endpoints: Sequence[str]) -> dict[str, Any]:
    every = {"text": "All", "value": "$__all", "selected": True}
    options = [{"text": name, "value": name, "selected": False} for name in endpoints]
    return {
        "name": "endpoint",
        "label": "Endpoint",
        "type": "custom",
        "query": ",".join(endpoints),
        "options": [every, *options],
        "current": every,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "datasource": source,
        "gridPos": {"x": number % 2 * _WIDTH, "y": number // 2 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": expr, "legendFormat": legend}
            for place, (expr, legend) in enumerate(panel.queries)
        ],
    }
