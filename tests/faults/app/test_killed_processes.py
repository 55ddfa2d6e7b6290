"""kill -9 at the processes of a running project: nothing acknowledged is lost, and the next start goes on."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.falaj_project import FalajProject
from support.tour import NOW, write_tour
from support.traffic import Traffic
from support.trained import copied, made_once, make_serving
from support.waiting import until


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[FalajProject]:
    """The tour, applied and nothing more."""
    project = FalajProject(tmp_path / "project")
    write_tour(project.folder)
    project.falaj("apply")
    yield project
    project.end()


@pytest.fixture
def running(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FalajProject]:
    """Version 1 in production, control and gateway up."""
    with copied(made_once(tmp_path_factory, "serving", make_serving), tmp_path / "project") as project:
        yield project.up()


@pytest.mark.parametrize("step", ["features", "train", "evaluate", "register"])
def test_a_training_that_was_killed_goes_on_without_repeating_its_steps(fresh: FalajProject, step: str) -> None:
    started = fresh.start("train", "fraud")
    run_id = _wait_for_step(fresh, step)
    started.send_signal(signal.SIGKILL)
    started.communicate()
    before = {one["name"]: one for one in _steps(fresh, run_id)}
    done = [name for name, one in before.items() if one["state"] == "SUCCEEDED"]
    ended = fresh.json("runs", "resume", run_id)
    assert ended["run"]["state"] == "SUCCEEDED"
    after = {one["name"]: one for one in ended["steps"]}
    assert {name: after[name]["tries"] for name in done} == {name: before[name]["tries"] for name in done}
    assert after[step]["tries"] >= 2
    versions = fresh.json("models", "list", "fraud")
    assert [one["version"] for one in versions] == [1]
    fresh.falaj("audit", "verify")


def _wait_for_step(project: FalajProject, step: str) -> str:
    """Return the run once a step of it is at work; read from the database, since the run holds the project's lock."""
    import sqlite3

    def look() -> str:
        if not (project.state / "falaj.db").exists():
            return ""
        with sqlite3.connect(f"file:{project.state / 'falaj.db'}?mode=ro", uri=True) as database:
            row = database.execute("SELECT run_id FROM step WHERE name = ? AND state = 'RUNNING'", (step,)).fetchone()
        return str(row[0]) if row else ""

    return until(look, f"step {step} at work", within_s=60, every_s=0.005)


def _steps(project: FalajProject, run_id: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = project.json("runs", "show", run_id)["steps"]
    return found


def test_a_killed_gateway_worker_returns_and_every_answer_is_logged(running: FalajProject) -> None:
    with Traffic(running) as traffic:
        traffic.reach(100)
        killed = running.pids()["gateway-0"]
        os.kill(killed, signal.SIGKILL)
        until(lambda: running.pids().get("gateway-0") not in (None, killed), "another worker")
        answered = len(traffic.answered)
        until(lambda: len(traffic.answered) > answered + 100, "answers of the new worker")
    for answer in [*traffic.answered[:3], *traffic.answered[-3:]]:
        assert running.json("why", answer["request_id"])["score"] == answer["prediction"]
    running.down()
    logged = {line["request_id"] for line in _decisions(running)}
    assert {answer["request_id"] for answer in traffic.answered} <= logged


def _decisions(project: FalajProject) -> list[dict[str, object]]:
    from deltalake import DeltaTable

    project.falaj("features", "verify", "--sample", "10")  # moves what the gateway logged into the table
    table = DeltaTable(project.state / "tables" / "predictions").to_pyarrow_table(columns=["request_id"])
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


def test_a_killed_control_returns_with_every_acknowledged_event(running: FalajProject) -> None:
    acknowledged = []
    for number in range(60):
        event = {
            "transaction_id": f"new-{number}",
            "event_time": NOW,
            "ingested_at": NOW,
            "card_id": "c-new",
            "amount": 10.0,
            "country": "AE",
            "is_fraud": None,
        }
        if number == 30:
            killed = running.pids()["control"]
            os.kill(killed, signal.SIGKILL)
            until(lambda: running.pids().get("control") not in (None, killed), "another control")  # noqa: B023
            until(lambda: _answers(running), "control answers", within_s=60)
        reply = running.control("POST", "/v1/events/transactions?wait=applied", [event])
        assert reply.status == 202, reply.text
        acknowledged.append(event["transaction_id"])
    later = NOW.replace("00:00:00", "00:00:01") if "00:00:00" in NOW else NOW
    shown = running.run("features", "get", "fraud", "--entity", "card_id=c-new", "--at", later, "--json").json()
    counted = dict(zip(shown["columns"], shown["values"][0], strict=True))
    if later != NOW:
        assert counted["card_activity__velocity_1h"] == len(acknowledged)
    until(lambda: _streamed(running) == len(acknowledged), "all events in the table", within_s=60)


def _answers(project: FalajProject) -> bool:
    try:
        return project.control("GET", "/healthz", token="").status == 200
    except OSError:
        return False


def _streamed(project: FalajProject) -> int:
    return int(project.json("source", "list")[0]["streamed"])


def test_a_killed_supervisor_leaves_nothing_that_hinders_the_next(running: FalajProject) -> None:
    answered = running.ask()["request_id"]
    os.kill(running.pids()["supervisor"], signal.SIGKILL)
    until(lambda: not running.processes(), "the end of all it watched over", within_s=60)
    running.up()
    assert running.ask()["model_version"] == 1
    assert running.json("why", answered)["request_id"] == answered


def test_processes_end_when_their_state_is_removed(running: FalajProject) -> None:
    shutil.rmtree(running.state, ignore_errors=True)  # what is written meanwhile may stay
    until(lambda: not running.processes(), "the end of all of them", within_s=60)
    shutil.rmtree(running.state, ignore_errors=True)
    running.up()


def test_a_copy_in_the_place_of_the_state_is_not_taken_for_it(running: FalajProject) -> None:
    away = running.state.with_name("away")
    shutil.copytree(running.state, running.state.with_name("copy"), copy_function=shutil.copy)
    running.state.rename(away)
    running.state.with_name("copy").rename(running.state)
    until(lambda: not running.processes(), "the end of all of them", within_s=60)
    assert "was removed or taken over: ending" in (away / "log" / "supervisor.log").read_text()


def test_what_is_damaged_is_refused_by_its_name(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with copied(made_once(tmp_path_factory, "serving", make_serving), tmp_path / "project") as project:
        version = project.json("models", "show", "fraud", "1")["version"]
        dataset = project.json("dataset", "list")[0]
        blob = next(project.state.glob(f"blobs/**/{dataset['blob']}*"))
        blob.chmod(0o600)
        raw = bytearray(blob.read_bytes())
        raw[len(raw) // 2] ^= 0xFF
        blob.write_bytes(raw)
        refused = project.refused("dataset", "export", version["dataset"], "out.parquet")
        assert (refused["code"], dataset["blob"][:12] in refused["error"]) == ("corrupt", True)
        (project.state / "falaj.db").write_bytes(b"not a database" * 100)
        refused = project.refused("status")
        assert refused["code"] == "corrupt", json.dumps(refused)
        assert "falaj.db" in refused["error"]
