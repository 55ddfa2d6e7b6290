"""What every command shares: its four options, its way to print, its exit code."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from falaj.app.client import Client
from falaj.app.run_left import RunLeft
from falaj.kernel.codec import to_json
from falaj.kernel.errors import (
    AccessDenied,
    Conflict,
    CorruptionError,
    DataError,
    DefinitionError,
    ExtraMissing,
    FalajError,
    InputError,
    NotFound,
    PortInUse,
    ProjectError,
    RateLimited,
    RunFailed,
    StorageError,
    Timeout,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from falaj.kernel.sentence import one_sentence

EXIT_CODES: tuple[tuple[type[FalajError], int], ...] = (
    (DefinitionError, 2),
    (ProjectError, 2),
    (InputError, 2),
    (DataError, 2),
    (NotFound, 4),
    (Conflict, 5),
    (Unauthenticated, 6),
    (AccessDenied, 6),
    (CorruptionError, 7),
    (StorageError, 8),
    (PortInUse, 9),
    (Unavailable, 9),
    (RateLimited, 9),
    (Timeout, 9),
    (RunFailed, 10),
    (Unsupported, 13),
    (ExtraMissing, 13),
)
GATE_DID_NOT_PASS = 3
"""Exit code of `falaj train` when the run succeeded and its version may not move."""


class FalajCommand(click.Command):
    """A command with the options that all commands have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
            click.Option(["--progress"], is_flag=True, help="Show progress on standard error with --json too."),
            click.Option(["--debug"], is_flag=True, help="Show tracebacks."),
            click.Option(
                ["--project", "project_folder"],
                default=".",
                envvar="FALAJ_PROJECT",
                metavar="DIR",
                help="The project's folder; the current one by default.",
            ),
            click.Option(
                ["--token"],
                envvar="FALAJ_TOKEN",
                metavar="TOKEN",
                help="Who acts; the owner's own token by default. [env: FALAJ_TOKEN]",
            ),
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and take the shared options out."""
        rest = super().parse_args(ctx, args)
        ctx.params.pop("debug", None)  # `main` reads it from the words, so that it covers faults of parsing too
        ctx.obj = Session(
            as_json=bool(ctx.params.pop("as_json", False)),
            folder=Path(str(ctx.params.pop("project_folder", None) or ".")),
            token=ctx.params.pop("token", None),
            progress=bool(ctx.params.pop("progress", False)),
        )
        return rest


class Session:
    """One command's run: where it works, who acts, how it prints.

    Args:
        as_json: Print JSON only.
        folder: The project's folder.
        token: The token given; None for the owner's own.
        progress: Show progress even when printing JSON.
    """

    def __init__(self, *, as_json: bool, folder: Path, token: str | None, progress: bool = False) -> None:
        self._progress = progress
        self.as_json = as_json
        self.folder = folder
        self.token = token

    def client(self) -> Client:
        """Return what carries operations out: the running control, or this process."""
        return Client(self.folder, self.token)

    def show(self, result: object, human: Callable[[], None]) -> None:
        """Print the result as JSON, or call what prints it for people."""
        if self.as_json:
            click.echo(to_json(result, indent=2))
        else:
            human()

    def say(self, text: str) -> None:
        """Print a line of progress for people; in JSON mode only if asked for."""
        if self._progress or not self.as_json:
            click.echo(text, err=self.as_json or not sys.stdout.isatty())


class FalajGroup(click.Group):
    """A group of commands under one noun."""

    command_class = FalajCommand


pass_session = click.make_pass_decorator(Session)


def plain(value: object) -> str:
    """Return a value as it can stand in a line for people: nothing is a dash, and no character steers the terminal.

    What was pushed, asked or given as a reason is somebody else's text.

    Example:
        >>> plain(None), plain(2.5), plain("AE\\x1b[2J")
        ('–', '2.5', 'AE\\\\x1b[2J')
    """
    return "–" if value is None else one_sentence(str(value))


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return how many of a thing there are.

    Example:
        >>> counted(1, "row"), counted(2_500, "row"), counted(0, "entity", "entities")
        ('1 row', '2,500 rows', '0 entities')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def report_error(error: BaseException, *, as_json: bool) -> int:
    """Print what went wrong on standard error, as one sentence and a hint, and return the exit code."""
    code, message, hint, exit_code = "internal", f"{type(error).__name__}: {error}", "run again with --debug", 1
    if isinstance(error, KeyboardInterrupt):
        code, message, hint, exit_code = "interrupted", "stopped", "", 130
        if isinstance(error, RunLeft):
            message, hint = error.message, error.hint
    elif isinstance(error, click.ClickException):
        code, message, hint, exit_code = "usage", error.format_message(), "", 2
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f"see '{error.ctx.command_path} --help'"
    elif isinstance(error, FalajError):
        code, message, hint = error.code, error.message, error.hint
        exit_code = next((number for kind, number in EXIT_CODES if isinstance(error, kind)), 1)
    message, hint = one_sentence(message), one_sentence(hint)
    if as_json:
        click.echo(to_json({"error": message, "code": code, "hint": hint}), err=True)
    else:
        click.echo(f"{click.style('error', fg='red', bold=True)} [{code}] {message}", err=True)
        if hint:
            click.echo(f"  {click.style('fix', fg='yellow')}  {hint}", err=True)
    return exit_code
