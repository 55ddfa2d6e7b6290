"""The commands of `falaj hub`: what installed packages offer."""

from pathlib import Path

import click

from falaj.cli.command import FalajCommand, Session, counted, pass_session, plain
from falaj.kernel.errors import InputError


@click.group()
def hub() -> None:
    """Steps and templates that installed packages offer."""


@hub.command("list", cls=FalajCommand)
@pass_session
def list_(session: Session) -> None:
    """List them, with whose they are; nothing of a package is imported for it.

    Example: falaj hub list
    """
    from falaj.lifecycle.hub import offers
    from falaj.lifecycle.templates import TEMPLATES

    found = offers()

    def human() -> None:
        for one in found:
            whose = f"{one.package} {one.version}" + (f", by {one.author}" if one.author else "")
            click.echo("  ".join(plain(word) for word in (one.kind, one.name, whose, one.about) if word))
        if not found:
            click.echo("no installed package offers anything; install one with pip")
        click.echo(f"templates of Falaj's own, for 'falaj init --template': {', '.join(TEMPLATES)}")

    session.show(found, human)


@hub.command(cls=FalajCommand)
@click.argument("name")
@pass_session
def show(session: Session, *, name: str) -> None:
    """Show what NAME (or PACKAGE:NAME) says of itself; a step's package is imported, and its code runs.

    Example: falaj hub show clean
    """
    from falaj.lifecycle.hub import find, offers
    from falaj.lifecycle.hub import show as look
    from falaj.lifecycle.templates import show_own

    known = offers()
    own = None if any(offer.name == name for offer in known) else show_own(name)
    shown = own or look(find(known, name))

    def human() -> None:
        one = shown.offer
        whose = f"{one.package} {one.version}" + (f", by {one.author}" if one.author else "")
        click.echo(f"{one.kind} {plain(one.name)} of {plain(whose)}\n")
        if shown.documentation:
            click.echo("\n".join(plain(line) for line in shown.documentation.splitlines()))
        for parameter in shown.parameters:
            click.echo(f"  {plain(parameter)}")
        for file in shown.files:
            click.echo(f"  + {plain(file)}")

    session.show(shown, human)


@hub.command(cls=FalajCommand)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@pass_session
def add(session: Session, *, name: str, folder: Path) -> None:
    """Write the use of NAME into FOLDER: a template's files, or the line that imports a step.

    A step's package is imported first, and its code runs: what cannot be imported is not added.

    Example: falaj hub add clean
    """
    from falaj.lifecycle.hub import add as write
    from falaj.lifecycle.hub import find, offers
    from falaj.lifecycle.templates import show_own

    known = offers()
    if all(offer.name != name for offer in known) and show_own(name) is not None:
        own = name.rpartition(":")[2]
        raise InputError(f"template {own!r} is Falaj's own", hint=f"falaj init NEW --template {own}")
    offer = find(known, name)
    written, standing = write(offer, folder)

    def human() -> None:
        for path in written:
            click.echo(f"  {click.style('+', fg='green')} {path}")
        for path in standing:
            click.echo(f"  = {path} (there already, and the same)")
        by = f" by {plain(offer.author)}" if offer.author else ", whose author is not named"
        click.echo(f"{counted(len(written), 'file')} written")
        click.echo(f"this is code of {plain(offer.package)} {plain(offer.version)}{by}: read it before you run it")

    told = {"files": [str(path) for path in written], "standing": [str(path) for path in standing]}
    session.show({"offer": offer, **told}, human)
