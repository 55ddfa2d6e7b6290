"""Writing what was generated into a folder, and the command for dashboards."""

from pathlib import Path

import click

from falaj.app.values.observability import Generated, GenerateQuery
from falaj.cli.command import FalajCommand, Session, pass_session


def write_generated(session: Session, made: Generated, out: Path) -> None:
    """Write the files into a folder, over those of before, and say so."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / name for name in made.files]
    for path, text in zip(paths, made.files.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    session.show({"files": [str(path) for path in paths]}, lambda: click.echo("\n".join(f"wrote {p}" for p in paths)))


@click.command(cls=FalajCommand)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("grafana"), show_default=True,
              help="The folder; what is generated there is written over.")  # fmt: skip
@pass_session
def dashboards(session: Session, *, out: Path) -> None:
    """Write Grafana dashboards out of the applied definitions.

    They are about model performance, model quality, infrastructure and business.

    Example: falaj dashboards --out /var/lib/grafana/dashboards/falaj
    """
    write_generated(session, session.client().perform("monitor.dashboards", GenerateQuery(), Generated), out)
