"""Commands about datasets."""

import shutil
from pathlib import Path

import click

from falaj.app.values.dataset import BuildDataset, DatasetsQuery, ShowDataset
from falaj.cli.command import FalajGroup, Session, pass_session
from falaj.data.dataset import Dataset
from falaj.kernel.clock import from_us, rfc3339
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.disk import chosen_path


@click.group(cls=FalajGroup)
def dataset() -> None:
    """Training sets: build, list, export."""


@dataset.command()
@click.argument("model")
@pass_session
def build(session: Session, *, model: str) -> None:
    """Build the training set of MODEL as of now; the same data gives the same digest.

    Example: falaj dataset build fraud
    """
    made = session.client().perform("dataset.build", BuildDataset(model), Dataset)
    session.show(made, lambda: click.echo(f"{made.digest}  {made.rows:,} rows, {len(made.columns)} columns"))


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
            click.echo(f"{one.digest}  {one.name}  {one.rows:,} rows  {rfc3339(from_us(one.created))[:19]}")

    session.show(found, human)


@dataset.command()
@click.argument("digest")
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def export(session: Session, *, digest: str, file: Path) -> None:
    """Write the dataset DIGEST to FILE, as Parquet.

    Example: falaj dataset export 3fa9c1... training.parquet
    """
    client = session.client()
    found = client.perform("dataset.show", ShowDataset(digest), Dataset)
    with chosen_path(file):
        shutil.copyfile(LocalBlobs(client.state / "blobs").path(found.blob), file)
    session.show({"written": str(file)}, lambda: click.echo(f"{file}: {found.rows:,} rows"))
