"""The command that gives what a run gave."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from falaj.app.client import Client
from falaj.app.values.run import OutputQuery, StepOutput
from falaj.cli.command import FalajCommand, Session, pass_session, plain
from falaj.cli.run_name import run_named
from falaj.cli.value_text import value_lines
from falaj.kernel.errors import InputError
from falaj.storage.disk import failure

_MOST = 160


@click.command(cls=FalajCommand)
@click.argument("run")
@click.argument("step", default="")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Copy the files there.")
@pass_session
def output(session: Session, *, run: str, step: str, out: Path | None) -> None:
    """Print what a run gave, or one of its steps; its tables, models and files are copied by --out.

    RUN is a run, or 'last' for the newest.

    Example: falaj runs output last report --out here
    """
    client = session.client()
    found = client.perform("run.output", OutputQuery(run_named(client, run), step), list[StepOutput])
    copied = [] if out is None else [_copied(one, out) for one in found]

    def human() -> None:
        if not found:
            click.echo("nothing: no step that comes last has succeeded")
        for one in found:
            for line in value_lines(one.step, one.value):
                click.echo(line)
            for file in one.files:
                click.echo(f"  {plain(file.name)}  {file.kind}  {file.size_bytes:,} bytes  {plain(file.path)}")
        for path in (path for paths in copied for path in paths):
            click.echo(f"  + {path}")

    session.show(found, human)


def result_lines(client: Client, run_id: str) -> Iterator[str]:
    """Give a line for each thing that a run was for, cut where it is long."""
    for one in client.perform("run.output", OutputQuery(run_id), list[StepOutput]):
        text = _json(one)
        more = f"… falaj runs output {run_id}" if len(text) > _MOST or one.files else ""
        yield f"  {one.step} gave {text[:_MOST]}{more and ' '}{more}"


def _json(one: StepOutput) -> str:
    return plain(json.dumps(one.value, ensure_ascii=False))


def _copied(one: StepOutput, out: Path) -> list[Path]:
    paths = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file in one.files:
            path = out / f"{one.step}.{Path(file.name).name}"
            if path.exists():
                raise InputError(f"{path} is there already", hint="give another folder, or move it away")
            shutil.copyfile(file.path, path)
            paths.append(path)
    except OSError as error:
        raise failure(error, f"cannot copy what step {one.step!r} gave to {out}") from error
    return paths
