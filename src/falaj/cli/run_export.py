"""The command that writes a pipeline down for another platform."""

from pathlib import Path
from typing import Literal

import click

from falaj.app.values.pipeline import ExportPipeline, PipelineExport
from falaj.cli.command import FalajCommand, Session, pass_session, plain
from falaj.cli.run_params import named_params
from falaj.storage.disk import chosen_path


@click.command(cls=FalajCommand)
@click.argument("pipeline")
@click.option("--to", type=click.Choice(["kfp", "argo"]), required=True, help="Kubeflow Pipelines or Argo Workflows.")
@click.option("--image", required=True, help="Container image with Falaj and the project's files.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there.")
@click.option(
    "--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; it becomes the default there."
)
@click.option("--folder", default="", help="The project's folder in the image; by default where the image starts.")
@click.option("--secret", default="falaj", show_default=True, help="Kubernetes secret that holds the steps' secrets.")
@pass_session
def export(
    session: Session, *, pipeline: str, to: Literal["kfp", "argo"], image: str, out: Path | None,
    params: tuple[str, ...], folder: str, secret: str,
) -> None:  # fmt: skip
    """Write a pipeline of your own for Kubeflow Pipelines or Argo Workflows, which run it without Falaj's control.

    What is otherwise there, or is not carried, is said in a sentence each.

    Example: falaj runs export nightly --to argo --image registry.example/shop:1.4 --out nightly.yaml
    """
    asked = ExportPipeline(pipeline, to, image, named_params(params), folder, secret)
    made = session.client().perform("pipeline.export", asked, PipelineExport)
    if out is not None:
        with chosen_path(out):
            out.write_text(made.text, encoding="utf-8")

    def human() -> None:
        for note in made.notes:
            click.echo(f"note: {plain(note)}", err=True)
        click.echo(str(out) if out is not None else made.text, nl=out is not None)

    session.show(made, human)
