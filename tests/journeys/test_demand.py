"""The template of demand by the hour, as its README goes: a number is learned, served, and judged by what came true."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.falaj_project import FalajProject
from support.trained import officer
from support.waiting import until


@pytest.fixture
def project(tmp_path: Path) -> FalajProject:
    """Two hundred days of hours, the last two weeks of them to come."""
    made = FalajProject(tmp_path / "demand")
    made.folder.mkdir()
    made.falaj("init", "--template", "demand")
    made.edit("prepare.toml", "days = 500", "days = 200")
    subprocess.run([sys.executable, "prepare.py"], cwd=made.folder, check=True)
    return made


def test_the_readme_of_the_template(project: FalajProject) -> None:
    stream = "data/stream/1-weeks.hours.jsonl"
    project.falaj("apply")
    trained = project.json("train", "demand")
    assert trained["gate"] == "PASS", trained["checks"]
    project.falaj("approve", "demand", "1", token=officer(project))
    project.up()
    try:
        project.falaj("deploy", "demand")
        replayed = project.json("replay", "demand", stream, "--answers", "answers.jsonl")
        assert (replayed["decisions"], replayed["failed"], replayed["events"]) == (336, 0, 336)
        refused = project.refused("feedback", stream, "--answers", "answers.jsonl")
        assert refused["error"] == "no event has the column 'transaction_id'" and "hour_id" in refused["hint"]
        columns = ("--id", "hour_id", "--outcome", "demand", "--at", "at")
        assert project.json("feedback", stream, "--answers", "answers.jsonl", *columns)["reported"] == 336
        until(lambda: project.json("monitor", "demand")["outcomes"] == 335, "all but the newest have come true")
        found = project.json("monitor", "demand")
        assert set(found["realised"]) == {"rmse", "mae", "wape", "r2"}
        assert found["intervals"]["r2"]["lower"] > 0.6
    finally:
        project.end()
