"""Tuning and calibration from the shell: killed and gone on with, in the run's record and MLflow's, and served."""

import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.falaj_project import FalajProject
from support.tour import NOW, write_tour
from support.trained import officer
from support.waiting import until

TRIALS = 8
TUNED = f"""\
trainer=fj.tuned(fj.lightgbm(learning_rate=0.1), {{
        "num_trees": fj.search.int(100, 300), "num_leaves": fj.search.int(4, 64),
        "lambda_l2": fj.search.float(0.01, 10, log=True),
    }}, trials={TRIALS}),
    calibrate="isotonic", \
"""


def journal(project: FalajProject) -> list[str]:
    """The whole lines of the trials' journal."""
    (file, *_) = [*project.state.rglob("trials.jsonl"), Path()]
    return file.read_text().splitlines(keepends=True)[:-1] if file.name else []


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[FalajProject]:
    """The tour's files, with enough fraud to learn a calibration from."""
    project = FalajProject(tmp_path / "project")
    write_tour(project.folder, rows=8_000)
    yield project
    project.end()


def test_a_killed_search_goes_on_and_what_it_found_is_served(fresh: FalajProject) -> None:
    fresh.falaj("apply")
    fresh.edit("fraud.py", "trainer=fj.lightgbm(num_trees=40), ", TUNED)
    shown = fresh.falaj("plan").out
    assert "~ trainer.tuning: None -> {" in shown and "~ calibrate: '' -> 'isotonic'" in shown
    fresh.falaj("apply")

    started = fresh.start("train", "fraud")
    until(lambda: len(journal(fresh)) >= 3, "three trials", within_s=90, every_s=0.005)
    started.send_signal(signal.SIGKILL)
    started.communicate()
    until(lambda: not fresh.processes(), "nobody works")
    before = [json.loads(line) for line in journal(fresh)]
    assert 3 <= len(before) < TRIALS
    with sqlite3.connect(fresh.state / "falaj.db") as database:
        ((run_id,),) = database.execute("SELECT id FROM run").fetchall()
    ended = fresh.json("runs", "resume", run_id)
    assert ended["run"]["state"] == "SUCCEEDED", ended["run"]
    steps = {one["name"]: one for one in ended["steps"]}
    assert steps["tune"]["tries"] == 2

    mlflow = fresh.state / "mlflow" / "fraud"
    trials = json.loads(next(mlflow.rglob("trials.json")).read_text())
    assert len(trials) == TRIALS
    assert trials[: len(before)] == before  # with the seconds that each took: none was done again
    best = max((trial for trial in trials if trial["state"] == "done"), key=lambda trial: trial["value"])

    (version,) = fresh.json("models", "list", "fraud")
    assert version["gate"] in ("PASS", "FAIL")
    with sqlite3.connect(fresh.state / "mlflow.db") as database:
        params = dict(database.execute("SELECT key, value FROM params").fetchall())
    assert {name: params[name] for name in best["params"]} == {n: str(v) for n, v in best["params"].items()}
    assert params["calibrate"] == "isotonic" and params["search.trials"] == str(TRIALS)

    fresh.falaj("approve", "fraud", "1", token=officer(fresh))
    fresh.falaj("deploy", "fraud")
    fresh.up()
    answers = [fresh.ask(f"c{n}", 10.0 * 3**n, at=NOW) for n in range(6)]
    scores = [answer["prediction"] for answer in answers]
    assert all(0 < score < 1 for score in scores)
    why = fresh.json("why", answers[0]["request_id"])
    assert why["score"] == scores[0]
