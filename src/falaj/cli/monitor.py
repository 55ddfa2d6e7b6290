"""Commands about monitoring."""

from collections.abc import Iterator

import click

from falaj.app.values.monitor import MonitorQuery
from falaj.app.values.status import MonitorStatus
from falaj.cli.command import FalajCommand, Session, counted, pass_session, plain
from falaj.kernel.clock import from_us, rfc3339

_COLOURS = {"DRIFT": "red", "SUSPECTED": "yellow", "NO_DRIFT": "green", "INCONCLUSIVE": "yellow"}


@click.command(cls=FalajCommand)
@click.argument("endpoint")
@pass_session
def monitor(session: Session, *, endpoint: str) -> None:
    """Show the drift and the realised quality of ENDPOINT.

    Example: falaj monitor fraud
    """
    found = session.client().perform("monitor.show", MonitorQuery(endpoint), MonitorStatus)

    def human() -> None:
        word = click.style(found.outcome, fg=_COLOURS[found.outcome], bold=True)
        click.echo(f"{word}  {drift_subject(found)}{plain(found.reason)}")
        for one in found.features:
            effect = "" if one.effect is None else f"PSI {one.effect:.4f}"
            p = "" if one.p_value is None else f"p {one.p_value:.2g}"
            click.echo(
                f"  {one.feature:<44} {click.style(f'{one.outcome:<12}', fg=_COLOURS[one.outcome])} {effect} {p}"
            )
        for line in realised_lines(found):
            click.echo(f"  {line}")

    session.show(found, human)


def drift_subject(found: MonitorStatus) -> str:
    """Return what the finding is about, as the beginning of its line."""
    window = f" in its window of {counted(found.window, 'decision')} at {rfc3339(from_us(found.at_us))}"
    return f"{found.version}{window if found.window else ''}: " if found.version else ""


def realised_lines(found: MonitorStatus) -> Iterator[str]:
    """Give the lines about realised quality: nothing before any decision, and never silence about what was reported."""
    of = f"realised quality of {found.version}"
    if found.outcomes and found.realised:
        shown = "  ".join(f"{name} {value:.4f}" for name, value in found.realised.items() if value is not None)
        yield f"{of} over {counted(found.outcomes, 'outcome')}: {shown or plain(found.quality)}"
    elif found.early:
        yield f"{of}: {plain(found.quality)}"
    if found.early:
        yield f"{counted(found.early, 'outcome')} of decisions younger than the label's delay, which do not count yet"
    if found.unknown:
        yield f"{counted(found.unknown, 'outcome')} of request ids that no decision has, which count for nothing"
