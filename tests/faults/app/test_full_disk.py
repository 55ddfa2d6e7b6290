"""A full disk under a running project: said plainly, nothing acknowledged lost, and it goes on when there is room."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.falaj_project import FalajProject
from support.small_disk import small_disk
from support.storage_faults import fill
from support.tour import NOW, as_json, transactions
from support.trained import made_once, make_serving
from support.waiting import until


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 MiB."""
    with small_disk(tmp_path / "disk", "32m") as folder:
        yield folder


@pytest.fixture
def project(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FalajProject]:
    """Version 1 in production, on the small disk; nothing runs."""
    project = made_once(tmp_path_factory, "serving", make_serving).copy_to(disk / "project")
    project.env["FALAJ_EVENTS_MIN_FREE_MIB"] = "0"  # to the last block, where pushes would end long before
    yield project
    project.end()


def event(number: int) -> dict[str, Any]:
    return as_json(transactions(1, prefix=f"n{number}-")[0], country="x" * 200)


def test_a_full_disk_under_everything_that_runs(disk: Path, project: FalajProject) -> None:
    project.up()
    project.ask()
    ballast = fill(disk)
    acknowledged = _push_until_refused(project)
    answered = _ask_until_something_else(project)
    # What needs no room still works; what does is refused by one sentence and does nothing.
    project.falaj("audit", "verify")
    refused = project.refused("token", "create", "--actor", "late", "--role", "viewer")
    assert (refused["code"], refused["exit"]) == ("disk_full", 8)
    assert "full" in refused["error"]
    for path in ballast:
        path.unlink()
    until(lambda: _push(project, [event(1_000_000)]) == 202, "events are taken again")
    acknowledged += 1
    until(lambda: project.json("source", "list")[0]["streamed"] == acknowledged, "they are all in the table")
    project.token("late", "viewer")
    answered.append(project.ask(at=NOW)["request_id"])
    # A decision is answered even where its record finds no room; then it is counted as lost, and no other is.
    lost = [request_id for request_id in answered if project.run("why", request_id).code != 0]
    assert len(lost) == project.metric("falaj_log_drops_total")
    assert answered[-1] not in lost
    trained = project.run("train", "fraud", "--json")
    assert trained.json()["version"] == 2, trained.err
    project.falaj("audit", "verify")


def _push(project: FalajProject, events: list[dict[str, Any]]) -> int:
    return project.control("POST", "/v1/events/transactions", events).status


def _push_until_refused(project: FalajProject) -> int:
    """Return how many events were acknowledged before the disk said no."""
    for done in range(10_000):
        reply = project.control("POST", "/v1/events/transactions", [event(done)])
        if reply.status != 202:
            assert (reply.status, reply.json()["code"]) == (503, "disk_full"), reply.text
            assert "\n" not in reply.json()["error"]
            return done
    raise AssertionError("the disk never filled")


def _ask_until_something_else(project: FalajProject) -> list[str]:
    """Return the decisions answered: the segment in which they are logged has its room, until it has none."""
    answered = []
    for _ in range(50):
        reply = project.gateway(
            "POST", "/v1/endpoints/fraud/predict", {"entities": {"card_id": "c1"}, "request": {"amount": 1.0}}
        )
        if reply.status != 200:
            assert reply.status == 503, reply.text
            break
        answered.append(reply.json()["request_id"])
    return answered


def test_a_full_disk_without_anything_running(disk: Path, project: FalajProject) -> None:
    before = project.json("source", "list")[0]["rows"]
    ballast = fill(disk)
    for words in (["train", "fraud"], ["token", "create", "--actor", "a", "--role", "viewer"], ["ingest"]):
        done = project.run(*words, "--json")
        assert "Traceback" not in done.err, done.err
        if done.code:
            assert (done.code, done.error()["code"]) == (8, "disk_full"), done.err
    kept = 0
    while (done := project.run("push", "transactions", "--json", stdin=json.dumps(event(kept)))).code == 0:
        kept += 1
        assert kept < 200
    assert (done.code, done.error()["code"]) == (8, "disk_full"), done.err
    up = project.run("up", "--detach", "--json")
    assert up.code != 0
    assert up.error()["code"] == "disk_full", up.err
    assert "Traceback" not in up.err
    for path in ballast:
        path.unlink()
    project.up()
    until(lambda: project.json("source", "list")[0]["rows"] == before + kept, "what was acknowledged is in the table")
    assert project.ask()["model_version"] == 1
    project.falaj("audit", "verify")
