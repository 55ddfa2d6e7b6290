"""The command `falaj reference`: writes the reference pages from the code."""

from pathlib import Path

import click

from falaj.cli.command import FalajCommand, Session, pass_session
from falaj.cli.engines_page import engines_page
from falaj.cli.reference_pages import HEAD, STALE, commands_page, errors_page, operations_page, settings_page
from falaj.storage.disk import chosen_path


@click.command(cls=FalajCommand)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("docs/reference"),
    show_default=True,
    help="The folder to write into.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail if a page differs from the code.")
@pass_session
@click.pass_context
def reference(context: click.Context, session: Session, *, out: Path, check: bool) -> None:
    """Write the reference of commands, settings, errors, operations and engines.

    Example: falaj reference --out docs/reference --check
    """
    stale = [path for path, text in pages(out).items() if not path.exists() or path.read_text("utf-8") != text]
    if not check:
        write(out)
    verb = "differs from the code" if check else "written"

    def human() -> None:
        for path in stale:
            click.echo(f"{path} {verb}")
        if not stale:
            click.echo(f"{out} is up to date")

    session.show({"stale" if check else "written": [str(path) for path in stale]}, human)
    if check and stale:
        context.exit(STALE)


def pages(out: Path) -> dict[Path, str]:
    """Return each page's path and text.

    Args:
        out: The folder that holds them.
    """
    from falaj.cli.main import cli

    return {
        out / "commands.md": commands_page(cli),
        out / "settings.md": settings_page(),
        out / "errors.md": errors_page(),
        out / "operations.md": operations_page(),
        out / "engines.md": engines_page(HEAD),
    }


def write(out: Path) -> None:
    """Write all pages into a folder."""
    with chosen_path(out):
        _write_pages(out)


def _write_pages(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for path, text in pages(out).items():
        path.write_text(text, encoding="utf-8")
