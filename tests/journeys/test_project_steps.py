"""A pipeline of a user's own that reads the project, and registers what it trained like any other version."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.falaj_project import FalajProject
from support.tour import write_tour
from support.trained import officer

FLOW = """\
import falaj as fj
import pyarrow as pa
import pyarrow.compute as pc
from falaj import steps


@fj.step
def without_tiny(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.field("amount") > 0.01)


@fj.pipeline
def own():
    read = steps.ingest("transactions")
    checked = steps.validate(source="transactions", checks=[fj.check.between("amount", 0, 99_999)], after=[read])
    data = steps.build_dataset("fraud", after=[checked])
    rows = without_tiny(data["train"])
    trainer = fj.lightgbm(num_trees=40)
    model = steps.train(
        rows, "label", trainer=trainer, features=data["features"], calibrate="sigmoid", time="event_timestamp"
    )
    steps.evaluate(model, data["test"])
    return steps.register(model, "fraud", versions=data["versions"])


@fj.pipeline
def reads():
    return steps.build_dataset("fraud", sql="SELECT card_id, event_time AS event_timestamp, amount FROM transactions")


@fj.pipeline
def unknown_source():
    name = steps.ingest("transactions")["source"]
    return steps.ingest(name)
"""


CELLS = """
import json
import falaj as fj
from falaj import steps

p = fj.open(".")
read = steps.ingest("transactions")
data = steps.build_dataset("fraud")
rows = data["train"].select(["card_id", "event_timestamp", "amount"]).slice(0, 3)
asked = steps.build_dataset("fraud", rows=rows)["rows"]
model = steps.train(data["train"], "label", features=data["features"], trainer=fj.lightgbm(num_trees=40))
made = steps.register(model, "fraud", versions=data["versions"])
print(json.dumps({
    "read": read, "asked": asked.num_rows, "columns": asked.column_names, "made": made["version"],
    "auc": [made["metrics"]["auc"], steps.evaluate(model, data["test"])["metrics"]["auc"]],
    "runs": p.runs().to_pandas()["pipeline"].tolist(),
}))
"""


@pytest.fixture
def project(tmp_path: Path) -> FalajProject:
    project = FalajProject(tmp_path / "project")
    write_tour(project.folder, rows=2_000)
    (project.folder / "flow.py").write_text(FLOW)
    project.falaj("apply")
    return project


def test_what_a_pipeline_of_ones_own_trains_is_gated_and_approved(project: FalajProject) -> None:
    write_tour(project.folder)  # with as many rows as a calibration needs
    ran = project.json("runs", "start", "own")
    names = ["ingest", "validate", "build_dataset", "without_tiny", "train", "evaluate", "register"]
    assert [step["name"] for step in ran["steps"]] == names
    result = {name: given["result"] for name, given in project.json("runs", "show", ran["run"]["id"])["result"].items()}
    assert result["ingest"]["accepted"] == 8_000
    assert result["validate"]["rows"] == 8_000
    registered = result["register"]
    assert (registered["version"], registered["gate"]) == (1, "PASS")
    # The same rows, judged by the same file: what the user's own step measured is what the gate saw.
    assert registered["metrics"]["auc"] == pytest.approx(result["evaluate"]["metrics"]["auc"], abs=1e-6)

    assert [one["run_id"] for one in project.json("models", "list", "fraud")] == [ran["run"]["id"]]
    assert project.run("approve", "fraud", "1", "--json").error()["code"] == "access_denied"
    project.falaj("approve", "fraud", "1", token=officer(project))
    assert project.json("deploy", "fraud")["state"] == "serves"


def test_who_may_start_runs_and_not_register_starts_none(project: FalajProject) -> None:
    token = project.token("ada", "engineer", "run.*", "source.*", "dataset.*")
    refused = project.run("runs", "start", "own", "--json", token=token)
    assert refused.error()["code"] == "access_denied"
    assert "model.register" in refused.error()["error"]
    narrow = project.token("bob", "engineer", "run.*", "source.read@others", "dataset.*")
    assert "source.read" in project.run("runs", "start", "reads", "--json", token=narrow).error()["error"]
    assert project.json("runs", "list") == []
    unknown = project.run("runs", "start", "unknown_source", "--json")
    assert "must be known when a run starts" in unknown.error()["error"]


def test_a_notebook_calls_each_as_a_run_of_its_own(project: FalajProject) -> None:
    environment = project.environment() | {"PYTHONWARNINGS": "ignore", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", CELLS],
        cwd=project.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["read"]["accepted"] == 2_000
    assert told["asked"] == 3
    assert "card_activity__velocity_1h" in told["columns"]
    assert told["made"] == 1
    assert told["auc"][0] == pytest.approx(told["auc"][1], abs=1e-6)
    assert told["runs"] == ["steps.register", "steps.build_dataset", "steps.build_dataset", "steps.ingest"]
