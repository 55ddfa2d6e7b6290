"""Commands about runs."""

import click

from falaj.app.client import Client
from falaj.app.training_run import follow_run
from falaj.app.values.run import RunDetail, RunQuery, RunsQuery, StepStatus
from falaj.app.values.status import RunStatus
from falaj.cli.command import FalajGroup, Session, pass_session, plain

_COLOURS = {"SUCCEEDED": "green", "RUNNING": "cyan", "PENDING": "white"}


@click.group(cls=FalajGroup)
def runs() -> None:
    """Runs: list, show, follow, cancel, resume."""


@runs.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Most runs.")
@pass_session
def list_(session: Session, *, limit: int) -> None:
    """List runs, the newest first.

    Example: falaj runs list
    """
    found = session.client().perform("run.list", RunsQuery(limit=limit), list[RunStatus])

    def human() -> None:
        for one in found:
            seconds = "" if one.seconds is None else f"{one.seconds:.1f} s"
            state = click.style(f"{one.state:<10}", fg=_COLOURS.get(one.state, "red"))
            click.echo(f"{one.id}  {state} {one.pipeline:<16} {seconds:>8}  {plain(one.reason)}")

    session.show(found, human)


@runs.command()
@click.argument("run_id")
@pass_session
def show(session: Session, *, run_id: str) -> None:
    """Show one run and its steps.

    Example: falaj runs show run_01kb8z...
    """
    found = session.client().perform("run.show", RunQuery(run_id), RunDetail)
    session.show(found, lambda: _print(found))


@runs.command()
@click.argument("run_id")
@pass_session
def follow(session: Session, *, run_id: str) -> None:
    """Follow a run to its end.

    Example: falaj runs follow run_01kb8z...
    """
    client = session.client()
    found = follow_run(client, run_id, lambda step: session.say(step_line(step)))
    session.show(found, lambda: click.echo(f"{found.run.id} {found.run.state}"))


@runs.command()
@click.argument("run_id")
@pass_session
def cancel(session: Session, *, run_id: str) -> None:
    """Ask a run to stop.

    Example: falaj runs cancel run_01kb8z...
    """
    found = session.client().perform("run.cancel", RunQuery(run_id), RunStatus)
    session.show(found, lambda: click.echo(f"{found.id} {found.state}"))


@runs.command()
@click.argument("run_id")
@pass_session
def resume(session: Session, *, run_id: str) -> None:
    """Let a run that failed, or whose process died, go on; finished steps are not repeated.

    Example: falaj runs resume run_01kb8z...
    """
    client: Client = session.client()
    found = client.perform("run.resume", RunQuery(run_id), RunStatus)
    ended = follow_run(client, found.id, lambda step: session.say(step_line(step)))
    session.show(ended, lambda: click.echo(f"{ended.run.id} {ended.run.state}"))


def step_line(step: StepStatus) -> str:
    """Return a step as a line of progress."""
    seconds = "" if step.seconds is None else f"{step.seconds:6.1f} s"
    state = click.style(f"{step.state.lower():<10}", fg=_COLOURS.get(step.state, "red"))
    words = "from an earlier run" if step.cached else step.error or step.text
    return f"  {step.name:<10} {state} {seconds}  {plain(words)}"


def _print(found: RunDetail) -> None:
    click.echo(f"{found.run.id}  {found.run.pipeline}  {found.run.state}  {plain(found.run.reason)}")
    for step in found.steps:
        click.echo(step_line(step))
    if found.run.error:
        click.echo(click.style(plain(found.run.error), fg="red"))
