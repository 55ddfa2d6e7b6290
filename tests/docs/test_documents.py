"""What the documents say is so: links lead somewhere, commands exist, the tour runs."""

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from falaj.cli.main import cli
from falaj.definitions.project import collect

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)[^)]*\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    """Every Markdown file of the repository, those of the templates included."""
    folders = [ROOT / "docs", ROOT / "src", ROOT / "bench"]
    return sorted(ROOT.glob("*.md")) + sorted(path for folder in folders for path in folder.rglob("*.md"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    return [body for found, body in FENCE.findall(path.read_text(encoding="utf-8")) if found == language]


def anchors(path: Path) -> set[str]:
    """The names that headings get on the usual hosts."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", documents(), ids=name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    broken = []
    for target in (a or b for a, b in LINK.findall(text)):
        if re.match(r"[a-z]+:", target):
            continue  # another place's business
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists() or (anchor and found.suffix == ".md" and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


def commands(path: Path) -> Iterator[list[str]]:
    """The words after `falaj` of each command in the document's console blocks."""
    for block in blocks(path, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True) if line.startswith("$ ") else []
            if words[:1] == ["falaj"]:
                yield words[1:]


def fault(words: list[str]) -> str | None:
    """Say what the command line would not understand."""
    command: click.Command = cli
    context = click.Context(cli, info_name="falaj")
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        if found is None:
            return f"no command {rest[0]!r}"
        command = found
        context = click.Context(command, parent=context, info_name=rest.pop(0))
    known = {option for param in command.get_params(context) for option in (*param.opts, *param.secondary_opts)}
    unknown = [word for word in rest if word.startswith("-") and word != "-" and word.split("=")[0] not in known]
    return f"no option {unknown[0]!r}" if unknown else None


@pytest.mark.parametrize("path", [path for path in documents() if any(commands(path))], ids=name)
def test_every_command_shown_exists(path: Path) -> None:
    wrong = {f"falaj {shlex.join(words)}": why for words in commands(path) if (why := fault(words))}
    assert wrong == {}


def test_a_command_that_does_not_exist_is_found() -> None:
    assert fault(["trian", "fraud"]) == "no command 'trian'"
    assert fault(["train", "fraud", "--fast"]) == "no option '--fast'"
    assert fault(["source", "quarantine", "transactions", "--limit", "5"]) is None


@pytest.mark.parametrize("path", [path for path in documents() if blocks(path, "python")], ids=name)
def test_every_python_block_is_python(path: Path) -> None:
    for number, block in enumerate(blocks(path, "python"), 1):
        if not block.lstrip().startswith(">>>"):
            compile(block, f"{name(path)}, block {number}", "exec")


def test_the_tour_runs(tmp_path: Path) -> None:
    """The README's definitions load as a project's file does."""
    for number, block in enumerate(block for block in blocks(ROOT / "README.md", "python") if "fj.Model(" in block):
        tour = tmp_path / f"tour{number}.py"
        tour.write_text(block, encoding="utf-8")
        found = collect((f"README.md: {key}", value) for key, value in runpy.run_path(str(tour)).items())
        assert found.models
        assert found.endpoints
