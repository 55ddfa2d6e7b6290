"""Bad input to commands: one clear sentence, a stable code, an exit code, no traceback; with control and without."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.falaj_project import FalajProject
from support.trained import copied, made_once, make_serving

DEEP = 100_000
FILES: dict[str, bytes] = {
    "deep.jsonl": b"[" * DEEP + b"\n",
    "deeper.jsonl": b'{"a":' * DEEP + b"\n",
    "nul.jsonl": b"\0\n",
    "latin.jsonl": b'{"transaction_id": "\xff"}\n',
    "nan.jsonl": b'{"request_id": "r", "outcome": NaN}\n',
    "large.jsonl": b'{"transaction_id": "a", "amount": 1e999}\n',
    "list.jsonl": b"[1]\n",
    "untimed.jsonl": b'{"transaction_id": "a"}\n',
    "badly_timed.jsonl": b'{"transaction_id": "a", "event_time": "yesterday"}\n',
    "answers.jsonl": b'{"request_id": "r", "event_id": "t0"}\n',
    "no_answers.jsonl": b'{"x": 1}\n',
    "listed.jsonl": b'{"transaction_id": ["t0"], "is_fraud": 1}\n',
    "events.jsonl": b'{"transaction_id": "t0", "is_fraud": 1}\n',
}
NONE = "/nonexistent/folder/file"
TOKEN = ("token", "create", "--actor", "n", "--role", "viewer")
FEEDBACK = ("feedback", "events.jsonl", "--answers")
ASK = ("predict", "fraud", "--entity", "card_id=c1", "--request")

BAD: dict[str, tuple[tuple[str, ...], str, int, str]] = {
    "endpoint_with_space": (("predict", "a b"), "not_found", 4, "'a b'"),
    "endpoint_with_slash": (("predict", "../fraud"), "not_found", 4, "'../fraud'"),
    "endpoint_with_query": (("predict", "fraud?x=1"), "not_found", 4, "'fraud?x=1'"),
    "endpoint_with_line": (("predict", "a\nb"), "not_found", 4, "'a\\nb'"),
    "endpoint_beyond_ascii": (("predict", "قلج"), "not_found", 4, "'قلج'"),
    "endpoint_empty": (("predict", ""), "input_invalid", 2, "empty"),
    "nan": ((*ASK, "amount=NaN"), "input_invalid", 2, "'NaN'"),
    "infinity": ((*ASK, "amount=-Infinity"), "input_invalid", 2, "'-Infinity'"),
    "too_large": ((*ASK, "amount=1e999"), "input_invalid", 2, "'1e999'"),
    "deep": ((*ASK, "amount=" + "[" * DEEP), "input_invalid", 2, "amount"),
    "beyond_the_calendar": ((*ASK, "amount=1", "--at", "9999-12-31T23:59:59-12:00"), "input_invalid", 2, "9999"),
    "feedback_deep": (("feedback", "deep.jsonl"), "input_invalid", 2, "deep.jsonl line 1"),
    "feedback_nul": (("feedback", "nul.jsonl"), "input_invalid", 2, "nul.jsonl line 1"),
    "feedback_nan": (("feedback", "nan.jsonl"), "input_invalid", 2, "nan.jsonl line 1"),
    "feedback_no_answers": ((*FEEDBACK, "no_answers.jsonl"), "input_invalid", 2, "request_id"),
    "feedback_listed": (("feedback", "listed.jsonl", "--answers", "answers.jsonl"), "input_invalid", 2, "['t0']"),
    "push_folder": (("push", "transactions", "."), "usage", 2, "directory"),
    "replay_deep": (("replay", "fraud", "deep.jsonl"), "input_invalid", 2, "deep.jsonl line 1"),
    "replay_list": (("replay", "fraud", "list.jsonl"), "input_invalid", 2, "list.jsonl line 1"),
    "replay_untimed": (("replay", "fraud", "untimed.jsonl"), "input_invalid", 2, "'event_time'"),
    "replay_badly_timed": (("replay", "fraud", "badly_timed.jsonl"), "input_invalid", 2, "badly_timed.jsonl line 1"),
    "replay_answers": (("replay", "fraud", "events.jsonl", "--answers", NONE), "input_invalid", 2, NONE),
    "model_nowhere": (("models", "add", NONE, "--name", "bad"), "input_invalid", 2, f"cannot read {NONE}"),
    "model_folder": (("models", "add", ".", "--name", "bad"), "input_invalid", 2, "is a directory"),
    "version_huge": (("models", "show", "fraud", "9" * 25), "input_invalid", 2, "version"),
    "deploy_huge": (("deploy", "fraud", "--version", "9" * 25), "input_invalid", 2, "version"),
    "html_nowhere": (("models", "show", "fraud", "1", "--card", "--html", NONE), "input_invalid", 2, NONE),
    "html_folder": (("models", "show", "fraud", "1", "--card", "--html", "."), "input_invalid", 2, "is a directory"),
    "dataset_traversal": (("dataset", "export", "../../falaj.db", "out"), "not_found", 4, "'../../falaj.db'"),
    "verify_endpoint": (("features", "verify", "--endpoint", "frod"), "not_found", 4, "'frod'"),
    "expires_in_ages": ((*TOKEN, "--expires", "9" * 14 + "d"), "definition_invalid", 2, "century"),
    "scope_of_nothing": ((*TOKEN, "--scope", "\n"), "input_invalid", 2, "scope"),
    "run": (("runs", "follow", "run_none"), "not_found", 4, "'run_none'"),
    "resume": (("runs", "resume", "run_none"), "not_found", 4, "'run_none'"),
    "long": (("train", "x" * DEEP), "not_found", 4, "[...]"),
    "reference_nowhere": (("reference", "--out", "/proc/reference"), "input_invalid", 2, "/proc/reference"),
    "init_nowhere": (("init", "/proc/project"), "input_invalid", 2, "/proc/project"),
}  # fmt: skip


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FalajProject]:
    """One running project for all tests here: they only ask."""
    serving = made_once(tmp_path_factory, "serving", make_serving)
    with copied(serving, tmp_path_factory.mktemp("commands") / "project") as project:
        write_files(project.folder)
        yield project.up()


def write_files(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_command_is_one_clear_sentence(up: FalajProject, name: str) -> None:
    words, code, exit_code, named = BAD[name]
    _check(up, words, code, exit_code, named)


@pytest.mark.parametrize("name", ["endpoint_with_space", "too_large", "version_huge", "run", "resume"])
def test_it_is_the_same_sentence_without_control(serving: FalajProject, name: str) -> None:
    write_files(serving.folder)
    words, code, exit_code, named = BAD[name]
    _check(serving, words, code, exit_code, named)


@pytest.mark.parametrize(
    ("file", "named"),
    [("deeper.jsonl", "nested too deeply"), ("latin.jsonl", "is not JSON"), ("large.jsonl", "event 0")],
)
def test_a_line_that_is_no_event_is_quarantined_with_its_reason(up: FalajProject, file: str, named: str) -> None:
    done = up.run("push", "transactions", file)
    assert "0 events logged, 1 quarantined" in done.out
    reason, *refusal = done.err.splitlines()
    assert named in reason
    assert "accepted none of 1 event" in refusal[0]
    assert ("source quarantine transactions" in refusal[1], len(refusal), done.code) == (True, 2, 2)


def _check(project: FalajProject, words: tuple[str, ...], code: str, exit_code: int, named: str) -> None:
    done = project.run(*words, "--json")
    assert done.out == ""
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) == 1, done.err
    found = json.loads(done.err)
    assert (found["code"], done.code) == (code, exit_code), found
    assert named in found["error"]
    assert found["hint"] or code == "input_invalid"
    assert len(found["error"]) <= 1_000


def test_nothing_was_taken_or_made_by_any_of_it(up: FalajProject) -> None:
    assert up.json("source", "list")[0]["streamed"] == 0
    assert [one["version"] for one in up.json("models", "list")] == [1]
    assert "n" not in {one["actor"] for one in up.json("token", "list")}
