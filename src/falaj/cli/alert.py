"""Commands about alerts."""

from pathlib import Path

import click

from falaj.app.values.alert import AlertsQuery, EndSilence, RoutesQuery, RouteStatus, SilenceAlerts, SilencesQuery
from falaj.app.values.observability import Generated, GenerateQuery
from falaj.app.values.status import AlertStatus
from falaj.cli.command import FalajGroup, Session, counted, pass_session, plain
from falaj.cli.generated import write_generated
from falaj.kernel.clock import from_us, rfc3339
from falaj.monitoring.silence import Silence


@click.group(cls=FalajGroup)
def alerts() -> None:
    """Alerts: list, silence, the routes by which people are told, and rules for Prometheus."""


@alerts.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only those that still hold.")
@pass_session
def list_(session: Session, *, only_open: bool) -> None:
    """List alerts, the newest first.

    Example: falaj alerts list --open
    """
    found = session.client().perform("alert.list", AlertsQuery(only_open), list[AlertStatus])

    def human() -> None:
        for one in found:
            click.echo(alert_line(one))
        if not found:
            click.echo("no alerts")

    session.show(found, human)


def alert_line(one: AlertStatus) -> str:
    """Return one alert as a line."""
    state = click.style("open  ", fg="red") if one.open else "closed"
    of = "" if one.incident is None else f" (incident {one.incident})"
    silenced = " [silenced]" if one.silenced else ""
    at = rfc3339(from_us(one.opened_us))[:19]
    return f"{state} {at} {one.severity} {plain(one.subject)}: {plain(one.message)}{of}{silenced}"


@alerts.command()
@click.option("--subject", required=True, help="What they are about, such as an endpoint; a pattern like fraud* too.")
@click.option("--rule", default="*", help="What was broken, such as drift; any rule by default.")
@click.option("--for", "lasts", required=True, help="How long, like 2h.")
@click.option("--comment", required=True, help="Why.")
@pass_session
def silence(session: Session, *, subject: str, rule: str, lasts: str, comment: str) -> None:
    """Tell nobody of some alerts for a while; they are found and listed as ever.

    Example: falaj alerts silence --subject fraud --rule drift --for 2h --comment "a sale until noon"
    """
    params = SilenceAlerts(subject, lasts, comment, rule)
    made = session.client().perform("alert.silence", params, Silence)
    session.show(made, lambda: click.echo(f"silence {silence_line(made)}"))


@alerts.command()
@click.option("--all", "every", is_flag=True, help="Also those that are over.")
@pass_session
def silences(session: Session, *, every: bool) -> None:
    """List silences, the newest first.

    Example: falaj alerts silences
    """
    found = session.client().perform("alert.silences", SilencesQuery(not every), list[Silence])

    def human() -> None:
        for one in found:
            click.echo(silence_line(one))
        if not found:
            click.echo("no silences")

    session.show(found, human)


def silence_line(one: Silence) -> str:
    """Return one silence as a line."""
    until = rfc3339(from_us(one.ends_us))[:19]
    return f"{one.id}: {plain(one.rule)} of {plain(one.subject)} until {until}, by {one.actor}: {plain(one.comment)}"


@alerts.command()
@click.argument("number", type=click.IntRange(min=1))
@pass_session
def unsilence(session: Session, *, number: int) -> None:
    """End silence NUMBER now; what it held back and still holds is told.

    Example: falaj alerts unsilence 3
    """
    ended = session.client().perform("alert.unsilence", EndSilence(number), Silence)
    session.show(ended, lambda: click.echo(f"silence {ended.id} is over"))


@alerts.command()
@pass_session
def routes(session: Session) -> None:
    """Show by which routes people are told, and what keeps any of them.

    Example: falaj alerts routes
    """
    found = session.client().perform("alert.routes", RoutesQuery(), list[RouteStatus])

    def human() -> None:
        for one in found:
            told = f"{one.kind}, {one.severity} and above, about {', '.join(one.subjects)}"
            told += "" if one.rules == ("*",) else f", by {', '.join(one.rules)}"
            state = click.style("well", fg="green")
            if one.error and not one.failures:
                state = click.style(plain(one.error), fg="red")
            elif one.failures:
                again = rfc3339(from_us(one.not_before_us))[:19]
                tried = counted(one.failures, "failure")
                state = click.style(f"{tried}, {one.waiting} waiting, again at {again}: {plain(one.error)}", fg="red")
            click.echo(f"{one.route:<16} {told}: {state}")

    session.show(found, human)


@alerts.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("prometheus"), show_default=True,
              help="The folder; what is generated there is written over.")  # fmt: skip
@pass_session
def rules(session: Session, *, out: Path) -> None:
    """Write Prometheus recording and alerting rules out of the applied definitions.

    Example: falaj alerts rules --out /etc/prometheus/rules
    """
    write_generated(session, session.client().perform("monitor.rules", GenerateQuery(), Generated), out)
