"""Commands about datasets."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from falaj.app.training_set import TrainingSet, build_training_set
from falaj.app.values.dataset import DatasetsQuery, ShowDataset
from falaj.cli.command import FalajGroup, Session, counted, pass_session, plain
from falaj.data.dataset import Dataset
from falaj.data.frames import Frames
from falaj.data.sql_frame import is_sql
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.errors import InputError
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.folder import StateFolder

_LOOK_EVERY_S = 0.5


@click.group(cls=FalajGroup)
def dataset() -> None:
    """Training sets: build, list, show, export."""


@dataset.command()
@click.argument("name")
@click.option(
    "--frame", "files", multiple=True, metavar="FILE", help="Parquet file or folder with the rows; repeatable."
)
@click.option("--sql", metavar="TEXT", help="A SELECT over the project's sources that gives the rows.")
@click.option("--out", type=click.Path(path_type=Path), metavar="PLACE", help="Write it: FILE.parquet, or a folder.")
@click.option("--known-time", is_flag=True, help="Take only what was known at each row's instant, by created.")
@click.option("--engine", default="", metavar="ENGINE", help="What computes the features; by default as settings say.")
@pass_session
def build(
    session: Session, *, name: str, files: tuple[str, ...], sql: str | None, out: Path | None, known_time: bool,
    engine: str,
) -> None:  # fmt: skip
    """Build a training set of the model or feature service NAME; the same data gives the same digest.

    Without --frame or --sql its rows are the model's known labels.

    Example: falaj dataset build fraud --frame rows.parquet --out training/
    """
    if files and sql is not None:
        raise InputError("--frame and --sql were given", hint="give one of them")
    given = list(files) or sql
    if sql is not None and not is_sql(sql):
        raise InputError("--sql is not a SELECT", hint="write one SELECT over the project's sources")
    with ThreadPoolExecutor(1, thread_name_prefix="progress") as pool:
        ended = threading.Event()

        def show(frames: Frames, kept: str) -> None:
            pool.submit(_show_progress, session, frames, kept, ended)

        try:
            made, path = build_training_set(
                session.client(), name, given, known_time=known_time, engine=engine, kept=show
            )
        finally:
            ended.set()
    written = TrainingSet(made, path).to_parquet(out) if out is not None else []

    def human() -> None:
        click.echo(f"{made.digest}  {counted(made.rows, 'row')}, {counted(len(made.columns), 'column')}")
        if written:
            click.echo(f"{out}: {counted(len(written), 'file')}")

    session.show(made, human)


def _show_progress(session: Session, frames: Frames, kept: str, ended: threading.Event) -> None:
    said = 0
    while not ended.wait(_LOOK_EVERY_S):
        done, rows = frames.progress(kept) or (0, 0)
        if done > said:
            session.say(f"  {done:,} of {rows:,} rows")
            said = done


@dataset.command("list")
@click.argument("name", default="")
@pass_session
def list_(session: Session, *, name: str) -> None:
    """List datasets, the newest first.

    Example: falaj dataset list
    """
    found = session.client().perform("dataset.list", DatasetsQuery(name), list[Dataset])

    def human() -> None:
        for one in found:
            made_from = ", ".join(f"{name}@{read.get('table_version')}" for name, read in one.inputs.items())
            made = f"{rfc3339(from_us(one.created))[:19]} by {plain(one.created_by)}"
            click.echo(f"{one.digest}  {one.name}  {counted(one.rows, 'row')}  {made}  {made_from}")

    session.show(found, human)


@dataset.command()
@click.argument("digest")
@pass_session
def show(session: Session, *, digest: str) -> None:
    """Show what the dataset DIGEST is and what it was made from.

    Example: falaj dataset show 3fa9c1...
    """
    found = session.client().perform("dataset.show", ShowDataset(digest), Dataset)

    def human() -> None:
        click.echo(f"{found.digest}  {found.name}")
        click.echo(f"made     {rfc3339(from_us(found.created))[:19]} by {plain(found.created_by)}, in {found.engine}")
        click.echo(f"rows     {found.rows:,}; {found.size_bytes:,} bytes; content {found.content[:12]}")
        click.echo(f"asked    frame {found.request.frame[:12]}{', known time' if found.request.known_time else ''}")
        click.echo(f"features {found.spec_digest[:12]}")
        for source, read in found.inputs.items():
            content = found.request.sources.get(source, "")[:12]
            facts = [f"{key.replace('_', ' ')} {value}" for key, value in read.items()]
            click.echo(f"source   {source}: {', '.join([*facts, *([f'content {content}'] if content else [])])}")
        for column, kind in found.columns.items():
            click.echo(f"  {plain(column)}  {kind}")

    session.show(found, human)


@dataset.command()
@click.argument("digest")
@click.argument("place", type=click.Path(path_type=Path))
@pass_session
def export(session: Session, *, digest: str, place: Path) -> None:
    """Write the dataset DIGEST to PLACE, as one Parquet file or as a folder of parts.

    Example: falaj dataset export 3fa9c1... training.parquet
    """
    client = session.client()
    found = client.perform("dataset.show", ShowDataset(digest), Dataset)
    blobs = LocalBlobs(StateFolder.of(client.folder, client.settings.storage).blobs)
    written = TrainingSet(found, blobs.path(found.blob)).to_parquet(place)
    session.show(
        {"written": str(place)}, lambda: click.echo(f"{place}: {found.rows:,} rows in {counted(len(written), 'file')}")
    )
