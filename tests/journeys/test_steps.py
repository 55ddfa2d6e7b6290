"""A pipeline of the library's steps: what a notebook's call gives, a run gives too, and does not do twice."""

import runpy
from pathlib import Path
from typing import Any

from support.falaj_project import FalajProject

CODE = """\
import falaj as fj
import numpy as np
import pyarrow as pa
from falaj import steps


@fj.step
def load(rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    amount = rng.normal(50, 20, rows)
    return pa.table({"amount": amount, "late": amount + rng.normal(0, 12, rows) > 65})


@fj.pipeline
def late(rows: int = 900):
    parts = steps.split(load(rows), "late")
    trainer = fj.tuned(fj.lightgbm(num_trees=9), {"max_depth": fj.search.int(2, 5)}, trials=3)
    found = steps.tune(parts["train"], "late", trainer)
    model = steps.train(parts["train"], "late", trainer=found["trainer"], calibrate="sigmoid")
    return steps.evaluate(model, parts["test"], steps.choose_threshold(model, parts["train"], fj.Cost(1, 5)))
"""


def test_a_run_gives_what_a_call_gives(tmp_path: Path) -> None:
    project = FalajProject(tmp_path / "project")
    project.folder.mkdir()
    (project.folder / "flow.py").write_text(CODE)
    called: dict[str, Any] = runpy.run_path(str(project.folder / "flow.py"), run_name="flow")["late"]()
    assert called["metrics"]["auc"] > 0.8
    project.falaj("init")
    project.falaj("apply")
    ran = project.json("runs", "start", "late")
    assert [one["name"] for one in ran["steps"]] == ["load", "split", "tune", "train", "choose_threshold", "evaluate"]
    result = project.json("runs", "show", ran["run"]["id"])["result"]
    assert result["evaluate"]["result"]["metrics"] == called["metrics"]
    assert len(result["tune"]["result"]["trials"]) == 3
    again = project.json("runs", "start", "late")
    assert all(one["cached"] for one in again["steps"])
