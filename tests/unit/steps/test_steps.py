"""The library's steps, called as a notebook calls them: on tables, without a project."""

import datetime
import inspect
import os
import pydoc
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pytest

import falaj as fj
from falaj import steps
from falaj.kernel.errors import DataError, DefinitionError, Unsupported
from falaj.models.evaluation import evaluate

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
CITIES = ["muscat", "nizwa", "sur"]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """A table in order of time; whether somebody pays late hangs on amount, city and chance."""
    rng = np.random.default_rng(0)
    amount, city = rng.normal(50, 20, 1_500), rng.integers(0, 3, 1_500)
    late = amount + 15 * (city == 1) + rng.normal(0, 12, 1_500) > 65
    return pa.table(
        {
            "at": [START + datetime.timedelta(hours=n) for n in range(1_500)],
            "amount": pa.array(np.where(rng.random(1_500) < 0.05, np.nan, amount), from_pandas=True),
            "city": [CITIES[one] for one in city],
            "late": pa.array([None if n % 100 == 7 else bool(one) for n, one in enumerate(late)]),
        }
    )


@fj.pipeline
def learn(rows: pa.Table) -> tuple[Any, Any, Any]:
    """As a user would write it."""
    parts = steps.split(rows, "late", time="at", delay="2h")
    trainer = fj.tuned(fj.lightgbm(num_trees=20), {"num_leaves": fj.search.int(2, 16)}, trials=3)
    model = steps.train(parts["train"], "late", trainer=trainer, calibrate="sigmoid", time="at", delay="2h")
    threshold = steps.choose_threshold(model, parts["train"], cost=fj.Cost(1, 5))
    return model, steps.evaluate(model, parts["test"], threshold, fj.Cost(1, 5), ["city"]), parts["test"]


@pytest.fixture(scope="module")
def learned(table: pa.Table) -> tuple[Any, Any, Any]:
    """What the pipeline gives when it is called."""
    found: tuple[Any, Any, Any] = learn(table)
    return found


def test_a_pipeline_of_steps_learns_what_can_be_learned(learned: tuple[Any, Any, Any]) -> None:
    model, found, test = learned
    assert model["params"]["search.trials"] == 3 and model["params"]["calibrate"] == "sigmoid"
    assert model["trainer"]["tuning"] is None and model["parity"]["max_abs"] <= 1e-5
    assert [spec["name"] for spec in model["signature"]["inputs"]] == ["amount", "city"]
    assert found["metrics"]["auc"] > 0.8 and found["intervals"]["auc"]["low"] < found["metrics"]["auc"]
    assert {part["value"] for part in found["slices"]["city"]} == {*CITIES}
    assert found["rows"] == len(test)


def test_by_time_the_latest_rows_test_and_unknown_labels_do_neither(table: pa.Table) -> None:
    parts = steps.split(table, "late", time="at", delay="2h")
    first = min(parts["test"]["at"].to_pylist())
    assert max(parts["train"]["at"].to_pylist()) <= first - datetime.timedelta(hours=2)
    assert parts["train"]["late"].null_count == parts["test"]["late"].null_count == 0
    assert len(parts["train"]) + len(parts["test"]) in (1_483, 1_484)  # fifteen unknown, and one or two in the gap
    drawn = steps.split(table, "late", test=0.5, seed=3)
    assert abs(len(drawn["test"]) - len(drawn["train"])) <= 1


def test_scores_are_those_that_were_measured(learned: tuple[Any, Any, Any]) -> None:
    model, found, test = learned
    scored = steps.predict(model, test)
    assert scored.column_names == [*test.column_names, "score"]
    labels = np.array(test["late"].to_pylist(), np.int64)
    again = evaluate(scored["score"].to_numpy(), labels)
    assert (again["auc"], again["brier"]) == pytest.approx((found["metrics"]["auc"], found["metrics"]["brier"]))


def test_groups_are_compared_and_scores_explained(learned: tuple[Any, Any, Any]) -> None:
    model, _, test = learned
    compared = steps.fairness(model, test, "city", threshold=0.5)
    gap = compared["gaps"]["selection rate"]
    assert gap["most"] == "nizwa" and gap["value"] > 0.1
    assert sum(sum(group[name] for name in ("positives", "negatives")) for group in compared["groups"]) == len(test)
    explained = steps.explain(model, test)
    assert explained["method"] == "treeshap" and explained["attributions"][0]["feature"] == "amount"


def test_what_broken_inputs_cost_is_measured(learned: tuple[Any, Any, Any]) -> None:
    model, _, test = learned
    worst = {one["kind"]: one for one in steps.robustness(model, test)["worst"]}
    assert worst.keys() == {"missing", "noise", "units"}
    assert worst["missing"]["label"] == "amount missing"  # which tells the most
    attacked = steps.robustness(model, test, under=["attack"], mutable=["amount"], strength=1.0)["worst"]
    assert [one["kind"] for one in attacked] == ["attack"]


def test_a_calibration_may_come_afterwards(table: pa.Table) -> None:
    parts = steps.split(table, "late", test=0.5)
    model = steps.train(parts["train"], "late", features=["amount", "city"], trainer=fj.lightgbm(num_trees=150))
    held = steps.split(parts["test"], "late", test=0.5)
    mended = steps.calibrate(model, held["train"], "sigmoid")
    assert mended["calibration"]["method"] == "sigmoid" and mended["parity"]["max_abs"] <= 1e-5
    before, after = (steps.evaluate(one, held["test"])["metrics"] for one in (model, mended))
    assert after["brier"] < before["brier"] and after["auc"] == pytest.approx(before["auc"], abs=1e-6)
    with pytest.raises(DataError, match="'none' is no method"):
        steps.calibrate(model, held["train"], "none")


def test_a_file_is_handed_on_once_its_scores_agree(learned: tuple[Any, Any, Any]) -> None:
    model, _, test = learned
    given = steps.export(model, test)
    assert given["file"].suffix == ".onnx" and given["parity"]["rows"] == len(test)
    assert given["calibration"]["method"] == "sigmoid"
    own = steps.export(model, test, format="native")["file"]
    assert lightgbm.Booster(model_file=str(own)).num_trees() > 0
    with pytest.raises(Unsupported, match="no file of format 'pickle'"):
        steps.export(model, test, format="pickle")
    other = steps.train(test, "late", features=["amount", "city"], trainer=fj.lightgbm(num_trees=3))
    with pytest.raises(DataError, match="differ from the trained model's"):
        steps.export({**model, "file": other["file"]}, test)


def test_a_search_may_be_a_step_of_its_own(table: pa.Table) -> None:
    trainer = fj.tuned(fj.xgboost(num_trees=5), {"max_depth": fj.search.int(2, 4)}, trials=2, metric="log_loss")
    found = steps.tune(table, "late", trainer, features=["amount"])
    assert found["metric"] == "log_loss" and len(found["trials"]) == 2
    assert found["trainer"].kind == "xgboost" and not found["trainer"].searches


def test_a_number_is_learned_too(table: pa.Table) -> None:
    known = table.filter(pa.compute.is_valid(table["amount"]))
    model = steps.train(known, "amount", features=["late", "city"], task="regression", trainer=fj.lightgbm(num_trees=9))
    assert steps.evaluate(model, known)["metrics"]["r2"] > 0.3


def test_what_makes_no_sense_is_told_by_name(table: pa.Table) -> None:
    with pytest.raises(DataError, match="no column 'later'"):
        steps.train(table, "later")
    with pytest.raises(DataError, match="column 'at' is of type timestamp"):
        steps.train(table, "late")
    with pytest.raises(DataError, match="is among the features"):
        steps.train(table, "late", features=["late"])
    with pytest.raises(DataError, match="'platt' is no method"):
        steps.train(table, "late", features=["amount"], calibrate="platt")
    with pytest.raises(DataError, match="leaves nothing open"):
        steps.tune(table, "late", fj.lightgbm(), features=["amount"])
    with pytest.raises(DataError, match="a label is missing"):
        steps.evaluate(steps.train(table, "late", features=["amount"]), table)
    with pytest.raises(DataError, match="task 'ranking'"):
        steps.train(table, "late", features=["amount"], task="ranking")
    with pytest.raises(DataError, match="a regression gives no probabilities"):
        steps.train(table, "amount", features=["city"], task="regression", calibrate="sigmoid")
    with pytest.raises(DataError, match="there are no features"):
        steps.train(table, "late", features=[])
    with pytest.raises(DataError, match="label 'city' is of type string, which holds no numbers"):
        steps.train(table, "city", features=["amount"], task="regression")
    with pytest.raises(DefinitionError, match="step 'evaluate' has no parameter 'task'") as told:
        steps.evaluate({}, table, task="regression")
    assert told.value.hint == "it takes model, rows, threshold, cost, slices, seed"
    with pytest.raises(DefinitionError, match="step 'train' has no parameter 'lable'") as told:
        steps.train(table, lable="late")
    assert told.value.hint.startswith("did you mean 'label'? it takes rows, label, trainer")
    with pytest.raises(DefinitionError, match="step 'train' needs label"):
        steps.train(table)
    holed = table.set_column(0, "at", pa.array([None, *table["at"].to_pylist()[1:]], table["at"].type))
    with pytest.raises(DataError, match="'at' is null in 1 rows"):
        steps.split(holed, "late", time="at")


def test_a_number_is_no_group_and_another_label_is_not_cut_down_to_one(table: pa.Table) -> None:
    known = table.filter(pa.compute.is_valid(table["amount"]))
    number = steps.train(known, "amount", features=["city"], task="regression", trainer=fj.lightgbm(num_trees=2))
    with pytest.raises(DataError, match="a regression makes none"):
        steps.fairness(number, known, "city")
    with pytest.raises(DataError, match="a cost is of wrong decisions"):
        steps.evaluate(number, known, cost=fj.Cost(1, 5))
    with pytest.raises(DataError, match="a cost is of wrong decisions"):
        steps.robustness(number, known, cost=fj.Cost(1, 5))
    model = steps.train(table, "late", features=["amount"], trainer=fj.lightgbm(num_trees=2))
    halves = pa.table({"amount": [1.0, 2.0, 3.0], "late": [0.0, 0.5, 1.0]})
    with pytest.raises(DataError, match="labels must be 0 or 1"):
        steps.evaluate(model, halves)


def test_a_number_is_perturbed_by_its_own_metric_and_has_neither_threshold_nor_attack() -> None:
    """Labels that happen to be 0 or 1 make no decisions of predicted numbers."""
    rng = np.random.default_rng(4)
    heat = rng.normal(size=400)
    rows = pa.table({"heat": heat, "rides": np.round(2 * heat)})
    model = steps.train(rows, "rides", task="regression", trainer=fj.lightgbm(num_trees=5))
    (worst,) = steps.robustness(model, rows, under=["missing"])["worst"]
    assert (worst["metric"], worst["value"] > worst["baseline"]) == ("rmse", True)
    with pytest.raises(DefinitionError, match="lets positives score low"):
        steps.robustness(model, rows, under=["attack"], mutable=["heat"])
    with pytest.raises(DefinitionError, match="has no metric 'auc'"):
        steps.robustness(model, rows, metric="auc")
    ones = rows.set_column(1, "rides", pa.array((heat > 0).astype(np.float64)))
    with pytest.raises(DataError, match="a threshold is of decisions"):
        steps.choose_threshold(model, ones)


def test_help_shows_what_a_step_takes() -> None:
    shown = pydoc.plain(pydoc.render_doc(steps.evaluate))
    assert "<step evaluate(model, rows, threshold, cost, slices, seed)>" in shown and "From which score on" in shown
    assert list(inspect.signature(steps.evaluate).parameters)[:2] == ["model", "rows"]


SCRIPT = """
import pyarrow as pa
import falaj as fj
from falaj import steps
rows = pa.table({"amount": [float(n % 7) for n in range(100)], "late": [n % 7 > 3 for n in range(100)]})
model = steps.train(rows, "late", trainer=fj.lightgbm(num_trees=2))
print(steps.export(model, rows)["file"].stat().st_size, model["file"].exists())
"""
FORKED = """
import os
from falaj.pipelines.context import StepContext
folder = StepContext.alone("train").folder
if not (child := os.fork()):
    raise SystemExit(0)
print(os.waitpid(child, 0)[1], folder.exists())
"""


@pytest.mark.parametrize("script", [SCRIPT, FORKED], ids=["called", "forked"])
def test_files_of_steps_live_as_long_as_the_process_that_called_them(tmp_path: Path, script: str) -> None:
    given = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.endswith(" True\n"), done.stderr
    assert list(tmp_path.glob("falaj-*")) == []
