"""The command `falaj`: commands are loaded when they are used, so that help stays quick."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from falaj.cli.command import FalajCommand, report_error
from falaj.kernel.errors import FalajError, InputError
from falaj.storage.disk import failure

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:attribute, one line)
    "init": ("project:init", "Make a project of a folder, or write one from a template"),
    "plan": ("project:plan", "Show what applying the files would change, and what that does to what serves"),
    "apply": ("project:apply", "Carry out the plan"),
    "schema": ("project:schema", "Print the JSON schema of definitions in YAML, for editors"),
    "openapi": ("project:openapi", "Print the OpenAPI document of the gateway's routes"),
    "status": ("status:status", "Show what serves, how well and at what cost"),
    "up": ("processes:up", "Start control and gateway"),
    "down": ("processes:down", "Stop what 'falaj up' started"),
    "control": ("processes:control", "Run the control process alone"),
    "gateway": ("processes:gateway", "Run the gateway alone"),
    "ingest": ("source:ingest", "Read a source's files into its table"),
    "push": ("source:push", "Send events to a source"),
    "source": ("source:source", "Sources: rows, files and quarantine"),
    "features": ("features:features", "Features: materialise, read, verify"),
    "dataset": ("dataset:dataset", "Training sets: build, list, export"),
    "train": ("model:train", "Train a model: ingest to register, as a durable run"),
    "approve": ("model:approve", "Approve a version that somebody else made"),
    "reject": ("model:reject", "Refuse a version"),
    "models": ("model:models", "Versions: list, gate report, card; bare models: add, remove"),
    "pipelines": ("pipeline:pipelines", "Pipelines of your own: when they start, how the last run ended"),
    "runs": ("run:runs", "Runs: start, list, follow, draw, compare, cancel, resume, backfill; their logs"),
    "deploy": ("endpoint:deploy", "Roll a version out to its endpoint"),
    "rollback": ("endpoint:rollback", "Return an endpoint to its previous version, now"),
    "shadow": ("shadow:shadow", "Let a version compute beside what decides, and see how it does"),
    "undeploy": ("endpoint:undeploy", "Stop serving an endpoint"),
    "predict": ("prediction:predict", "Ask an endpoint for a decision"),
    "feedback": ("prediction:feedback", "Report outcomes of decisions"),
    "replay": ("replay:replay", "Replay history against an endpoint: decide as of each event's instant, then push it"),
    "why": ("prediction:why", "Explain one decision: features, versions, dataset, gate, approver"),
    "monitor": ("monitor:monitor", "Drift and realised performance of an endpoint"),
    "triggers": ("triggers:triggers", "What would train a model again, and what past runs came to"),
    "alerts": ("alert:alerts", "Alerts: list, silence, routes to people, rules for Prometheus"),
    "incidents": ("incident:incidents", "Incidents: list, show, acknowledge, comment, resolve, post-mortem"),
    "dashboards": ("generated:dashboards", "Write dashboards for Grafana"),
    "token": ("token:token", "Tokens and the actors they present"),
    "audit": ("audit:audit", "The record of every write"),
    "hub": ("hub:hub", "Steps and templates that installed packages offer: list, show, add"),
    "demo": ("demo:demo", "Run a template from raw data to retraining, and print the figures"),
    "reference": ("reference:reference", "Write the command and settings reference"),
}


class LazyGroup(click.Group):
    """A group whose commands are imported by name when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(f"falaj.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list from the table, without importing anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and name the closest one where there is none."""
        from falaj.kernel.names import did_you_mean

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}; {did_you_mean(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _: click.Parameter, value: Any) -> None:
    if value:
        from falaj import __version__

        click.echo(f"falaj {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    params=[
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Version."
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
)
def cli() -> None:
    """The whole life of a machine-learning model: features, training, gates, serving, monitoring, retraining.

    Every command takes --json, --debug, --project DIR and --token TOKEN.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug, as_json = "--debug" in words, "--json" in words
    try:
        _refuse_other_encodings(words)
        code = cli.main(words, prog_name="falaj", standalone_mode=False)
    except click.exceptions.Abort as aborted:
        code = report_error(aborted.__cause__ or KeyboardInterrupt(), as_json=as_json)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.exceptions.NoArgsIsHelpError as nothing:
        click.echo(nothing.format_message())  # whoever names a group alone asks what is in it
        code = nothing.exit_code
    except click.ClickException as error:
        code = report_error(error, as_json=as_json)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone, as `falaj ... | head` does
        code = 141
    except FalajError as error:
        if debug:
            raise
        code = report_error(error, as_json=as_json)
    except OSError as error:
        if debug:
            raise
        code = report_error(failure(error, str(error.filename or "the operating system")), as_json=as_json)
    except Exception as error:  # the command line is a request handler: a fault is a sentence, not a trace
        if debug:
            raise
        code = report_error(error, as_json=as_json)
    sys.exit(code if isinstance(code, int) else 0)


def _refuse_other_encodings(words: Sequence[str]) -> None:
    """Stop before a word that is not UTF-8 is sent, stored or printed, none of which could be done with it."""
    for number, word in enumerate(words, 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(f"argument {number}, {word!r}, is not UTF-8", hint="write it in UTF-8") from None


__all__ = ["COMMANDS", "FalajCommand", "cli", "main"]

if __name__ == "__main__":
    main()
