"""Commands about monitoring."""

from collections.abc import Iterator, Mapping

import click

from falaj.app.values.monitor import MonitorQuery
from falaj.app.values.status import EstimateStatus, MonitorStatus
from falaj.cli.command import FalajCommand, Session, counted, pass_session, plain
from falaj.kernel.clock import from_us, rfc3339

_COLOURS = {"DRIFT": "red", "SUSPECTED": "yellow", "NO_DRIFT": "green", "INCONCLUSIVE": "yellow"}


@click.command(cls=FalajCommand)
@click.argument("endpoint")
@pass_session
def monitor(session: Session, *, endpoint: str) -> None:
    """Show the drift, the realised and the estimated quality of ENDPOINT.

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
        for line in (*realised_lines(found), *_interval_lines(found), *_estimated_lines(found), *_segment_lines(found)):
            click.echo(f"  {line}")

    session.show(found, human)


def _interval_lines(found: MonitorStatus) -> Iterator[str]:
    if found.outcomes and found.intervals:
        yield f"with 95 % confidence: {_shown(found.intervals)}"


def _estimated_lines(found: MonitorStatus) -> Iterator[str]:
    """Give the line about what is only expected; it says so in each case."""
    if found.estimated:
        yield f"estimated, not measured: {_shown(found.estimated)}  ({plain(found.estimate)})"
    elif found.estimate:
        yield plain(found.estimate)


def _segment_lines(found: MonitorStatus) -> Iterator[str]:
    for name, one in found.segments.items():
        word = click.style(f"{one.outcome:<12}", fg=_COLOURS[one.outcome])
        quality = f"realised {_shown(one.realised)}" if one.realised else plain(one.quality)
        yield f"where {plain(name):<38} {word} {quality}".rstrip()


def _shown(figures: Mapping[str, EstimateStatus]) -> str:
    return "  ".join(f"{name} {one.value:.4f} ({one.lower:.4f} to {one.upper:.4f})" for name, one in figures.items())


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
    elif found.early or found.outcomes:
        yield f"{of}: {plain(found.quality)}"
    if found.early:
        yield f"{counted(found.early, 'outcome')} of decisions younger than the label's delay, which do not count yet"
    if found.unknown:
        yield f"{counted(found.unknown, 'outcome')} of request ids that no decision has, which count for nothing"
