"""Commands about incidents."""

from pathlib import Path

import click

from falaj.app.values.bounds import MOST_ROWS
from falaj.app.values.incident import (
    Acknowledge,
    CommentOn,
    IncidentDetail,
    IncidentQuery,
    IncidentsQuery,
    IncidentStatus,
    PostMortem,
    ResolveIncident,
)
from falaj.cli.alert import alert_line
from falaj.cli.command import FalajGroup, Session, counted, pass_session, plain
from falaj.kernel.alert_settings import Severity
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.errors import Conflict
from falaj.monitoring.incidents import SEVERITIES

_COLOURS = {"open": "red", "acknowledged": "yellow", "resolved": "green"}

_number = click.argument("number", type=click.IntRange(min=1))


@click.group(cls=FalajGroup)
def incidents() -> None:
    """Incidents: alerts of one cause, and what people do about them."""


@incidents.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only those that are not resolved.")
@click.option("--severity", type=click.Choice(SEVERITIES), default="warning", show_default=True, help="The least.")
@click.option("--all", "severity", flag_value="info", help="Of any severity, as a version that waits for an approval.")
@pass_session
def list_(session: Session, *, only_open: bool, severity: Severity) -> None:
    """List incidents, the newest first.

    Example: falaj incidents list --open
    """
    client = session.client()
    found = client.perform("incident.list", IncidentsQuery(only_open, severity=severity), list[IncidentStatus])

    def human() -> None:
        for one in found:
            click.echo(incident_line(one))
        every = IncidentsQuery(only_open, MOST_ROWS, "info")
        less = [] if severity == "info" else client.perform("incident.list", every, list[IncidentStatus])
        besides = sum(SEVERITIES.index(one.severity) < SEVERITIES.index(severity) for one in less)
        if besides:
            click.echo(f"{'besides' if found else 'no incidents but'} {besides} of less severity: --all lists them")
        elif not found:
            click.echo("no incidents")

    session.show(found, human)


def incident_line(one: IncidentStatus) -> str:
    """Return one incident as a line."""
    state = click.style(f"{one.state:<12}", fg=_COLOURS[one.state])
    who = one.resolved_by or one.acknowledged_by
    alerts = f"{counted(one.alerts, 'alert')}, {one.open_alerts} open"
    at = rfc3339(from_us(one.opened_us))[:19]
    return f"{one.id:>4} {state} {at} {one.severity} {plain(one.cause)}: {alerts}{f' ({who})' if who else ''}"


@incidents.command()
@_number
@pass_session
def show(session: Session, *, number: int) -> None:
    """Show incident NUMBER with its alerts and what happened, from an hour before.

    Example: falaj incidents show 3
    """
    found = session.client().perform("incident.show", IncidentQuery(number), IncidentDetail)

    def human() -> None:
        click.echo(incident_line(found.incident))
        for one in found.alerts:
            click.echo(f"  {alert_line(one)}")
        for entry in found.timeline:
            at = rfc3339(from_us(entry.at_us))[:19]
            click.echo(f"  {at} {plain(entry.actor)} {entry.kind}: {plain(entry.text)}")

    session.show(found, human)


@incidents.command()
@_number
@click.option("--comment", default="", help="What you have to say to it.")
@pass_session
def ack(session: Session, *, number: int, comment: str) -> None:
    """Say that you attend to incident NUMBER; those who were told of it are told this too.

    Example: falaj incidents ack 3 --comment "looking at the amounts"
    """
    done = session.client().perform("incident.acknowledge", Acknowledge(number, comment), IncidentStatus)
    session.show(done, lambda: click.echo(incident_line(done)))


@incidents.command("comment")
@_number
@click.argument("text")
@pass_session
def comment_(session: Session, *, number: int, text: str) -> None:
    """Add TEXT to the timeline of incident NUMBER, resolved or not.

    Example: falaj incidents comment 3 "a partner changed its currency"
    """
    done = session.client().perform("incident.comment", CommentOn(number, text), IncidentStatus)
    session.show(done, lambda: click.echo(incident_line(done)))


@incidents.command()
@_number
@click.option("--comment", required=True, help="How it ended.")
@pass_session
def resolve(session: Session, *, number: int, comment: str) -> None:
    """Say that incident NUMBER is over. It resolves by itself when its alerts are over; alerts that are still open are
    closed, and what is found again opens new ones.

    Example: falaj incidents resolve 3 --comment "the partner sends euros again"
    """
    done = session.client().perform("incident.resolve", ResolveIncident(number, comment), IncidentStatus)
    session.show(done, lambda: click.echo(incident_line(done)))


@incidents.command("post-mortem")
@_number
@click.option("--out", type=click.Path(path_type=Path), help="The file; incident-NUMBER.md by default.")
@pass_session
def post_mortem(session: Session, *, number: int, out: Path | None) -> None:
    """Write a Markdown file with the figures and the timeline of incident NUMBER, and room for what only people know.

    A file that is there already is not written over.

    Example: falaj incidents post-mortem 3 --out docs/incident-3.md
    """
    path = out or Path(f"incident-{number}.md")
    if path.exists():
        raise Conflict(f"{path} is there already", hint="give another name with --out")
    made = session.client().perform("incident.post_mortem", IncidentQuery(number), PostMortem)
    path.write_text(made.text, encoding="utf-8")
    session.show(made, lambda: click.echo(f"wrote {path}"))
