"""A model that was trained elsewhere becomes a candidate like any other: judged, approved, served, and rolled back."""

from pathlib import Path

from support.falaj_project import FalajProject
from support.tour import write_tour
from support.trained import officer, train_and_approve
from support.trained_outside import train_outside
from support.waiting import until


def test_a_model_from_another_mlflow_is_judged_approved_served_and_rolled_back(tmp_path: Path) -> None:
    project = FalajProject(tmp_path / "project")
    write_tour(project.folder)
    project.edit("fraud.py", '        "last_country": fj.last("country"),\n', "")
    project.edit("fraud.py", 'steps=[10, 50, 100], bake="10m"', 'steps=[50, 100], bake="1s", min_requests=20')
    # Another trainer's model differs from production's by chance on so few rows, one way or the other.
    project.edit("fraud.py", 'fj.gate.no_worse_than_production("auc", by=0.02),', "")
    project.falaj("apply")
    train_and_approve(project, 1)
    assert project.json("deploy", "fraud")["state"] == "serves"
    tracking = train_outside(project, tmp_path / "elsewhere")
    try:
        _adopt(project, tracking)
    finally:
        project.end()


def _adopt(project: FalajProject, tracking: str) -> None:
    pickled = project.run("models", "adopt", "outside/2", "--from", tracking, "--model", "fraud", "--json")
    assert (pickled.code != 0, pickled.error()["code"]) == (True, "unsupported")
    assert "skops" in pickled.error()["hint"]
    other = project.run("models", "adopt", "outside/3", "--from", tracking, "--model", "fraud", "--json")
    assert other.error()["code"] == "input_invalid"
    assert "card_activity__velocity_1h" in other.error()["error"]
    assert len(project.json("models", "list", "fraud")) == 1

    adopted = project.json("models", "adopt", "outside/1", "--from", tracking, "--model", "fraud")
    assert (adopted["version"], adopted["gate"]) == (2, "PASS")
    assert adopted["metrics"]["auc"] > 0.9
    run = project.json("runs", "show", adopted["run_id"])
    assert run["run"]["reason"] == f"adopted from models:/outside/1 of {tracking}"
    told = run["result"]["train"]["adopted"]
    assert told["kind"] == "lightgbm"
    assert len(told["digest"]) == 64

    own = project.run("approve", "fraud", "2", "--json")
    assert own.error()["code"] == "access_denied"  # who adopted it does not approve it
    project.falaj("approve", "fraud", "2", token=officer(project))
    project.up()
    assert project.json("deploy", "fraud", "--version", "2")["state"] == "rolling out"
    # A canary like any other: it goes on when it has served enough.
    numbers = iter(range(10_000))
    until(
        lambda: project.ask(f"c{next(numbers)}") and project.serves() == [2], "version 2 takes all traffic", within_s=60
    )
    assert project.ask()["model_version"] == 2
    stages = {one["version"]: one["stage"] for one in project.json("models", "list", "fraud")}
    assert stages == {1: "archived", 2: "production"}
    project.falaj("rollback", "fraud")
    project.wait_for_version(1)
