"""The command that puts two runs side by side."""

from collections.abc import Sequence
from typing import Any

import click

from falaj.app.values.run import CompareRuns, Comparison, Side
from falaj.cli.command import FalajCommand, Session, pass_session, plain
from falaj.cli.run_name import run_named


@click.command(cls=FalajCommand)
@click.argument("run")
@click.argument("other")
@click.option("--all", "everything", is_flag=True, help="Also what is the same in both.")
@pass_session
def compare(session: Session, *, run: str, other: str, everything: bool) -> None:
    """Put two runs side by side: parameters, durations, what their steps gave and logged.

    RUN and OTHER are runs, or 'last' for the newest.

    Example: falaj runs compare run_01kb8z... last
    """
    client = session.client()
    asked = CompareRuns(run_named(client, run), run_named(client, other))
    found = client.perform("run.compare", asked, Comparison)

    def human() -> None:
        click.echo(f"{'':<32} {found.left.id:<32} {found.right.id}")
        _section("state", [Side("", found.left.state, found.right.state)], everything=True)
        _section("parameters", found.params, everything=everything)
        _section("seconds", found.seconds, everything=True)
        _section("states", found.states, everything=everything)
        _section("values", found.values, everything=everything)
        _section("logged with MLflow", found.logged, everything=everything)

    session.show(found, human)


def _section(title: str, sides: Sequence[Side], *, everything: bool) -> None:
    shown = [side for side in sides if everything or side.left != side.right]
    if not shown:
        return
    click.echo(click.style(title, bold=True))
    for side in shown:
        change = ""
        if _is_number(side.left) and _is_number(side.right) and side.left:
            change = f"{(side.right - side.left) / abs(side.left):+.1%}"
        click.echo(f"  {plain(side.name):<30} {_text(side.left):<32} {_text(side.right):<24} {change}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else plain(value)
