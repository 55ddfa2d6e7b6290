"""The command about pipelines."""

import click

from falaj.app.values.pipeline import PipelinesQuery, PipelineStatus
from falaj.cli.command import FalajCommand, Session, pass_session, plain
from falaj.kernel.clock import from_us, rfc3339


@click.command(cls=FalajCommand)
@click.argument("pipeline", default="")
@pass_session
def pipelines(session: Session, *, pipeline: str) -> None:
    """List the project's own pipelines: when they start by themselves, and how the last run ended.

    Example: falaj pipelines
    """
    found = session.client().perform("pipeline.list", PipelinesQuery(pipeline), list[PipelineStatus])

    def human() -> None:
        for one in found:
            starts = [f"{one.schedule} ({one.time_zone})"] if one.schedule else []
            due = "" if one.next_due_us is None else f"next {rfc3339(from_us(one.next_due_us))}"
            last = "never run" if one.last is None else f"{one.last.state.lower()} {one.last.id}"
            words = [one.name, one.function, "; ".join([*starts, *one.on]) or "by hand", due, last]
            click.echo("  ".join(plain(word) for word in words if word))

    session.show(found, human)
