"""The command that prints what steps say."""

import threading

import click

from falaj.app.values.run import Logs, LogsQuery
from falaj.cli.command import FalajCommand, Session, pass_session
from falaj.cli.run_name import run_named
from falaj.kernel.sentence import one_sentence

_LOOK_EVERY_S = 0.3


@click.command(cls=FalajCommand)
@click.argument("run")
@click.argument("step", default="")
@click.option("--follow", is_flag=True, help="Go on until the run has ended.")
@pass_session
def logs(session: Session, *, run: str, step: str, follow: bool) -> None:
    """Print what the steps of a run say, or one of them, as they say it.

    RUN is a run, or 'last' for the newest.

    Example: falaj runs logs last train --follow
    """
    client, after, pause = session.client(), dict[str, int](), threading.Event()
    run_id = run_named(client, run)
    everything: list[Logs] = []
    while True:
        found = client.perform("run.logs", LogsQuery(run_id, step, after), Logs)
        for part in found.parts:
            after[part.step] = part.after
            if not session.as_json:
                _print(part.step if not step else "", part.text)
        everything.append(found)
        if found.parts:
            continue
        if found.ended or not follow:
            break
        pause.wait(_LOOK_EVERY_S)
    session.show([part for one in everything for part in one.parts], lambda: None)


def _print(step: str, text: str) -> None:
    for line in text.splitlines():
        # What a step prints is somebody else's text: it may not steer the terminal.
        text = line.expandtabs()
        text = " " * (len(text) - len(text.lstrip(" "))) + one_sentence(text)  # the shape of a traceback is its indents
        click.echo(f"{click.style(step, fg='cyan')}  {text}" if step else text)
