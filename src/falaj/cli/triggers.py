"""The command about triggers."""

import click

from falaj.app.values.triggers import TriggersQuery, TriggersStatus
from falaj.cli.command import FalajCommand, Session, pass_session, plain
from falaj.kernel.clock import from_us, rfc3339

_COLOURS = {"quiet": "white", "early": "yellow", "calling": "green", "answered": "cyan"}


@click.command(cls=FalajCommand)
@click.argument("endpoint")
@click.option("--limit", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Most past runs.")
@pass_session
def triggers(session: Session, *, endpoint: str, limit: int) -> None:
    """Show what would train the model of ENDPOINT again, what holds it back, and what past runs came to.

    Example: falaj triggers fraud
    """
    found = session.client().perform("endpoint.triggers", TriggersQuery(endpoint, limit), TriggersStatus)

    def human() -> None:
        for line in _lines(found):
            click.echo(line)

    session.show(found, human)


def _lines(found: TriggersStatus) -> list[str]:
    lines = []
    for one in found.triggers:
        word = click.style(f"{one.state:<8}", fg=_COLOURS[one.state])
        since = f", since {_time(one.since_us)}" if one.since_us is not None else ""
        lines.append(f"{word}  {one.trigger}{f': {plain(one.sentence)}' if one.sentence else ''}{since}")
    if not found.triggers:
        lines.append(f"{found.endpoint} declares no triggers: write retrain=fj.retrain(on=[fj.on.drift()])")
    elif not found.watched:
        lines.append("nobody looks at them yet: a version must serve, and 'falaj up' run")
    for brake in found.brakes:
        until = f", until {_time(brake.until_us)}" if brake.until_us is not None else ""
        lines.append(f"held back by {brake.kind}: {plain(brake.sentence)}{until}")
    if found.spent or found.max_cost_per_day is not None:
        most = "" if found.max_cost_per_day is None else f", and max_cost_per_day = {found.max_cost_per_day:g}"
        lines.append(f"spent {found.spent:.4f} {found.currency} on training in 24 hours{most}")
    for run in found.runs:
        version = f"version {run.version}, " if run.version is not None else ""
        version += f"which continues version {run.continues}, " if run.continues else ""
        lines.append(f"{_time(run.started_us)}  {run.actor}: {plain(run.reason)}")
        lines.append(f"{'':<19}  {run.run_id} {run.state}: {version}{plain(run.outcome)}")
    if not found.runs:
        lines.append(f"{found.model} was never trained")
    return lines


def _time(us: int) -> str:
    return rfc3339(from_us(us))[:19]
