"""What every command shares: exit codes, errors as one sentence, JSON as the only thing printed, safe lines."""

import json
from pathlib import Path
from typing import Any

import click
import pytest

from falaj.app.run_left import RunLeft
from falaj.cli import status as status_command
from falaj.cli.command import EXIT_CODES, report_error
from falaj.cli.main import COMMANDS, cli, main
from falaj.cli.prediction import pairs
from falaj.kernel.errors import FalajError, InputError
from falaj.kernel.sentence import MOST_CHARACTERS
from support.commands import ran
from support.named import HOSTILE, status_of


def kinds(kind: type[FalajError] = FalajError) -> list[type[FalajError]]:
    return [found for one in kind.__subclasses__() for found in (one, *kinds(one))]


@pytest.mark.parametrize("kind", kinds())
def test_every_error_has_an_exit_code_of_its_own_or_its_parents(
    capsys: pytest.CaptureFixture[str], kind: type[FalajError]
) -> None:
    exit_code = report_error(kind("it went wrong", hint="do better"), as_json=True)
    assert exit_code == next(number for known, number in EXIT_CODES if issubclass(kind, known))
    assert exit_code not in (0, 1)
    assert json.loads(capsys.readouterr().err) == {"error": "it went wrong", "code": kind.code, "hint": "do better"}


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (RunLeft("run_7", controlled=True, on_ray=("fit",)), ("control works on it", "falaj runs follow run_7")),
        (RunLeft("run_7", controlled=False, on_ray=("fit",)), ("go on on Ray: fit", "falaj runs resume run_7")),
        (RunLeft("run_7", controlled=False, on_ray=()), ("nobody works on it", "falaj runs cancel run_7")),
        (KeyboardInterrupt(), ("stopped", "")),
    ],
)
def test_whoever_stops_a_command_is_told_what_becomes_of_its_run(
    capsys: pytest.CaptureFixture[str], left: KeyboardInterrupt, said: tuple[str, str]
) -> None:
    assert report_error(left, as_json=True) == 130
    told = json.loads(capsys.readouterr().err)
    assert (said[0] in told["error"], said[1] in told["hint"]) == (True, True)


@pytest.mark.parametrize("text", [HOSTILE, "a\nb\r\nc", "\udcff", "x" * 1_000_000, "\x1b]0;title\x07", "\u2028"])
@pytest.mark.parametrize("as_json", [True, False])
def test_an_error_is_one_printable_line_whatever_stands_in_it(
    capsys: pytest.CaptureFixture[str], text: str, as_json: bool
) -> None:
    report_error(InputError(f"model {text} does not exist", hint=f"use {text}"), as_json=as_json)
    printed = capsys.readouterr().err
    assert len(printed) < 3 * MOST_CHARACTERS
    printed.encode()
    assert len(printed.splitlines()) == (1 if as_json else 2)
    assert all(line.isprintable() for line in printed.splitlines())


def test_a_fault_of_our_own_is_a_sentence_and_with_debug_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert report_error(ZeroDivisionError("division by zero"), as_json=True) == 1
    found = json.loads(capsys.readouterr().err)
    assert (found["code"], found["hint"]) == ("internal", "run again with --debug")
    with pytest.raises(FalajError):
        main(["status", "--project", str(tmp_path), "--debug"])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_takes_json(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, err = ran(capsys, name, "--help")
    assert (code, err) == (0, "")
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    for one in commands:
        options = {word for parameter in one.params for word in parameter.opts}
        assert {"--json", "--debug", "--project", "--token"} <= options, one.name
        assert "Example: falaj" in (one.help or ""), one.name
    assert "Usage: falaj" in out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["frobnicate"], "no command 'frobnicate'"),
        ([""], "no command ''"),
        (["stauts"], "did you mean 'status'?"),
        (["status", "--nope"], "--nope"),
        (["status", "extra"], "extra"),
        (["train"], "MODEL"),
        (["approve", "fraud", "0"], "0 is not in the range"),
        (["approve", "fraud", "one"], "'one'"),
        (["source", "nope"], "nope"),
        (["train", "\udcff"], "is not UTF-8"),
        (["status", "--token", "\udcff"], "is not UTF-8"),
    ],
)
def test_a_word_that_makes_no_sense_is_named(capsys: pytest.CaptureFixture[str], words: list[str], named: str) -> None:
    code, out, err = ran(capsys, *words)
    assert (code, out) == (2, "")
    assert named in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [[], ["runs"], ["models"]])
def test_a_group_alone_shows_what_is_in_it(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    shown = capsys.readouterr()
    assert (ended.value.code, shown.err) == (2, "")
    assert "Commands:" in shown.out


@pytest.mark.parametrize("token", ["", " ", "\n", "a\r\nb", "flj_é", "😀"])
def test_a_token_that_can_be_none_is_refused_and_never_taken_for_the_owners(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, token: str
) -> None:
    (tmp_path / "falaj.toml").write_text("")
    code, out, err = ran(capsys, "status", "--project", str(tmp_path), "--token", token, "--json")
    assert (code, out, json.loads(err)["code"]) == (6, "", "unauthenticated")


def test_a_project_that_is_a_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = ran(capsys, "status", "--project", str(tmp_path / "file"), "--json")
    assert (code, json.loads(err)["error"]) == (2, f"{tmp_path / 'file'} is not a folder")


@pytest.mark.parametrize("text", ["plain", "ünï - 金额", HOSTILE, "w" * 5_000])
def test_a_table_stands_whatever_is_in_it(capsys: pytest.CaptureFixture[str], text: str) -> None:
    status_command._print(status_of(text, "fraud"))
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in click.unstyle(printed).splitlines()), printed
    assert "None" not in printed
    if text.isprintable() and len(text) < MOST_CHARACTERS:
        assert text in printed


@pytest.mark.parametrize(
    ("word", "value"),
    [("a=1", 1), ("a=1.5", 1.5), ("a=true", True), ("a=null", None), ('a="1"', "1"), ("a=x", "x"), ("a=", ""),
     ("a==", "="), ("a=NaN", "NaN"), ("a=-Infinity", "-Infinity"), ("a=1e999", "1e999"), ("a=[1", "[1"),
     ("a=" + "[" * 100_000, "[" * 100_000), ('a="\\ud800"', '"\\ud800"')],
)  # fmt: skip
def test_pairs_are_json_where_they_can_be_and_text_otherwise(word: str, value: Any) -> None:
    assert pairs((word,)) == {"a": value}


@pytest.mark.parametrize("word", ["", "a", "=1"])
def test_a_pair_without_a_key_or_a_value_is_named(word: str) -> None:
    with pytest.raises(InputError, match="is not KEY=VALUE"):
        pairs((word,))
