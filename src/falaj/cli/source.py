"""Commands about sources: ingest, push, and a look at tables and quarantine, whose rows can be replayed."""

import sys
import time
from typing import IO, Any, Literal

import click

from falaj.app.pushing import push_stream
from falaj.app.replay_refused import replay_refused
from falaj.app.values.source import Ingest, Ingested, Pushed, QuarantineQuery, SourceQuery
from falaj.app.values.status import SourceStatus
from falaj.cli.command import FalajCommand, FalajGroup, Session, counted, pass_session, plain
from falaj.data.quarantine import Replayed
from falaj.data.report import FeedState, refuse_incomplete
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.codec import from_json
from falaj.kernel.errors import DataError, InputError, Overloaded

_TELL_EVERY_S = 1.0


@click.command(cls=FalajCommand)
@click.argument("name", default="")
@pass_session
def ingest(session: Session, *, name: str) -> None:
    """Read the files of source NAME, or of all sources, into their tables; what was read before is left out.

    Of a source that follows files it takes the lines that wait, as a running control does by itself. A file that is
    damaged or breaks the schema is left out as a whole; the others are taken, and the command ends with 2.

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
            for left in one.refused:
                click.echo(f"  refused as a whole: {plain(left.path)}")
            for line in feed_lines(one.feed):
                click.echo(f"  {line}")

    session.show(done, human)
    refuse_incomplete([file for one in done for file in one.refused])


@click.command(cls=FalajCommand)
@click.argument("name")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--wait", type=click.Choice(["logged", "applied"]), default="logged", show_default=True)
@click.option(
    "--patience", type=click.FloatRange(0), default=60.0, show_default=True, metavar="SECONDS",
    help="How long to send events again that the project cannot take yet.",
)  # fmt: skip
@pass_session
def push(session: Session, *, name: str, file: IO[bytes], wait: Literal["logged", "applied"], patience: float) -> None:
    """Send events, one JSON object a line, from FILE or standard input, to source NAME.

    A line that is no event, and an event that breaks a check, goes to quarantine. When all of them do, the command
    ends with 2.

    Example: falaj push transactions events.jsonl --wait applied
    """
    # What is no JSON is quarantined as it is, so lines are sent as they are.
    lines = (line.strip().decode(errors="backslashreplace") for line in file if line.strip())
    client, began, waits, refused = session.client(), time.monotonic(), 0, 0

    def tell(piece: Pushed) -> None:
        nonlocal began, refused
        refused += len(piece.rejected)
        for place, reasons in piece.rejected:
            if not session.as_json:
                click.echo(f"quarantined event {place}: {plain('; '.join(reasons))}", err=True)
        if time.monotonic() - began > _TELL_EVERY_S:
            session.say(f"{name}: up to row {piece.last_seq:,}")
            began = time.monotonic()

    def tell_wait(error: Overloaded) -> None:
        nonlocal waits
        waits += 1
        if waits == 1:
            click.echo(f"waiting: {plain(error.message)}", err=True)

    done = push_stream(client, name, lines, wait=wait, patience_s=patience, on_piece=tell, on_wait=tell_wait)
    result = {"source": name, "accepted": done.accepted, "quarantined": refused, "last_seq": done.last_seq}
    session.show(
        result, lambda: click.echo(f"{name}: {counted(done.accepted, 'event')} {wait}, {refused:,} quarantined")
    )
    if refused and not done.accepted:
        raise DataError(
            f"source {name!r} accepted none of {counted(refused, 'event')}: all are in quarantine",
            hint=f"'falaj source quarantine {name}' shows why; correct them and push them again, or correct the source "
            f"and run 'falaj source replay {name}'",
        )


def feed_lines(feed: FeedState, most: int | None = None) -> list[str]:
    """Return how far a feed was taken, a line for each partition that is there and for each problem.

    Args:
        feed: The feed.
        most: Most partitions to show, those with something left first; None for all.
    """
    there = [(one, one.end) for one in feed.partitions if one.end is not None]
    there.sort(key=lambda found: (found[0].taken == found[1], found[0].name))
    lines = [f"{plain(one.name)}: taken up to {one.taken:,} of {end:,}" for one, end in there[:most]]
    if len(lines) < len(there):
        lines.append(f"and {len(there) - len(lines):,} more: 'falaj source list' shows them")
    return lines + [f"{plain(place)} {plain(problem)}" for place, problem in feed.problems.items()]


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
            for line in feed_lines(one.feed):
                click.echo(f"  {line}")

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
            click.echo(letter_line(row))
        if not rows:
            click.echo("no refused rows", file=sys.stderr)

    session.show(rows, human)


def letter_line(row: dict[str, Any]) -> str:
    """Return a refused row as one line: its reasons, and what it came as, bad values included."""
    reasons = plain("; ".join(row.get("_reasons") or []))
    raw = row.get("_raw") or ""
    try:
        came = from_json(raw, dict[str, Any])
    except InputError:
        return f"{reasons}: {plain(raw)}"
    return f"{reasons}: { ({**{name: None for name in row if not name.startswith('_')}, **came}) }"


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

    def tell(so_far: Replayed) -> None:
        if so_far.left:
            session.say(f"{name}: {so_far.looked_at:,} refused rows looked at, {so_far.left:,} to go")

    done = replay_refused(session.client(), name, reason=reason, dry_run=dry_run, on_piece=tell)

    def human() -> None:
        would = "would be " if dry_run else ""
        click.echo(
            f"{name}: {counted(done.looked_at, 'refused row')} looked at, {done.accepted:,} {would}accepted, "
            f"{done.refused:,} {'would stay' if dry_run else 'stay'}"
        )
        for why, count in done.reasons.items():
            click.echo(f"  {counted(count, 'row')}: {plain(why)}")

    session.show(done, human)
