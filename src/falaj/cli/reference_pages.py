"""Reference pages: Markdown made from the code itself, so that they cannot say what it does not do."""

import inspect
import re
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import click
import msgspec

from falaj.app.operation import OPERATIONS
from falaj.cli.command import EXIT_CODES, GATE_DID_NOT_PASS, FalajCommand
from falaj.kernel.docstring import attributes_of
from falaj.kernel.errors import FalajError
from falaj.kernel.settings import Settings
from falaj.serving.statuses import status_of

STALE = 12
"""Exit code of `falaj reference --check` when a page differs from the code."""

_OTHER_EXIT_CODES = (
    (0, "The command did what it says."),
    (1, "A fault of Falaj itself, or an error that has no code of its own here; `--debug` shows the traceback."),
    (GATE_DID_NOT_PASS, "`falaj train`: the run succeeded, and its version did not pass the gate."),
    (11, "`falaj features verify`: the outcome is FAIL or INCONCLUSIVE."),
    (STALE, "`falaj reference --check`: a page differs from the code."),
    (130, "Stopped with Ctrl-C."),
    (141, "Whoever read the output has gone, as in `falaj ... | head`."),
)
HEAD = "<!-- Written by `falaj reference`; change the code, not this page. -->\n\n"


def example_of(command: click.Command) -> str:
    """Return what stands after "Example:" in a command's help; empty when it has none."""
    match = re.search(r"Example:\s*(.+)", command.help or "")
    return match[1].strip() if match else ""


def all_commands(group: click.Group, path: str = "falaj") -> Iterator[tuple[str, click.Command]]:
    """Yield each command that does something, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from all_commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def commands_page(root: click.Group) -> str:
    """Return the page of all commands, with their options, examples and exit codes."""
    shared = [option for option in FalajCommand("shared").params if isinstance(option, click.Option)]
    parts = [HEAD, "# Commands\n\nEvery command also takes these options:\n\n", _options(shared)]
    parts += ["\nEvery command can end with one of the [exit codes](#exit-codes) below.\n"]
    hidden: set[str | None] = {option.name for option in shared}
    for path, command in all_commands(root):
        parts.append(_command(path, command, hidden))
    parts += ["\n## Exit codes\n\n| Code | Meaning |\n|---|---|\n"]
    rows = [(code, text) for code, text in _OTHER_EXIT_CODES]
    for code in sorted({code for _, code in EXIT_CODES}):
        kinds = ", ".join(f"`{kind.code}`" for kind, number in EXIT_CODES if number == code)
        rows.append((code, f"An error {kinds}, or one beneath it in the [tree of errors](errors.md)."))
    parts += [f"| {code} | {text} |\n" for code, text in sorted(rows)]
    return "".join(parts)


def _command(path: str, command: click.Command, hidden: set[str | None]) -> str:
    pieces = command.collect_usage_pieces(click.Context(command, info_name=path))
    text = inspect.cleandoc(command.help or "")
    text = re.sub(r"\n*Example:.*", "", text, flags=re.DOTALL).strip()
    options = [p for p in command.params if isinstance(p, click.Option) and p.name not in hidden]
    parts = [f"\n## `{path}`\n\n{text}\n\n", f"```console\n$ {path} {' '.join(pieces)}\n```\n"]
    if options:
        parts += ["\n", _options(options)]
    parts.append(f"\nExample:\n\n```console\n$ {example_of(command)}\n```\n")
    return "".join(parts)


def _options(options: list[click.Option]) -> str:
    rows = ["| Option | Meaning |\n|---|---|\n"]
    for option in options:
        names, meaning = option.get_help_record(click.Context(click.Command("x"))) or ("", "")
        rows.append(f"| `{_cell(names)}` | {_cell(meaning)} |\n")
    return "".join(rows)


def settings_page() -> str:
    """Return the page of all settings, section by section."""
    parts = [
        HEAD,
        "# Settings\n\nA project's settings stand in its `falaj.toml`, one table per section. A variable like "
        "`FALAJ_GATEWAY_PORT=8700` comes before the file; lists are set in the file only.\n",
    ]
    for section in msgspec.structs.fields(Settings):
        parts.append(f"\n## `[{section.name}]`\n\n{_summary(section.type)}\n\n")
        parts.append(_fields_table(section.type))
        for field in msgspec.structs.fields(section.type):
            parts += _nested(section.name, field)
    return "".join(parts)


def _nested(section: str, field: msgspec.structs.FieldInfo) -> Iterator[str]:
    """Give the page of settings that have settings of their own: one table per name, or a list of tables."""
    for kind in get_args(field.type):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            head = f"[{section}.{field.name}.NAME]" if get_origin(field.type) is dict else f"[[{section}.{field.name}]]"
            yield f"\n### `{head}`\n\n{inspect.cleandoc(kind.__doc__ or '').partition('Attributes:')[0].strip()}\n\n"
            yield _fields_table(kind)


def errors_page() -> str:
    """Return the page of all errors, with their statuses and exit codes."""
    parts = [
        HEAD,
        "# Errors\n\nEvery error has a sentence, a stable code and mostly a hint. The command line prints them on "
        "standard error and ends with the exit code; control and gateway answer with the status and "
        '`{"error": ..., "code": ..., "hint": ...}`. What is retryable may succeed when it is tried again.\n\n',
        "| Code | Raised as | Meaning | Retryable | HTTP status | Exit code |\n|---|---|---|---|---|---|\n",
    ]
    for kind in _tree(FalajError):
        exit_code = next((code for above, code in EXIT_CODES if issubclass(kind, above)), 1)
        retryable = "yes" if kind.retryable else "no"
        row = (f"`{kind.code}`", f"`{kind.__name__}`", _summary(kind), retryable, status_of(kind.code), exit_code)
        parts.append(f"| {' | '.join(_cell(str(value)) for value in row)} |\n")
    parts += [
        "\nTwo ways in have codes of their own, which no operation gives:\n\n"
        "| Code | Meaning | HTTP status | Exit code |\n|---|---|---|---|\n",
        "| `usage` | The command line was not understood: an unknown command or option, or a value of the wrong kind. "
        "| | 2 |\n",
        "| `method_not_allowed` | The route exists and does not take this method. | 405 | |\n",
        "| `too_large` | The body is larger than the server takes. | 413 | |\n",
    ]
    return "".join(parts)


def _tree(kind: type[FalajError]) -> Iterator[type[FalajError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == kind.__module__:
            yield from _tree(below)


def operations_page() -> str:
    """Return the page of all operations, with what the actor must be allowed to do and the parameters."""
    parts = [
        HEAD,
        "# Operations\n\nAn operation is one thing that Falaj does for an actor. Every command calls one; so does "
        "`POST /v1/operations/NAME` of a running control, with the parameters as a JSON object. The action is what "
        "the actor's role, and the token's scopes, must allow.\n",
    ]
    for name, operation in OPERATIONS.items():
        function = operation.function()
        params = function.__annotations__["params"]
        parts.append(f"\n## `{name}`\n\n{_summary(function)} Action: `{operation.action}`.\n\n")
        parts.append(_fields_table(params) if msgspec.structs.fields(params) else "It takes no parameters.\n")
    return "".join(parts)


def _fields_table(kind: type[msgspec.Struct]) -> str:
    texts = attributes_of(kind)
    rows = ["| Name | Type | Default | Meaning |\n|---|---|---|---|\n"]
    for field in msgspec.structs.fields(kind):
        # A struct of one field says in its first line what the field is.
        text = texts.get(field.name) or _summary(kind)
        rows.append(f"| `{field.name}` | `{_cell(type_name(field.type))}` | {_default(field)} | {_cell(text)} |\n")
    return "".join(rows)


def type_name(kind: Any) -> str:
    """Return a type as its source text would say it.

    Example:
        >>> type_name(tuple[str, ...]), type_name(int | None), type_name(str)
        ('tuple[str, ...]', 'int | None', 'str')
        >>> type_name(Annotated[int, msgspec.Meta(ge=1, le=9)] | None)
        'int, 1 to 9 | None'
    """
    if get_origin(kind) is Annotated:
        inner, bounds = get_args(kind)
        return f"{type_name(inner)}, {bounds.ge} to {bounds.le}"
    if get_origin(kind) in (Union, UnionType):
        return " | ".join("None" if one is type(None) else type_name(one) for one in get_args(kind))
    text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    return re.sub(r"\b(?:typing|falaj)\.(?:\w+\.)*", "", text)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        return f"`{_cell(msgspec.json.encode(field.default).decode())}`"
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{msgspec.json.encode(field.default_factory()).decode()}`"
    return "required"


def _summary(thing: Callable[..., Any] | type) -> str:
    return inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
