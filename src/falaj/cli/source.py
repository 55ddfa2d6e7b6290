"""Commands about sources: ingest, push, and a look at tables and quarantine, whose rows can be replayed."""

import sys
from collections.abc import Iterator
from typing import IO, Any

import click

from falaj.app.values.source import Ingest, Ingested, Push, Pushed, QuarantineQuery, Replay, SourceQuery
from falaj.app.values.status import SourceStatus
from falaj.cli.command import FalajCommand, FalajGroup, Session, counted, pass_session, plain
from falaj.data.quarantine import Replayed
from falaj.kernel.clock import from_us, rfc3339

_CHUNK = 1000


@click.command(cls=FalajCommand)
@click.argument("name", default="")
@pass_session
def ingest(session: Session, *, name: str) -> None:
    """Read the files of source NAME, or of all sources, into their tables; what was read before is left out.

    Example: falaj ingest transactions
    """
    done = session.client().perform("source.ingest", Ingest(name), list[Ingested])

    def human() -> None:
        for one in done:
            new = [file for file in one.files if not file.skipped]
            click.echo(
                f"{one.source}: {counted(one.accepted, 'row')} in, {one.quarantined:,} quarantined, "
                f"from {counted(len(new), 'new file')} ({len(one.files) - len(new)} known)"
            )
            for file in new:
                for reason, count in file.warnings.items():
                    click.echo(f"  warning: {counted(count, 'row')} of {file.path}: {reason}")

    session.show(done, human)


@click.command(cls=FalajCommand)
@click.argument("name")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--wait", type=click.Choice(["logged", "applied"]), default="logged", show_default=True)
@pass_session
def push(session: Session, *, name: str, file: IO[bytes], wait: str) -> None:
    """Send events, one JSON object a line, from FILE or standard input, to source NAME.

    Example: falaj push transactions events.jsonl --wait applied
    """
    client = session.client()
    total, refused, last = 0, 0, 0
    for chunk in _chunks(file):
        answer = client.perform("source.push", Push(name, chunk, wait), Pushed)  # type: ignore[arg-type]
        total, refused, last = total + answer.accepted, refused + len(answer.rejected), answer.last_seq or last
        if not session.as_json:
            for index, reasons in answer.rejected:
                click.echo(f"quarantined event {index}: {plain('; '.join(reasons))}", err=True)
    result = {"source": name, "accepted": total, "quarantined": refused, "last_seq": last}
    session.show(result, lambda: click.echo(f"{name}: {counted(total, 'event')} {wait}, {refused:,} quarantined"))


def _chunks(file: IO[bytes]) -> Iterator[list[Any]]:
    """Give the events in chunks, at least one: the name of the source is looked at even where there are none."""
    chunk: list[Any] = []
    given = False
    for line in file:
        if line.strip():
            chunk.append(line.strip().decode(errors="backslashreplace"))  # what is no JSON is quarantined as it is
        if len(chunk) == _CHUNK:
            yield chunk
            chunk, given = [], True
    if chunk or not given:
        yield chunk


@click.group(cls=FalajGroup)
def source() -> None:
    """Sources: rows, files and quarantine."""


@source.command("list")
@pass_session
def list_(session: Session) -> None:
    """List the sources with their rows.

    Example: falaj source list
    """
    found = session.client().perform("source.list", SourceQuery(), list[SourceStatus])

    def human() -> None:
        for one in found:
            last = rfc3339(from_us(one.last_event_us)) if one.last_event_us is not None else "no time"
            click.echo(
                f"{one.name}: {counted(one.rows, 'row')} ({one.streamed:,} streamed), {one.quarantined:,} quarantined, "
                f"{counted(one.files, 'file')}, latest event {last}"
                f"{f', {one.replayed:,} accepted by a replay' if one.replayed else ''}"
            )

    session.show(found, human)


@source.command()
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Most rows.")
@pass_session
def quarantine(session: Session, *, name: str, limit: int) -> None:
    """Show refused rows of source NAME with their reasons, the newest first.

    Example: falaj source quarantine transactions
    """
    rows = session.client().perform("source.quarantine", QuarantineQuery(name, limit), list[dict[str, Any]])

    def human() -> None:
        for row in rows:
            reasons = "; ".join(row.get("_reasons") or [])
            shown = {k: v for k, v in row.items() if not k.startswith("_")}
            click.echo(f"{plain(reasons)}: {shown or plain(row.get('_raw'))}")
        if not rows:
            click.echo("no refused rows", file=sys.stderr)

    session.show(rows, human)


@source.command()
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="Only rows one of whose reasons has TEXT in it.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would become of them.")
@pass_session
def replay(session: Session, *, name: str, reason: str, dry_run: bool) -> None:
    """Judge the refused rows of source NAME again, after its schema or a check was corrected.

    What the present definition accepts comes in once, as an event; the rest stays in quarantine with its reasons.

    Example: falaj source replay transactions --reason "amount is not between"
    """
    done = session.client().perform("source.replay", Replay(name, reason, dry_run), Replayed)

    def human() -> None:
        would = "would be " if dry_run else ""
        click.echo(
            f"{name}: {counted(done.looked_at, 'refused row')} looked at, {done.accepted:,} {would}accepted, "
            f"{done.refused:,} {'would stay' if dry_run else 'stay'}"
        )
        for why, count in done.reasons.items():
            click.echo(f"  {counted(count, 'row')}: {plain(why)}")

    session.show(done, human)
