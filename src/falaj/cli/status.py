"""The command `falaj status`: what serves, how well, at what cost."""

import math
from collections.abc import Mapping

import click

from falaj.app.values.consistency import ConsistencyStatus
from falaj.app.values.freshness import ViewFreshness
from falaj.app.values.status import EndpointStatus, Status, StatusQuery
from falaj.cli.command import FalajCommand, Session, counted, pass_session, plain
from falaj.cli.features import OUTCOME_COLOURS
from falaj.cli.monitor import drift_subject, realised_lines
from falaj.cli.source import feed_lines
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.duration import format_duration

_DRIFT = {"DRIFT": ("drift", "red"), "NO_DRIFT": ("no drift", "green"), "INCONCLUSIVE": ("drift undecided", "yellow")}

_MOST_PARTITIONS = 5
_MOST_VERSIONS = 5
_SECOND_MS, _MINUTE_MS = 1_000, 60_000


@click.command(cls=FalajCommand)
@pass_session
def status(session: Session) -> None:
    """Show what serves, how well and at what cost.

    Example: falaj status
    """
    found = session.client().perform("project.status", StatusQuery(), Status)
    session.show(found, lambda: _print(found))


def _print(s: Status) -> None:
    running = f"control {'runs' if s.control else 'is not running'}, {counted(s.gateway_workers, 'gateway worker')}"
    click.echo(f"{click.style(plain(s.project), bold=True)}  {running}")
    if s.page:
        click.echo(f"pages     {s.page}, MLflow's at {s.page}/mlflow/")
    for endpoint in s.endpoints:
        for line in endpoint_lines(endpoint):
            click.echo(line)
    if not s.endpoints:
        click.echo("nothing serves yet")
    for version in s.versions[:_MOST_VERSIONS]:
        score = leading(version.metrics)
        waits = "  waits for approval" if version.approval == "PENDING" else ""
        click.echo(
            f"version   {version.model} {version.version}  {version.stage:<11} gate {version.gate} {score}{waits}"
        )
    if len(s.versions) > _MOST_VERSIONS:
        click.echo(f"version   {len(s.versions) - _MOST_VERSIONS} more: falaj models list")
    for source in s.sources:
        last = "" if source.last_event_us is None else f", latest event {rfc3339(from_us(source.last_event_us))}"
        click.echo(f"source    {source.name}: {counted(source.rows, 'row')}, {source.quarantined:,} quarantined{last}")
        for line in feed_lines(source.feed, _MOST_PARTITIONS):
            click.echo(f"  {line}")
    for view in s.views:
        click.echo(f"view      {freshness_line(view)}")
    if s.consistency is not None and s.consistency.age_s is not None:
        click.echo(f"features  {_consistency(s.consistency)}")
    for alert in [a for a in s.alerts if a.open][:5]:
        click.echo(f"alert     {click.style(alert.severity, fg='red')} {alert.subject}: {plain(alert.message)}")
    for kind, amount in s.cost.items():
        click.echo(f"cost      {kind}: {amount:.4f} {s.currency}")


def _consistency(found: ConsistencyStatus) -> str:
    """Return what the last check of served features found, as one line."""
    age = format_duration(round(found.age_s or 0.0) * 1_000_000) if found.age_s else "0s"
    outcome = click.style(found.outcome, fg=OUTCOME_COLOURS[found.outcome])
    off = "" if found.every_s is not None else "; not checked by itself"
    return f"{outcome}  {plain(found.reason)}, checked {age} ago{off}"


def leading(metrics: Mapping[str, float | None]) -> str:
    """Return the metric that lists of versions show: the AUC, or of a regression the root mean squared error."""
    for name, shown in (("auc", "AUC"), ("rmse", "RMSE")):
        value = metrics.get(name)
        if value is not None:
            return f"{shown} {value:.4f}"
    return ""


def endpoint_lines(endpoint: EndpointStatus) -> list[str]:
    """Return what serves at an endpoint, and how well, as lines."""
    lines = [f"endpoint  {click.style(endpoint.name, bold=True)}  {endpoint.rollout}"]
    for v in endpoint.variants:
        rate = "" if v.rate_per_s is None else f", {v.rate_per_s:.1f}/s"
        latency = "" if v.p99_ms is None else f"p50 {v.p50_ms:.2f} ms, p99 {v.p99_ms:.2f} ms"
        lines.append(
            f"  {v.variant:<10} version {v.version:<4} {v.weight_percent:5.1f} %  {v.requests:>9,} decisions, "
            f"{v.errors:,} errors{rate}  {latency}"
        )
    if endpoint.load_error:
        lines.append(f"  {click.style('not loaded', fg='red')}  {plain(endpoint.load_error)}")
    word, colour = _DRIFT[endpoint.monitor.outcome]
    drift = f"{drift_subject(endpoint.monitor)}{plain(endpoint.monitor.reason)}"
    lines.append(f"  {click.style(word, fg=colour)}  {drift}")
    lines += [f"  {line}" for line in realised_lines(endpoint.monitor)]
    if endpoint.cost_per_thousand is not None:
        lines.append(f"  {endpoint.cost_per_thousand:.2g} {endpoint.currency} per 1,000 decisions")
    return lines


def freshness_line(view: ViewFreshness) -> str:
    """Return how fresh a view is, as one line."""
    shown = f"{view.view}{f' (old definition {view.definition}, kept for what serves)' if view.old else ''}: "
    if view.unreachable:
        return f"{shown}not known, since {view.unreachable}"
    if view.lag_rows:
        state = "being backfilled, " if view.backfilling else ""
        shown += f"{state}{counted(view.lag_rows, 'row')} and {view.lag_s:,.1f} s behind"
    else:
        shown += "shows every row"
    if view.p99_ms is not None:
        shown += f"; pushed events visible after {_delay(view.p50_ms)} (p50), {_delay(view.p99_ms)} (p99)"
    return shown


def _delay(delay_ms: float | None) -> str:
    """Return a delay as people say it; it is the upper bound of a bucket, and none above the last."""
    if delay_ms is None or math.isinf(delay_ms):
        return "more than 5 min"
    if delay_ms < _SECOND_MS:
        return f"{delay_ms:g} ms"
    return f"{delay_ms / _SECOND_MS:g} s" if delay_ms < _MINUTE_MS else f"{delay_ms / _MINUTE_MS:g} min"
