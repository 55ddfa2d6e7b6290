"""Commands about runs."""

import click

from falaj.app.client import Client
from falaj.app.training_run import follow_run
from falaj.app.values.run import Backfill, RunDetail, RunQuery, RunResume, RunsQuery, StartRun, StepStatus
from falaj.app.values.status import RunStatus
from falaj.cli.command import FalajGroup, Session, counted, pass_session, plain
from falaj.cli.run_compare import compare
from falaj.cli.run_export import export
from falaj.cli.run_graph import COLOURS, drawn
from falaj.cli.run_logs import logs
from falaj.cli.run_name import run_named
from falaj.cli.run_output import output, result_lines
from falaj.cli.run_params import named_params
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.errors import RunFailed

_MOST_GIVEN = 60


@click.group(cls=FalajGroup)
def runs() -> None:
    """Runs: start, list, show, follow, draw, compare, cancel, resume, backfill, export; logs and what they gave."""


@runs.command()
@click.argument("pipeline")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; as often as there are some.")
@click.option("--reason", default="asked for", show_default=True, help="Kept with the run.")
@click.option("--detach", is_flag=True, help="Do not wait for its end; control works on it.")
@pass_session
def start(session: Session, *, pipeline: str, params: tuple[str, ...], reason: str, detach: bool) -> None:
    """Start a run of a pipeline of your own, and follow it to its end.

    Example: falaj runs start nightly --param day=2026-01-31
    """
    client = session.client()
    started = client.perform("run.start", StartRun(pipeline, named_params(params), reason), RunStatus)
    if detach:
        session.show(started, lambda: click.echo(f"{started.id} {started.state}"))
        return
    session.say(f"run {started.id}")
    _follow_to_end(session, client, started.id)


@runs.command()
@click.argument("pipeline")
@click.option("--from", "first", required=True, metavar="WHEN", help="First date or instant.")
@click.option("--to", "last", required=True, metavar="WHEN", help="Last one, included.")
@click.option("--every", default="1d", show_default=True, metavar="LENGTH", help="Between two, such as 1d or 6h.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A further parameter.")
@click.option("--detach", is_flag=True, help="Do not wait for their ends; control works on them.")
@pass_session
def backfill(
    session: Session, *, pipeline: str, first: str, last: str, every: str, params: tuple[str, ...], detach: bool
) -> None:
    """Run a pipeline for each date of a range. What was done before costs nothing again.

    Example: falaj runs backfill nightly --from 2026-01-01 --to 2026-01-31 --every 1d
    """
    client = session.client()
    asked = Backfill(pipeline, first, last, every, named_params(params))
    found = client.perform("run.backfill", asked, list[RunStatus])
    if not detach:
        for number, one in enumerate(found, 1):
            session.say(f"{number}/{len(found)}  {one.id}  {plain(one.reason)}")
            found[number - 1] = follow_run(client, one.id, None).run
    session.show(found, lambda: _say_ends(found))
    if not detach:
        for one in found:
            _refuse_failed(one)


@runs.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Most runs.")
@click.option("--pipeline", default="", help="Only of this pipeline.")
@click.option("--state", default="", help="Only those that stand so, such as FAILED.")
@pass_session
def list_(session: Session, *, limit: int, pipeline: str, state: str) -> None:
    """List runs, the newest first.

    Example: falaj runs list --pipeline nightly
    """
    found = session.client().perform("run.list", RunsQuery(pipeline, limit, state), list[RunStatus])

    def human() -> None:
        for one in found:
            seconds = "" if one.seconds is None else f"{one.seconds:.1f} s"
            state = click.style(f"{one.state:<10}", fg=COLOURS.get(one.state, "red"))
            since = "" if one.started_us is None else rfc3339(from_us(one.started_us))[:19]
            given = ", ".join(f"{name}={plain(value)}" for name, value in one.params.items())
            given = given if len(given) <= _MOST_GIVEN else f"{given[:_MOST_GIVEN]}…"
            what = "  ".join(filter(None, (plain(one.reason), given)))
            click.echo(f"{one.id}  {state} {since:<19} {seconds:>8}  {one.pipeline:<16} {what}")

    session.show(found, human)


@runs.command()
@click.argument("run")
@pass_session
def show(session: Session, *, run: str) -> None:
    """Show one run and its steps.

    RUN is a run, or 'last' for the newest.

    Example: falaj runs show last
    """
    client = session.client()
    found = client.perform("run.show", RunQuery(run_named(client, run)), RunDetail)
    session.show(found, lambda: _print(found))


@runs.command()
@click.argument("run")
@pass_session
def follow(session: Session, *, run: str) -> None:
    """Follow a run to its end.

    RUN is a run, or 'last' for the newest.

    Example: falaj runs follow last
    """
    client = session.client()
    found = follow_run(client, run_named(client, run), lambda step: session.say(step_line(step)))
    session.show(found, lambda: click.echo(f"{found.run.id} {found.run.state}"))
    _refuse_failed(found.run)


@runs.command()
@click.argument("run")
@pass_session
def graph(session: Session, *, run: str) -> None:
    """Draw a run's steps as a tree, with their states.

    RUN is a run, or 'last' for the newest.

    Example: falaj runs graph last
    """
    client = session.client()
    found = client.perform("run.show", RunQuery(run_named(client, run)), RunDetail)

    def human() -> None:
        click.echo(f"{found.run.id}  {found.run.pipeline}  {found.run.state}")
        for line in drawn(found.steps):
            click.echo(line)

    session.show(found, human)


runs.add_command(logs)
runs.add_command(output)
runs.add_command(compare)
runs.add_command(export)


@runs.command()
@click.argument("run")
@pass_session
def cancel(session: Session, *, run: str) -> None:
    """Ask a run to stop.

    RUN is a run, or 'last' for the newest.

    Example: falaj runs cancel last
    """
    client = session.client()
    found = client.perform("run.cancel", RunQuery(run_named(client, run)), RunStatus)
    session.show(found, lambda: click.echo(f"{found.id} {found.state}"))


@runs.command()
@click.argument("run")
@click.option("--from", "step", default="", metavar="STEP", help="Do this step anew, with all that comes after it.")
@pass_session
def resume(session: Session, *, run: str, step: str) -> None:
    """Let a run that failed, or whose process died, go on; finished steps are not repeated, unless one is named.

    RUN is a run, or 'last' for the newest.

    Example: falaj runs resume last --from clean
    """
    client: Client = session.client()
    found = client.perform("run.resume", RunResume(run_named(client, run), step), RunStatus)
    ended = follow_run(client, found.id, lambda step: session.say(step_line(step)))
    session.show(ended, lambda: click.echo(f"{ended.run.id} {ended.run.state}"))
    _refuse_failed(ended.run)


def step_line(step: StepStatus, width: int = 10) -> str:
    """Return a step as a line of progress, its name as wide as the others'."""
    seconds = "" if step.seconds is None else f"{step.seconds:6.1f} s"
    state = click.style(f"{step.state.lower():<10}", fg=COLOURS.get(step.state, "red"))
    words = "from an earlier run" if step.cached else step.error or step.text
    return f"  {step.name:<{width}} {state} {seconds}  {plain(words)}"


def _follow_to_end(session: Session, client: Client, run_id: str) -> None:
    ended = follow_run(client, run_id, lambda step: session.say(step_line(step)))

    def human() -> None:
        click.echo(f"{ended.run.id} {ended.run.state}")
        for line in result_lines(client, run_id):
            click.echo(line)

    session.show(ended, human)
    _refuse_failed(ended.run)


def _refuse_failed(run: RunStatus) -> None:
    if run.state != "SUCCEEDED":
        raise RunFailed(
            f"run {run.id} {run.state.lower()}: {run.error}",
            hint=f"look at it with 'falaj runs logs {run.id}', go on with 'falaj runs resume {run.id}'",
        )


def _say_ends(found: list[RunStatus]) -> None:
    states = [run.state for run in found]
    ends = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    click.echo(f"{counted(len(found), 'run')}: {ends}")


def _print(found: RunDetail) -> None:
    click.echo(f"{found.run.id}  {found.run.pipeline}  {found.run.state}  {plain(found.run.reason)}")
    width = max((len(step.name) for step in found.steps), default=0)
    for step in found.steps:
        click.echo(step_line(step, width))
        for one in step.mlflow:
            click.echo(f"             logged in MLflow as {one}")
    if found.mlflow:
        click.echo(f"  mirrored in MLflow as {found.mlflow}")
    if found.run.error:
        click.echo(click.style(plain(found.run.error), fg="red"))
