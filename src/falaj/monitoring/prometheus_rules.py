"""PrometheusRules: recording and alerting rules for Prometheus, out of the definitions."""

from collections.abc import Iterator
from typing import Any

import yaml

from falaj.definitions.endpoint import Endpoint
from falaj.definitions.project import Definitions
from falaj.kernel.alert_settings import Severity

RULES_FILE = "falaj.rules.yml"

_HEAD = "# Written by `falaj alerts rules`; change the definitions, not this file.\n"
_ERROR_RATIO = 0.05
"""What an endpoint that bounds no errors of its rollouts is held to."""

_DEFAULTED_RATIO = 0.05
_LAG_S = 60
_OF = "by (endpoint, version)"
_LIVE = '{role="live"}'

PREDICTIONS = "endpoint:falaj_predictions:rate5m"
ERRORS = "endpoint:falaj_prediction_errors:ratio_rate5m"
DEFAULTED = "endpoint:falaj_predictions_defaulted:ratio_rate5m"
P50 = "endpoint:falaj_prediction_latency_seconds:p50_rate5m"
P99 = "endpoint:falaj_prediction_latency_seconds:p99_rate5m"
RESPONSES = "status:falaj_http_responses:rate5m"

RECORDED: dict[str, str] = {
    PREDICTIONS: f"sum {_OF} (rate(falaj_predictions_total{_LIVE}[5m]))",
    ERRORS: f"sum {_OF} (rate(falaj_prediction_errors_total{_LIVE}[5m])) / {PREDICTIONS}",
    DEFAULTED: f"sum {_OF} (rate(falaj_predictions_defaulted_total{_LIVE}[5m])) / {PREDICTIONS}",
    P50: "histogram_quantile(0.5, sum by (endpoint, version, le) "
    f"(rate(falaj_prediction_latency_seconds_bucket{_LIVE}[5m])))",
    P99: "histogram_quantile(0.99, sum by (endpoint, version, le) "
    f"(rate(falaj_prediction_latency_seconds_bucket{_LIVE}[5m])))",
    RESPONSES: "sum by (status) (rate(falaj_http_responses_total[5m]))",
}
"""Name of what is recorded to its expression; an expression may use those before it."""


def prometheus_rules(definitions: Definitions) -> str:
    """Return the rules as Prometheus reads them.

    Bounds are those of the definitions: what would abort a rollout is an alert when the endpoint itself does it, and so
    is a realised metric that would train again.

    Args:
        definitions: Those in force.
    """
    groups = [
        {"name": "falaj-recorded", "rules": [{"record": name, "expr": expr} for name, expr in RECORDED.items()]},
        {"name": "falaj-gateway", "rules": list(_gateway())},
        {"name": "falaj-control", "rules": list(_control())},
        *[{"name": f"falaj-endpoint-{one.name}", "rules": list(_endpoint(one))} for one in _sorted(definitions)],
    ]
    return _HEAD + str(yaml.safe_dump({"groups": groups}, sort_keys=False, width=120))


def _sorted(definitions: Definitions) -> list[Endpoint]:
    return [definitions.endpoints[name] for name in sorted(definitions.endpoints)]


def _endpoint(one: Endpoint) -> Iterator[dict[str, Any]]:
    of = f'{{endpoint="{one.name}"}}'
    bounds = {rule.metric: rule.bound for rule in one.rollout.abort_if}
    errors = bounds.get("error_ratio", _ERROR_RATIO)
    yield _alert(
        "FalajErrors", f"{ERRORS}{of} > {errors:g}", "critical", "5m",
        f"more than {errors:.3g} of the decisions of {{{{ $labels.endpoint }}}} fail", endpoint=one.name,
    )  # fmt: skip
    if "p99_ms" in bounds:
        yield _alert(
            "FalajSlow", f"{P99}{of} > {bounds['p99_ms'] / 1000:g}", "warning", "5m",
            f"one in a hundred decisions of {{{{ $labels.endpoint }}}} takes over {bounds['p99_ms']:g} ms",
            endpoint=one.name,
        )  # fmt: skip
    yield _alert(
        "FalajDefaults", f"{DEFAULTED}{of} > {_DEFAULTED_RATIO:g}", "warning", "5m",
        "{{ $labels.endpoint }} decides on declared defaults instead of features", endpoint=one.name,
    )  # fmt: skip
    yield _alert(
        "FalajDrift", f"falaj_drift{of} == 1", "warning", "",
        "the decisions of {{ $labels.version }} drifted from what it was tested on", endpoint=one.name,
    )  # fmt: skip
    for trigger in one.retrain.on if one.retrain else ():
        if trigger.kind == "performance":
            yield _alert(
                "FalajQuality",
                f'falaj_realised{{endpoint="{one.name}",metric="{trigger.metric}"}} < {trigger.bound:g}',
                "warning", "",
                f"realised {trigger.metric} of {{{{ $labels.version }}}} is below {trigger.bound:g}", endpoint=one.name,
            )  # fmt: skip


def _gateway() -> Iterator[dict[str, Any]]:
    yield _alert("FalajGatewayAway", "absent(falaj_workers)", "critical", "2m", "no gateway is scraped")
    counted: tuple[tuple[str, Severity, str], ...] = (
        ("falaj_log_drops_total", "critical", "decisions are lost from the prediction log"),
        ("falaj_faults_total", "critical", "requests end by a fault of the gateway itself"),
        ("falaj_load_failures_total", "critical", "a routing table, a token list or a model cannot be loaded"),
        ("falaj_feature_store_failures_total", "warning", "the feature store fails"),
        ("falaj_rejected_requests_total", "warning", "requests are refused because too many rows wait"),
        ("falaj_python_ends_total", "warning", "processes of Python models end"),
    )
    for metric, severity, text in counted:
        yield _alert(_name_of(metric), f"increase({metric}[5m]) > 0", severity, "", text)


def _control() -> Iterator[dict[str, Any]]:
    yield _alert(
        "FalajControlAway", "absent(falaj_consistency_every_seconds)", "critical", "2m", "no control is scraped"
    )
    yield _alert(
        "FalajViewLag", f"falaj_view_lag_seconds > {_LAG_S} and falaj_view_backfilling == 0", "warning", "1m",
        "{{ $labels.view }} does not show events that waited over a minute",
    )  # fmt: skip
    yield _alert(
        "FalajConsistency", "falaj_consistency_mismatches > 0", "critical", "",
        "served features are not what the events say",
    )  # fmt: skip
    yield _alert(
        "FalajConsistencyStale",
        "falaj_consistency_age_seconds > 3 * falaj_consistency_every_seconds and falaj_consistency_every_seconds > 0",
        "warning", "5m", "served features are not checked any more",
    )  # fmt: skip
    yield _alert(
        "FalajReconcilerFails", "falaj_reconciler_failures > 3", "warning", "5m",
        "{{ $labels.reconciler }} fails again and again",
    )  # fmt: skip
    yield _alert(
        "FalajRouteAway", "falaj_alert_route_failures > 3", "warning", "5m",
        "people are not told by {{ $labels.route }}",
    )  # fmt: skip


def _name_of(metric: str) -> str:
    return "".join(word.capitalize() for word in metric.removesuffix("_total").split("_"))


def _alert(name: str, expr: str, severity: Severity, wait: str, text: str, **labels: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": name, "expr": expr}
    if wait:
        rule["for"] = wait
    return rule | {"labels": {"severity": severity, **labels}, "annotations": {"summary": text}}
