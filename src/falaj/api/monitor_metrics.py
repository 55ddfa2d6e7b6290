"""MonitorMetrics: drift, quality, alerts, runs and costs as Prometheus text."""

from collections import Counter
from collections.abc import Iterator

from falaj.app.values.figures import EndpointFigures, Figures
from falaj.serving.exposition import Labels, family


def monitor_lines(figures: Figures) -> list[str]:
    """Return the lines; what is not known yet has no sample, so that nothing looks like a zero.

    Example:
        >>> lines = monitor_lines(Figures(alerts=(("drift", "fraud", "warning"),)))
        >>> [line for line in lines if line.startswith("falaj_alerts_open")]
        ['falaj_alerts_open{rule="drift",subject="fraud",severity="warning"} 1']
    """
    return [*_endpoints(figures), *_people(figures), *_work(figures)]


def _endpoints(figures: Figures) -> Iterator[str]:
    named = [(one, _of(one)) for one in figures.endpoints]
    yield from family(
        "falaj_variant_weight_ratio", "gauge", "Share of units that a variant decides.",
        [((("endpoint", one.endpoint), ("variant", variant), ("version", version), ("role", role)), weight)
         for one, _ in named for variant, version, role, weight in one.weights],
    )  # fmt: skip
    yield from family(
        "falaj_drift", "gauge", "1 if the last judged window drifted from what the version was tested on.",
        [(of, one.drift) for one, of in named if one.drift is not None],
    )  # fmt: skip
    yield from family(
        "falaj_drift_judged_timestamp_seconds", "gauge", "When the last window was judged.",
        [(of, one.judged_us / 1e6) for one, of in named if one.judged_us],
    )  # fmt: skip
    yield from family(
        "falaj_drift_psi", "gauge", "Population stability index of a feature in the last judged window.",
        [((*of, ("feature", feature.feature)), feature.effect) for one, of in named for feature in one.features],
    )  # fmt: skip
    yield from family(
        "falaj_realised", "gauge", "Realised quality by metric, from outcomes that arrived.",
        [((*of, ("metric", name)), value) for one, of in named for name, value in one.realised.items()],
    )  # fmt: skip
    yield from family(
        "falaj_realised_outcomes", "gauge", "Outcomes that the realised quality rests on.",
        [(of, one.outcomes) for one, of in named],
    )  # fmt: skip
    yield from family(
        "falaj_label_maturity_ratio", "gauge", "Share of decisions whose outcome is known.",
        [(of, one.maturity) for one, of in named if one.maturity is not None],
    )  # fmt: skip
    yield from family(
        "falaj_cost_per_thousand_decisions", "gauge", "What a thousand decisions cost.",
        [((("endpoint", one.endpoint), ("currency", figures.currency)), one.cost_per_thousand)
         for one, _ in named if one.cost_per_thousand is not None],
    )  # fmt: skip


def _people(figures: Figures) -> Iterator[str]:
    opened = Counter(figures.alerts)
    yield from family(
        "falaj_alerts_open", "gauge", "Alerts that hold, silenced ones included.",
        [((("rule", rule), ("subject", subject), ("severity", severity)), count)
         for (rule, subject, severity), count in sorted(opened.items())],
    )  # fmt: skip
    yield from family(
        "falaj_incidents_open", "gauge", "Incidents that are not resolved.",
        [((("state", state), ("severity", severity)), count) for state, severity, count in figures.incidents],
    )  # fmt: skip
    yield from family(
        "falaj_alert_route_failures", "gauge", "Attempts in a row that did not reach a route.",
        [((("route", one.route),), one.failures) for one in figures.routes],
    )  # fmt: skip
    yield from family(
        "falaj_alert_route_waiting", "gauge", "Messages that have not reached a route yet.",
        [((("route", one.route),), one.waiting) for one in figures.routes],
    )  # fmt: skip


def _work(figures: Figures) -> Iterator[str]:
    yield from family(
        "falaj_runs", "gauge", "Runs by pipeline and state.",
        [((("pipeline", pipeline), ("state", state)), count) for pipeline, state, count in figures.runs],
    )  # fmt: skip
    yield from family(
        "falaj_reconciler_failures", "gauge", "Failed passes in a row of a reconciler.",
        [((("reconciler", name),), failures) for name, failures in figures.reconcilers],
    )  # fmt: skip
    yield from family(
        "falaj_cost_total", "counter", "What measured use cost.",
        [((("kind", kind), ("currency", figures.currency)), amount) for kind, amount in sorted(figures.cost.items())],
    )  # fmt: skip


def _of(one: EndpointFigures) -> Labels:
    return (("endpoint", one.endpoint), ("version", one.version))
