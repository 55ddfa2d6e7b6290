"""The page on pipelines of one's own, as it stands: called, run alone, and under a control that is killed meanwhile."""

import datetime
import os
import re
import runpy
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa

import falaj as fj
from support.falaj_project import FalajProject
from support.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run-pipelines-of-your-own.md"


def result(project: FalajProject, run_id: str, step: str) -> Any:
    return project.json("runs", "show", run_id)["result"][step]["result"]


def test_the_pages_pipeline_runs_as_it_is_called(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    project = FalajProject(tmp_path / "project")
    project.folder.mkdir()
    (project.folder / "etl.py").write_text(code)
    called = runpy.run_path(str(project.folder / "etl.py"), run_name="etl")["nightly"](datetime.date(2026, 1, 31))
    assert called == "2026-01-31: 12.0"

    project.falaj("init")
    assert "+ pipeline nightly" in project.falaj("plan").out
    project.falaj("apply")
    run = project.json("runs", "start", "nightly", "--param", "day=2026-01-31")["run"]
    assert result(project, run["id"], "publish") == called
    _look_at_outputs(project, run["id"], called, tmp_path / "here")
    other = project.json("runs", "start", "nightly", "--param", "day=2026-01-31", "--param", "at_least=100")["run"]
    drawn = project.falaj("runs", "graph", other["id"]).out
    assert "total  SUCCEEDED" in drawn and "2 parts: 2 succeeded" in drawn and "publish  SKIPPED" in drawn
    assert project.falaj("runs", "graph", "last").out == drawn
    assert "day=2026-01-31, at_least=100" in project.falaj("runs", "list").out
    compared = project.falaj("runs", "compare", run["id"], "last").out
    assert re.search(r"at_least +0 +100", compared) and "summary.sum" not in compared
    assert project.refused("runs", "start", "nightly", "--param", "day=soon")["code"] == "input_invalid"

    project.up()
    try:
        killed = project.json("runs", "start", "nightly", "--param", "day=2026-02-01", "--detach")
        until(lambda: project.json("runs", "show", killed["id"])["run"]["state"] == "RUNNING", "the run has begun")
        os.kill(project.pids()["control"], signal.SIGKILL)
        until(lambda: _state(project, killed["id"]) == "SUCCEEDED", "the run is done", within_s=60)
        assert "try 1" in project.falaj("runs", "logs", killed["id"], "--follow").out
        assert [one["name"] for one in project.json("pipelines")] == ["nightly"]
        days = ("--from", "2026-02-01", "--to", "2026-02-02")
        assert [one["state"] for one in project.json("runs", "backfill", "nightly", *days)] == ["SUCCEEDED"] * 2
        again = project.json("runs", "resume", killed["id"], "--from", "summary")["steps"]
        assert {step["name"]: step["tries"] for step in again}["publish"] >= 2
    finally:
        project.end()


def _look_at_outputs(project: FalajProject, run_id: str, called: str, here: Path) -> None:
    assert project.json("runs", "output", run_id) == [{"step": "publish", "value": called, "files": []}]
    assert f'publish  "{called}"' in project.falaj("runs", "output", run_id).out
    (loaded,) = project.json("runs", "output", run_id, "load", "--out", str(here))
    (copied,) = here.iterdir()
    (file,) = loaded["files"]
    assert (file["kind"], copied.stat().st_size) == ("table", file["size_bytes"])
    opened = fj.open(str(project.folder))
    assert opened.output(run_id) == called
    assert opened.output(run_id, "load").equals(pa.ipc.open_file(copied).read_all())
    assert sum(opened.output(run_id, "total")) == 12.0
    assert project.refused("runs", "output", run_id, "load", "--out", str(here))["code"] == "input_invalid"
    assert project.refused("runs", "output", run_id, "laod")["code"] == "not_found"


def _state(project: FalajProject, run_id: str) -> str:
    shown = project.run("runs", "show", run_id, "--json")  # refused while control starts anew
    return str(shown.json()["run"]["state"]) if shown.code == 0 else shown.err
