"""The reference is what the code says, and every command shows an example that it understands."""

import shlex
from pathlib import Path

import click
import pytest

from falaj.cli.command import EXIT_CODES
from falaj.cli.main import COMMANDS, cli
from falaj.cli.reference import pages, write
from falaj.cli.reference_pages import STALE, all_commands, example_of
from falaj.kernel.docstring import attributes_of
from falaj.kernel.errors import FalajError
from falaj.kernel.settings import Settings

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
EVERY_COMMAND = dict(all_commands(cli))


def run(*words: str) -> int:
    """Run a command as `main` does, and return its exit code."""
    code = cli.main(list(words), prog_name="falaj", standalone_mode=False)
    return code if isinstance(code, int) else 0


def test_the_reference_is_what_the_code_says() -> None:
    stale = {path.name for path, text in pages(REFERENCE).items() if path.read_text("utf-8") != text}
    assert stale == set(), "write it anew: scripts/docs"


def test_the_check_fails_on_a_page_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert run("reference", "--out", str(tmp_path), "--check") == 0
    settings = tmp_path / "settings.md"
    settings.write_text(settings.read_text("utf-8").replace("8600", "8601"), "utf-8")
    assert run("reference", "--out", str(tmp_path), "--check") == STALE
    assert "settings.md differs" in capsys.readouterr().out
    assert run("reference", "--out", str(tmp_path)) == 0
    assert run("reference", "--out", str(tmp_path), "--check") == 0


def test_every_command_of_the_table_is_in_the_reference() -> None:
    text = (REFERENCE / "commands.md").read_text("utf-8")
    assert [path for path in EVERY_COMMAND if f"## `{path}`" not in text] == []
    assert {path.split()[1] for path in EVERY_COMMAND} == set(COMMANDS)


@pytest.mark.parametrize("path", EVERY_COMMAND)
def test_a_command_shows_an_example_that_it_understands(path: str) -> None:
    example = shlex.split(example_of(EVERY_COMMAND[path]))
    words = path.split()
    assert example[: len(words)] == words, f"the help of {path!r} has no line 'Example: {path} ...'"
    options = [option for param in EVERY_COMMAND[path].params for option in param.opts]
    assert [word for word in example if word.startswith("--") and word not in options] == []


@pytest.mark.parametrize("path", EVERY_COMMAND)
def test_an_option_says_what_it_does(path: str) -> None:
    options = [param for param in EVERY_COMMAND[path].params if isinstance(param, click.Option)]
    assert [option.name for option in options if not option.help and not isinstance(option.type, click.Choice)] == []


def test_every_setting_says_what_it_is() -> None:
    undocumented = [
        f"{section}.{name}"
        for section, kind in Settings.__annotations__.items()
        for name in kind.__annotations__
        if name not in attributes_of(kind)
    ]
    assert undocumented == []


def test_exit_codes_are_given_from_the_root_down() -> None:
    kinds = [kind for kind, _ in EXIT_CODES]
    # The first match counts: an error above another in the tree must come after it.
    assert [(a, b) for i, a in enumerate(kinds) for b in kinds[i + 1 :] if issubclass(b, a)] == []
    assert all(issubclass(kind, FalajError) for kind in kinds)
