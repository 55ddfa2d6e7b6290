"""What users' own code logs with MLflow: in steps, in notebooks, over HTTP; and two runs side by side."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.falaj_project import FalajProject
from support.logging_pipeline import write_logging


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FalajProject]:
    """One project for all: MLflow takes seconds to make its database."""
    project = FalajProject(tmp_path_factory.mktemp("logging") / "project")
    write_logging(project.folder)
    project.falaj("apply")
    yield project
    project.end()


def logged(project: FalajProject, experiment: str) -> list[dict[str, Any]]:
    """Every run of an experiment in the project's MLflow, with its tags."""
    with closing(sqlite3.connect(project.state / "mlflow.db")) as db:
        db.row_factory = sqlite3.Row
        runs = [dict(row) for row in db.execute("select * from runs order by start_time")]
        for run in runs:
            run["tags"] = dict(db.execute("select key, value from tags where run_uuid = ?", (run["run_uuid"],)))
            where = "select name from experiments where experiment_id = ?"
            run["experiment"] = db.execute(where, (run["experiment_id"],)).fetchone()[0]
        return [run for run in runs if run["experiment"] == experiment]


def test_what_steps_log_is_kept_once_and_compared(study: FalajProject) -> None:
    first = study.json("runs", "start", "study", "--param", "trees=10")["run"]["id"]
    runs = logged(study, "study")
    by_name = {run["name"]: run for run in runs}
    assert sorted(by_name) == sorted(["depth 1", "depth 2", "fit", first])
    parent, fit = by_name[first], by_name["fit"]
    assert {run["status"] for run in runs} == {"FINISHED"}
    assert fit["tags"]["falaj.run"] == first
    assert fit["tags"]["falaj.step"] == "fit"
    assert len(fit["tags"]["falaj.code_digest"]) == 64
    assert {run["tags"].get("mlflow.parentRunId") for run in runs} == {None, parent["run_uuid"]}
    assert fit["artifact_uri"].startswith((study.state / "mlflow" / "study").as_uri())
    assert not (study.folder / "mlruns").exists()
    shown = {step["name"]: step for step in study.json("runs", "show", first)["steps"]}
    assert shown["fit"]["mlflow"] == [fit["run_uuid"]]
    assert len(shown["search"]["mlflow"]) == 2
    assert shown["rows"]["mlflow"] == []
    assert f"MLflow {fit['run_uuid'][:8]}" in study.falaj("runs", "graph", first).out
    # Again: nothing is done, so nothing is logged; and what was logged still counts for it.
    again = study.json("runs", "start", "study", "--param", "trees=10")["run"]["id"]
    assert len(logged(study, "study")) == len(runs)
    other = study.json("runs", "start", "study", "--param", "trees=20")["run"]["id"]
    found = {
        side["name"]: (side["left"], side["right"]) for side in study.json("runs", "compare", again, other)["logged"]
    }
    assert found["fit.trees"] == ("10", "20")
    assert found["fit.auc"] == (0.6, 0.7)
    assert found["search.depth 2.loss"] == (0.5, 0.5)
    said = study.falaj("runs", "compare", first, other).out
    assert "logged with MLflow" in said
    assert "+16.7%" in said


def test_a_step_that_fails_has_failed_in_mlflow_too(study: FalajProject) -> None:
    done = study.run("runs", "start", "failing", "--json")
    assert done.code != 0
    by_name = {run["name"]: run["status"] for run in logged(study, "failing") if "falaj.step" in run["tags"]}
    assert by_name == {"search": "FAILED", "depth 1": "FINISHED", "depth 2": "FINISHED"}
    (parent,) = [run for run in logged(study, "failing") if "falaj.parent" in run["tags"]]
    assert parent["status"] == "FAILED"


def test_autologging_works_inside_steps_and_parallel_steps_share_an_experiment(study: FalajProject) -> None:
    assert study.json("runs", "start", "autologged")["run"]["state"] == "SUCCEEDED"
    with closing(sqlite3.connect(study.state / "mlflow.db")) as db:
        params = {row[0] for row in db.execute("select key from params")}
        metrics = {row[0] for row in db.execute("select key from latest_metrics")}
    assert {"C", "num_boost_round", "objective"} <= params
    assert "training_score" in metrics
    assert study.json("runs", "start", "together")["run"]["state"] == "SUCCEEDED"
    runs = logged(study, "together")
    parts = [run for run in runs if not run["tags"].get("falaj.parent")]
    assert sorted(run["tags"]["falaj.step"] for run in parts) == ["fit.0", "fit.1", "fit.2", "fit.3"]
    assert len(runs) == len(parts) + 1
    assert not (study.folder / "mlruns").exists()


NOTEBOOK = """
import sys
import falaj as fj
project = fj.open(".")
assert "mlflow" not in sys.modules
import mlflow
with mlflow.start_run(run_name="looked"):
    mlflow.log_metric("rows", 3)
"""


def test_a_notebook_logs_to_the_projects_mlflow_unless_it_says_otherwise(study: FalajProject, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    elsewhere = f"sqlite:///{tmp_path}/other.db"
    for env in (kept, kept | {"MLFLOW_TRACKING_URI": elsewhere}):
        subprocess.run([sys.executable, "-c", NOTEBOOK], cwd=study.folder, env=env, check=True, capture_output=True)
    (run,) = logged(study, "shop-notebooks")
    assert (run["name"], run["status"]) == ("looked", "FINISHED")
    assert run["tags"]["falaj.project"] == "shop"
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        assert db.execute("select name from runs").fetchall() == [("looked",)]
