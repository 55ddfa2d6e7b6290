"""Commands about the project: init, plan, apply, schema."""

import glob
import json
from pathlib import Path

import click

from falaj.app.client import Client
from falaj.app.values.project import PlanQuery, PlanResult
from falaj.cli.command import FalajCommand, Session, pass_session, plain
from falaj.kernel.codec import to_json
from falaj.lifecycle.project import begin_project, load_definitions
from falaj.lifecycle.unread_files import unread_files

_REFUSED = 5
_SIGNS = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}


@click.command(cls=FalajCommand)
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--template", help="fraud, demand, or one of 'falaj hub list'; fraud where FOLDER has no definitions.")
@click.option("--data", type=click.Path(path_type=Path), help="Your own file; the template is chosen by its columns.")
@pass_session
def init(session: Session, *, folder: Path, template: str | None, data: Path | None) -> None:
    """Make a project of FOLDER: a falaj.toml beside definitions of your own, a whole template where there are none.

    Example: falaj init my-fraud --template fraud
    """
    from falaj.lifecycle.templates import template_of, write_template

    begun = None if template or data else begin_project(folder)
    written = (
        [begun] if begun else write_template(template or ("fraud" if data is None else template_of(data)), folder, data)
    )

    def human() -> None:
        for path in written:
            click.echo(f"  {click.style('+', fg='green')} {path}")
        readme = folder / "README.md"
        click.echo(f"next: read {readme}" if readme in written else "next: falaj plan")

    session.show({"folder": str(folder), "files": [str(path) for path in written]}, human)


@click.command(cls=FalajCommand)
@pass_session
def plan(session: Session) -> None:
    """Show what applying the project's files would change, and what that does to what serves.

    Ends with exit code 5 where 'falaj apply' would be refused.

    Example: falaj plan
    """
    client = session.client()
    query = _read(client)
    result = client.perform("project.plan", query, PlanResult)
    refused = any(change.refused for change in result.changes)
    next_step = "'falaj apply' would be refused" if refused else "carry it out with 'falaj apply'"
    session.show(result, lambda: _print(result, "nothing would change", next_step))
    if refused:
        click.get_current_context().exit(_REFUSED)


@click.command(cls=FalajCommand)
@pass_session
def apply(session: Session) -> None:
    """Put the project's definitions in force.

    Example: falaj apply
    """
    client = session.client()
    query = _read(client)
    result = client.perform("project.apply", query, PlanResult)
    session.show(result, lambda: _print(result, "nothing to change", f"applied as epoch {result.epoch}"))


@click.command(cls=FalajCommand)
@pass_session
def schema(session: Session) -> None:
    """Print the JSON schema of definitions in YAML, for editors that complete and check while one writes.

    Example: falaj schema > falaj.schema.json
    """
    from falaj.definitions.yaml.schema import json_schema

    described = json_schema()
    session.show(described, lambda: click.echo(to_json(described, indent=2)))


@click.command(cls=FalajCommand)
@pass_session
def openapi(session: Session) -> None:
    """Print the OpenAPI document of the gateway's routes, for clients that are made from it.

    A running gateway gives the same at /v1/openapi.json.

    Example: falaj openapi > gateway.json
    """
    from falaj.serving.openapi import document

    described = document()
    session.show(described, lambda: click.echo(to_json(described, indent=2)))


def _read(client: Client) -> PlanQuery:
    """Read the project's files, and tell of those beside them that declare something and are not read."""
    definitions = load_definitions(client.folder, client.settings)
    project = client.settings.project
    unread = unread_files(client.folder, project)
    if unread:
        wanted = json.dumps([*project.files, *map(glob.escape, unread)], ensure_ascii=False)
        click.echo(f"note: not read, though it declares something: {plain(', '.join(unread))}", err=True)
        click.echo(f"  {click.style('fix', fg='yellow')}  say so in falaj.toml: [project] files = {wanted}", err=True)
    return PlanQuery(definitions)


def _print(result: PlanResult, nothing: str, last: str) -> None:
    for change in result.changes:
        sign, colour = _SIGNS[change.action]
        kind = change.kind.replace("_", " ")
        click.echo(f"  {click.style(sign, fg=colour)} {kind} {change.name}", nl=not change.effect)
        if change.effect:
            refusal = " (refused)" if change.refused else ""
            click.echo(f": {click.style(change.effect + refusal, fg='red' if change.refused else 'yellow')}")
        for line in change.details:
            click.echo(f"      {plain(line)}")
    click.echo(last if result.changes else nothing)
