"""Rules and dashboards out of the definitions: promtool takes them, and they fire and rest as they should."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import falaj as fj
from falaj.definitions.project import Definitions
from falaj.monitoring.dashboards import PROVIDER_FILE, dashboards
from falaj.monitoring.prometheus_rules import RECORDED, RULES_FILE, prometheus_rules
from support.prometheus import promtool
from support.rooms_world import definitions, endpoint, model

WATCHED = endpoint(
    rollout=fj.canary(steps=[10, 100], bake="1m", abort_if=[fj.error_ratio > 0.02, fj.p99_ms > 50]),
    retrain=fj.retrain(on=[fj.on.drift(), fj.on.performance("auc", at_least=0.8)]),
)
OTHER = endpoint("churn", model("churn"), rollout=fj.canary(steps=[100], bake="1m", abort_if=[fj.p99_ms > 10]))
DECLARED = definitions(WATCHED, OTHER)


def written(folder: Path, declared: Definitions = DECLARED) -> Path:
    path = folder / RULES_FILE
    path.write_text(prometheus_rules(declared))
    return path


def rules_of(declared: Definitions) -> dict[str, list[dict[str, Any]]]:
    groups = yaml.safe_load(prometheus_rules(declared))["groups"]
    return {group["name"]: group["rules"] for group in groups}


def test_promtool_takes_the_rules_of_any_project(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", written(tmp_path))
    assert "SUCCESS" in promtool("check", "rules", written(tmp_path, Definitions()))


def test_bounds_are_those_of_the_definitions() -> None:
    found = {rule["alert"]: rule["expr"] for rule in rules_of(DECLARED)["falaj-endpoint-fraud"]}
    assert found == {
        "FalajErrors": 'endpoint:falaj_prediction_errors:ratio_rate5m{endpoint="fraud"} > 0.02',
        "FalajSlow": 'endpoint:falaj_prediction_latency_seconds:p99_rate5m{endpoint="fraud"} > 0.05',
        "FalajDefaults": 'endpoint:falaj_predictions_defaulted:ratio_rate5m{endpoint="fraud"} > 0.05',
        "FalajDrift": 'falaj_drift{endpoint="fraud"} == 1',
        "FalajQuality": 'falaj_realised{endpoint="fraud",metric="auc"} < 0.8',
    }
    other = [rule["alert"] for rule in rules_of(DECLARED)["falaj-endpoint-churn"]]
    assert other == ["FalajErrors", "FalajSlow", "FalajDefaults", "FalajDrift"]


LABELS = 'endpoint="fraud",variant="champion",version="3",role="live"'
SERIES = {
    f"falaj_predictions_total{{{LABELS}}}": "0+100x30",
    f"falaj_prediction_errors_total{{{LABELS}}}": "0+5x30",
    f"falaj_predictions_defaulted_total{{{LABELS}}}": "0+1x30",
    f'falaj_prediction_latency_seconds_bucket{{{LABELS},le="0.01"}}': "0+90x30",
    f'falaj_prediction_latency_seconds_bucket{{{LABELS},le="0.1"}}': "0+100x30",
    f'falaj_prediction_latency_seconds_bucket{{{LABELS},le="+Inf"}}': "0+100x30",
    'falaj_predictions_total{endpoint="fraud",variant="shadow",version="4",role="shadow"}': "0+100x30",
    'falaj_prediction_errors_total{endpoint="fraud",variant="shadow",version="4",role="shadow"}': "0+100x30",
    'falaj_drift{endpoint="fraud",version="fraud/3"}': "0x9 1x20",
    'falaj_realised{endpoint="fraud",version="fraud/3",metric="auc"}': "0.7x30",
    'falaj_realised{endpoint="churn",version="churn/1",metric="auc"}': "0.7x30",
    "falaj_workers": "2x9 _x20",
    "falaj_log_drops_total": "0x9 7x20",
    "falaj_faults_total": "3x30",
    'falaj_view_lag_seconds{view="cards",definition="a",source="tx"}': "90x30",
    'falaj_view_backfilling{view="cards",definition="a",source="tx"}': "0x30",
    'falaj_view_lag_seconds{view="shops",definition="b",source="tx"}': "90x30",
    'falaj_view_backfilling{view="shops",definition="b",source="tx"}': "1x30",
    "falaj_consistency_age_seconds": "1000x30",
    "falaj_consistency_every_seconds": "300x30",
    "falaj_consistency_mismatches": "0x30",
    'falaj_reconciler_failures{reconciler="watching"}': "4x30",
    'falaj_alert_route_failures{route="oncall"}': "3x30",
}
FIRING: dict[str, dict[str, list[str]]] = {
    "8m": {"FalajErrors": ["fraud/3"], "FalajSlow": ["fraud/3"], "FalajDefaults": [], "FalajDrift": [],
           "FalajQuality": ["fraud/fraud/3"], "FalajGatewayAway": [], "FalajLogDrops": [], "FalajFaults": [],
           "FalajViewLag": ["cards"], "FalajConsistency": [], "FalajConsistencyStale": ["-"],
           "FalajReconcilerFails": ["watching"], "FalajRouteAway": [], "FalajControlAway": []},
    "12m": {"FalajDrift": ["fraud/fraud/3"], "FalajGatewayAway": [], "FalajLogDrops": ["-"]},
    "25m": {"FalajGatewayAway": ["-"], "FalajLogDrops": []},
}  # fmt: skip


def test_alerts_fire_for_what_is_wrong_and_for_nothing_else(tmp_path: Path) -> None:
    """promtool runs the rules over half an hour of series; what is not expected must not fire either."""
    groups = rules_of(DECLARED)
    of = ("falaj-gateway", "falaj-control", "falaj-endpoint-fraud")
    declared = {rule["alert"]: rule for name in of for rule in groups[name]}
    cases = [
        {"eval_time": at, "alertname": name, "exp_alerts": [_expected(declared[name], who) for who in firing]}
        for at, found in FIRING.items()
        for name, firing in found.items()
    ]
    test = {
        "rule_files": [str(written(tmp_path))],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in SERIES.items()],
                "alert_rule_test": cases,
                "promql_expr_test": [
                    {"expr": "endpoint:falaj_prediction_errors:ratio_rate5m", "eval_time": "10m",
                     "exp_samples": [{"labels": 'endpoint:falaj_prediction_errors:ratio_rate5m{endpoint="fraud",'
                                                'version="3"}', "value": 0.05}]}
                ],
            }
        ],
    }  # fmt: skip
    path = tmp_path / "falaj.test.yml"
    path.write_text(yaml.safe_dump(test))
    assert "SUCCESS" in promtool("test", "rules", path)


def _expected(rule: dict[str, Any], who: str) -> dict[str, Any]:
    """What promtool is to find: the alert's labels and its sentence, with the labels filled in."""
    labels = dict(rule["labels"])
    if "endpoint" in labels:
        labels["version"] = who.partition("/")[2]
    if rule["alert"] == "FalajQuality":
        labels["metric"] = "auc"
    if rule["alert"] == "FalajViewLag":
        labels |= {"view": who, "definition": "a", "source": "tx"}
    if rule["alert"] == "FalajReconcilerFails":
        labels["reconciler"] = who
    text = re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], rule["annotations"]["summary"])
    return {"exp_labels": labels, "exp_annotations": {"summary": text}}


def test_dashboards_are_files_that_grafana_provisions_itself_from() -> None:
    files = dashboards(DECLARED)
    provider = yaml.safe_load(files.pop(PROVIDER_FILE))
    assert provider["providers"][0]["type"] == "file"
    made = {name: json.loads(text) for name, text in files.items()}
    assert sorted(made) == [
        "falaj-business.json",
        "falaj-infrastructure.json",
        "falaj-model-performance.json",
        "falaj-model-quality.json",
    ]
    assert len({one["uid"] for one in made.values()}) == 4
    for one in made.values():
        source, variable = one["templating"]["list"]
        assert (source["type"], variable["query"]) == ("datasource", "churn,fraud")
        assert [panel["id"] for panel in one["panels"]] == list(range(1, len(one["panels"]) + 1))
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in one["panels"]]
        assert len(set(places)) == len(places)
        assert all(panel["targets"] for panel in one["panels"])


def test_promtool_takes_every_expression_of_the_dashboards(tmp_path: Path) -> None:
    files = dashboards(DECLARED)
    panels = [panel for name, text in files.items() if name != PROVIDER_FILE for panel in json.loads(text)["panels"]]
    exprs = [target["expr"].replace("$endpoint", ".*") for panel in panels for target in panel["targets"]]
    assert len(exprs) > 25
    rules = [{"record": f"dashboard:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    path = tmp_path / "dashboards.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}).replace("dashboard:", "d:x"))
    assert "SUCCESS" in promtool("check", "rules", path)
    recorded = {name for expr in exprs for name in re.findall(r"\w+:\w+:\w+", expr)}
    assert recorded <= set(RECORDED)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_what_is_recorded_is_named_as_prometheus_advises(name: str) -> None:
    assert re.fullmatch(r"[a-z]+:falaj_\w+:\w+", name)  # level:metric:operations
