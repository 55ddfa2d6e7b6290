"""The command `falaj demo`: a template from raw data to retraining, by the commands that everybody has."""

import itertools
from pathlib import Path

import click

from falaj.cli.command import FalajCommand, Session, pass_session
from falaj.kernel.errors import NotFound
from falaj.kernel.names import did_you_mean

_DEMOS = ("fraud",)


@click.command(cls=FalajCommand)
@click.argument("name", default="fraud")
@click.option("--data", type=click.Path(path_type=Path), help="Your own file; generated data by default.")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    help="The new project's folder; falaj-demo-NAME by default, or falaj-demo-NAME-2 and so on.",
)
@click.option("--keep-running", is_flag=True, help="Leave control and gateway up at the end, to look at the page.")
@pass_session
def demo(session: Session, *, name: str, data: Path | None, into: Path | None, keep_running: bool) -> None:
    """Run the template NAME from raw data to a watched endpoint that retrains itself, and print the figures.

    Every stage runs public commands, which are shown; nothing is done that you could not type.

    Example: falaj demo fraud --into my-demo
    """
    from falaj.cli.demo_run import DemoRun

    if name not in _DEMOS:
        raise NotFound(f"demo {name!r} does not exist", hint=did_you_mean(name, _DEMOS))
    folder = (into or free_folder(Path(f"falaj-demo-{name}"))).resolve()
    run = DemoRun(folder, name, data.resolve() if data else None, quiet=session.as_json)
    summary = run.run(keep_running=keep_running)
    session.show(summary, lambda: run.print_summary(summary))


def free_folder(wanted: Path) -> Path:
    """Return the folder, or the first of its numbered neighbours in which nothing is yet: an earlier demo is kept."""
    numbered = (wanted.with_name(f"{wanted.name}-{number}") for number in itertools.count(2))
    for folder in itertools.chain([wanted], numbered):
        if not folder.exists() or (folder.is_dir() and next(folder.iterdir(), None) is None):
            return folder
    raise AssertionError
