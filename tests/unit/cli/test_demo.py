"""A demo beside an earlier one: a folder of its own, and nothing of the first is touched."""

import json
from pathlib import Path

import pytest

from falaj.cli.demo import free_folder
from support.commands import ran


def test_an_earlier_demo_is_left_alone(tmp_path: Path) -> None:
    wanted = tmp_path / "falaj-demo-fraud"
    assert free_folder(wanted) == wanted
    wanted.mkdir()
    assert free_folder(wanted) == wanted  # empty: nobody's
    (wanted / "falaj.toml").write_text("")
    assert free_folder(wanted) == tmp_path / "falaj-demo-fraud-2"
    (tmp_path / "falaj-demo-fraud-2").write_text("a file")
    assert free_folder(wanted) == tmp_path / "falaj-demo-fraud-3"


def test_a_demo_into_a_taken_folder_stops_nothing_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "falaj.toml").write_text("[nonsense")  # 'falaj down' here would say so
    code, _, err = ran(capsys, "demo", "fraud", "--into", str(tmp_path), "--json")
    found = json.loads(err)
    assert (code, found["code"]) == (5, "conflict")
    assert found["error"] == f"falaj init: {tmp_path} is not empty"
    assert [path.name for path in tmp_path.iterdir()] == ["falaj.toml"]
