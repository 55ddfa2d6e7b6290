"""Ctrl-C while a run is followed: which run was left, and how to go on with it, is said."""

import signal
from pathlib import Path

from support.falaj_project import FalajProject
from support.waiting import until

CODE = """\
import threading
from pathlib import Path

import falaj as fj


@fj.step
def hold(folder: str) -> str:
    Path(folder, "began").touch()
    while not Path(folder, "go").exists():
        threading.Event().wait(0.02)
    return "held"


@fj.pipeline
def holding(folder: str = "."):
    return hold(folder)
"""


def test_whoever_interrupts_a_run_is_told_how_to_go_on(tmp_path: Path) -> None:
    project = FalajProject(tmp_path / "project")
    project.folder.mkdir()
    (project.folder / "flow.py").write_text(CODE)
    project.falaj("init")
    project.falaj("apply")
    given = ("--param", f"folder={tmp_path}", "--json")
    started = project.start("runs", "start", "holding", *given)
    until((tmp_path / "began").exists, "the step has begun")
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=60)
    run_id = project.json("runs", "list")[0]["id"]
    assert started.returncode == 130
    assert f"stopped; run {run_id} waits, and nobody works on it" in said
    assert f"falaj runs resume {run_id}; or end it: falaj runs cancel {run_id}" in said
    (tmp_path / "go").touch()
    assert project.json("runs", "resume", "last")["run"]["state"] == "SUCCEEDED"
