"""Drift to retraining to gate to approval to canary, on a project of one's own, by `falaj` commands alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.falaj_project import FalajProject
from support.pumps import write_pumps
from support.waiting import until


@pytest.fixture
def pumps(tmp_path: Path) -> Iterator[FalajProject]:
    """The pumps' files, and nothing done with them yet."""
    project = FalajProject(tmp_path / "pumps")
    write_pumps(project.folder)
    yield project
    project.end()


def endpoint(project: FalajProject) -> dict[str, Any]:
    found: dict[str, Any] = project.json("status")["endpoints"][0]
    return found


def versions(project: FalajProject) -> dict[int, float]:
    """Version to weight, of what serves."""
    return {one["version"]: one["weight_percent"] for one in endpoint(project)["variants"]}


def test_a_project_retrains_itself_and_people_let_it_out(pumps: FalajProject) -> None:
    pumps.falaj("apply")
    assert pumps.json("train", "pump_failure")["version"] == 1
    officer = pumps.token("officer", "approver")
    pumps.falaj("approve", "pump_failure", "1", token=officer)
    pumps.falaj("up", "--detach")
    pumps.falaj("deploy", "pumps")
    summer = pumps.json("replay", "pumps", "stream/summer.jsonl", "--answers", "answers.jsonl")
    assert (summer["decisions"], summer["failed"], summer["events"], summer["quarantined"]) == (700, 0, 700, 0)

    drift = until(lambda: _drift(pumps), "drift is found")
    assert drift["features"][0]["feature"] == "temperature"
    assert {one["feature"] for one in drift["features"] if one["outcome"] == "DRIFT"} == {"temperature"}
    alert = pumps.json("alerts", "list", "--open")[0]
    assert alert["subject"] == "drift of pumps"
    run_id = until(lambda: _triggered(pumps), "drift starts a run")
    run = pumps.json("runs", "follow", run_id)
    assert run["run"]["state"] == "SUCCEEDED", run
    assert run["result"]["gate"]["outcome"] == "PASS", run["result"]["gate"]["checks"]

    # It starts a run, never a promotion: the new version waits for a person, and not for whoever made it.
    made = next(one for one in pumps.json("models", "list", "pump_failure") if one["version"] == 2)
    assert (made["approval"], made["run_id"]) == ("PENDING", run_id)
    assert versions(pumps) == {1: 100.0}
    refused = pumps.refused("deploy", "pumps", "--version", "2", token=pumps.token("eye", "viewer"))
    assert (refused["code"], refused["exit"]) == ("access_denied", 6)

    traffic = pumps.start("replay", "pumps", "stream/later.jsonl", "--rate", "15", "--json")
    pumps.falaj("approve", "pump_failure", "2", "--comment", "summer is known now", token=officer)
    until(lambda: versions(pumps) == {2: 100.0}, "the canary has grown to all traffic", within_s=90)
    # Looking at the status now and then may miss a step of a second; the record does not.
    moves = [(one["action"], one["detail"]) for one in reversed(pumps.json("audit", "list", "--action", "rollout.*"))]
    assert [(action, detail["version"], detail["step"]) for action, detail in moves] == [
        ("rollout.advance", 2, 1),
        ("rollout.promote", 2, 1),
    ]
    traffic.terminate()
    traffic.communicate()
    stages = {one["version"]: one["stage"] for one in pumps.json("models", "list", "pump_failure")}
    assert stages == {1: "archived", 2: "production"}
    _check_the_story(pumps, run_id)


def _check_the_story(project: FalajProject, run_id: str) -> None:
    """What is said of a decision, of what was served, and of who did what, afterwards."""
    reading = ("--entity", "pump_id=3", "--request", "vibration=4.5", "--request", "temperature=70")
    decided = project.json("predict", "pumps", *reading)
    why = project.json("why", decided["request_id"])
    assert (why["version"], why["approved_by"], why["run_id"]) == (2, ["officer"], run_id)
    assert why["run_reason"].startswith("drift: ")
    assert project.json("features", "verify", "--endpoint", "pumps", "--sample", "300")["outcome"] == "PASS"
    first = json.loads((project.folder / "answers.jsonl").read_text().splitlines()[0])
    assert project.json("why", first["request_id"])["version"] == 1
    submitted = next(
        one for one in project.json("audit", "list", "--action", "run.submit") if one["resource"] == run_id
    )
    assert submitted["actor"] == "system"
    project.falaj("audit", "verify")
    triggers = project.json("triggers", "pumps")
    (drift,) = [one for one in triggers["triggers"] if one["trigger"] == "drift"]
    assert drift["state"] in ("answered", "quiet")  # quiet once the version that drifted serves no more
    newest = triggers["runs"][0]
    assert (newest["run_id"], newest["version"], newest["outcome"].partition(":")[0]) == (
        run_id, 2, "promoted",
    )  # fmt: skip
    back = project.json("rollback", "pumps")
    assert (back["withdrawn"], back["serves"]) == (2, [1])


def _drift(project: FalajProject) -> dict[str, Any]:
    """What drifted; empty while nothing has."""
    found: dict[str, Any] = project.json("monitor", "pumps")
    return found if found["outcome"] == "DRIFT" else {}


def _triggered(project: FalajProject) -> str:
    """The run that drift started; empty while there is none."""
    return next((str(one["id"]) for one in project.json("runs", "list") if one["reason"].startswith("drift")), "")
