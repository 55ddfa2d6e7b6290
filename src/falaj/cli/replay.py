"""The command `falaj replay`: history against an endpoint."""

from pathlib import Path

import click

from falaj.app.replay import Replay, ReplayReport, Stream
from falaj.cli.command import FalajCommand, Session, pass_session
from falaj.kernel.errors import InputError
from falaj.lifecycle.project import load_definitions

_PATH = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(cls=FalajCommand)
@click.argument("endpoint")
@click.argument("events", type=_PATH)
@click.option("--source", help="The source of EVENTS; the model's label source by default.")
@click.option("--with", "beside", multiple=True, metavar="SOURCE=FILE", help="Events pushed beside, in order of time.")
@click.option("--answers", type=click.Path(path_type=Path), help="Append one JSON line per decision to this file.")
@click.option("--skip", type=click.IntRange(0), default=0, help="Leave out so many events first.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many events.")
@click.option("--rate", type=click.FloatRange(0), default=0.0, help="Events per second at the most.")
@pass_session
def replay(
    session: Session,
    *,
    endpoint: str,
    events: Path,
    source: str | None,
    beside: tuple[str, ...],
    answers: Path | None,
    skip: int,
    limit: int | None,
    rate: float,
) -> None:
    """Ask ENDPOINT about each of EVENTS as of its own instant, then push the event to its source.

    EVENTS holds one JSON object a line, in order of time.

    Example: falaj replay fraud data/stream/1-steady.transactions.jsonl --answers answers.jsonl
    """
    client = session.client()
    definitions = load_definitions(client.folder, client.settings)
    target = definitions.endpoint(endpoint)
    streams = [Stream(definitions.source(source or target.model.label.source.name), events, decides=True)]
    for word in beside:
        name, equals, file = word.partition("=")
        if not equals or not Path(file).is_file():
            raise InputError(f"--with {word}: not SOURCE=FILE", hint="name a source and an existing file")
        streams.append(Stream(definitions.source(name), Path(file), decides=False))

    def progress(done: int) -> None:
        if done % 500 < 20:
            session.say(f"  {done:,} events")

    report = Replay(client, target, progress).run(streams, answers, skip=skip, limit=limit, rate=rate)
    session.show(report, lambda: _print(report))


def _print(report: ReplayReport) -> None:
    click.echo(
        f"{report.decisions:,} decisions, {report.failed:,} failed, {report.events:,} events pushed, "
        f"{report.quarantined:,} quarantined, {report.seconds:.1f} s"
    )
    if report.p50_ms is not None and report.p99_ms is not None:
        click.echo(f"answered in p50 {report.p50_ms:.2f} ms, p99 {report.p99_ms:.2f} ms, seen from here")
    for version, count in sorted(report.per_version.items()):
        click.echo(f"  version {version}: {count:,}")
