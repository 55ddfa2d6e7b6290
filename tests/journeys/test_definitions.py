"""Definitions: planned, applied, refused where something serves by them, and torn ones named by file and line."""

from pathlib import Path

import pytest

from support.falaj_project import FalajProject
from support.tour import NOW
from support.waiting import until


def test_plan_shows_and_apply_carries_out(fresh: FalajProject) -> None:
    shown = fresh.json("plan")
    assert shown["epoch"] == 0
    assert [(one["action"], one["kind"], one["name"]) for one in shown["changes"]] == [
        ("added", "entity", "card"),
        ("added", "source", "transactions"),
        ("added", "feature_view", "card_activity"),
        ("added", "on_demand_view", "amount_ratio"),
        ("added", "feature_service", "fraud"),
        ("added", "model", "fraud"),
        ("added", "endpoint", "fraud"),
    ]
    assert "+ feature view card_activity" in fresh.falaj("apply").out
    assert fresh.falaj("plan").out == "nothing would change\n"
    assert fresh.json("apply")["epoch"] == 1
    fresh.edit("fraud.py", "num_trees=40", "num_trees=50")
    assert fresh.falaj("plan").out.splitlines() == [
        "  ~ model fraud",
        "      ~ trainer.params.num_trees: 40 -> 50",
        "carry it out with 'falaj apply'",
    ]
    assert fresh.json("apply")["epoch"] == 2


def test_a_view_is_shown_as_the_text_of_an_engine(fresh: FalajProject) -> None:
    fresh.falaj("apply")
    text = fresh.falaj("features", "sql", "card_activity", "--engine", "bigquery").out
    assert text.startswith("-- Feature view card_activity for bigquery: not executed by this project.\n")
    assert "FROM `transactions`" in text
    assert "executed and tested" in fresh.json("features", "sql", "card_activity")["text"]
    assert fresh.refused("features", "sql", "card_activity", "--engine", "oracle")["code"] == "input_invalid"


def test_a_feature_that_production_uses_cannot_be_removed(serving: FalajProject) -> None:
    whole = (serving.folder / "fraud.py").read_text()
    serving.edit("fraud.py", '        "last_country": fj.last("country"),\n', "")
    planned = serving.run("plan")
    assert planned.code == 5  # so that a pipeline stops here
    shown = planned.out
    assert "      - features.last_country\n" in shown
    assert "feature 'last_country' is removed; production model 'fraud' version 1 uses it (refused)" in shown
    assert "carry it out" not in shown
    refused = serving.refused("apply")
    assert (refused["code"], refused["exit"]) == ("in_use", 5)
    assert "production model 'fraud' version 1" in refused["error"]
    (serving.folder / "fraud.py").write_text(whole)
    assert serving.falaj("plan").out == "nothing would change\n"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"fraud", model=fraud', '"other", model=fraud', "removed endpoint 'fraud'"),
        ("card_activity, amount_ratio, fj.request", "amount_ratio, fj.request", "amount_ratio"),
    ],
)
def test_what_serves_cannot_be_pulled_away(serving: FalajProject, old: str, new: str, named: str) -> None:
    serving.edit("fraud.py", old, new)
    refused = serving.refused("apply")
    assert named in refused["error"]
    assert refused["exit"] in (2, 5)


def test_a_changed_view_is_kept_beside_the_old_one(serving: FalajProject) -> None:
    serving.up()
    before = serving.ask("c1", at=NOW)
    serving.edit("fraud.py", 'fj.sum("amount", window="30d")', 'fj.sum("amount", window="2h")')
    applied = serving.falaj("apply").out
    assert "production model 'fraud' version 1 keeps the old one; both are kept up to date" in applied
    # The applied definition is read beside the one that version 1 pinned and is still served by.
    words = ("features", "get", "fraud", "--entity", "card_id=c1", "--at", NOW)

    def changed() -> object:
        found = serving.json(*words)
        values = dict(zip(found["columns"], found["values"][0], strict=True))
        return values["card_activity__amount_mean_7d"] and values["card_activity__amount_30d"] is None

    until(changed, "the changed view is materialised")
    assert serving.ask("c1", at=NOW)["prediction"] == before["prediction"]
    why = serving.json("why", serving.ask("c1", at=NOW)["request_id"])
    served = {one["name"]: one["value"] for one in why["features"]}
    assert served["card_activity__amount_30d"] > 0


def test_definitions_can_be_applied_while_it_runs(running: FalajProject) -> None:
    running.edit("fraud.py", "num_trees=40", "num_trees=45")
    assert [one["name"] for one in running.json("apply")["changes"]] == ["fraud"]
    assert running.falaj("plan").out == "nothing would change\n"
    assert running.ask()["model_version"] == 1


def test_a_folder_with_definitions_becomes_a_project_by_init(fresh: FalajProject) -> None:
    settings = fresh.folder / "falaj.toml"
    settings.unlink()
    refused = fresh.refused("plan")
    assert (refused["code"], refused["exit"]) == ("project_invalid", 2)
    assert "'falaj init' makes one" in refused["hint"]
    assert fresh.falaj("init").out.splitlines() == ["  + falaj.toml", "next: falaj plan"]
    assert 'files = ["fraud.py"]' in settings.read_text()
    assert len(fresh.json("plan")["changes"]) > 3
    again = fresh.refused("init")
    assert (again["code"], again["hint"]) == ("conflict", "go on with 'falaj plan'")
    assert fresh.refused("init", "--template", "fraud")["error"].endswith("is not empty")


def test_a_script_beside_the_definitions_does_nothing_while_they_are_read(fresh: FalajProject) -> None:
    (fresh.folder / "notebook.py").write_text("import falaj as fj\n\nfj.open('.').runs()\n")
    refused = fresh.refused("plan")
    assert (refused["code"], refused["exit"]) == ("project_invalid", 2)
    assert refused["error"].startswith("notebook.py:3: fj.open() would act on the project")
    assert "files = [...]" in refused["hint"]


TORN = {
    "syntax": ("features={", "features={{", "project_invalid", "fraud.py:"),
    "unknown_name": ("fj.lightgbm(", "fj.lightgdm(", "project_invalid", "lightgdm"),
    "window": ('window="1h"', 'window="1 hour"', "definition_invalid", "1 hour"),
    "dtype": ('dtype="string"', 'dtype="text"', "definition_invalid", "dtype 'text' does not exist"),
    "metric": ('at_least("auc"', 'at_least("gini"', "definition_invalid", "gini"),
    "on_demand_reference": ("card_activity:amount_mean_7d", "card_activity:mean_7d", "definition_invalid", "mean_7d"),
    "on_demand_arguments": ("amount_ratio(amount, a", "amount_ratio(a", "definition_invalid", "takes 1 arguments"),
    "column": ('fj.sum("amount"', 'fj.sum("amuont"', "definition_invalid", "amuont"),
    "key": ('key="card_id"', 'key="kard_id"', "definition_invalid", "'kard_id'"),
    "label": ('column="is_fraud"', 'column="fraudulent"', "definition_invalid", "fraudulent"),
    "request_field": ('[card_activity, ', '[fj.request("fee"), card_activity, ', "definition_invalid", "'fee'"),
    "timestamp": ('timestamp="event_time"', 'timestamp="time"', "data_invalid", "'time'"),
    "check": ('between("amount"', 'between("sum"', "data_invalid", "'sum'"),
    "files": ("data/transactions/*.parquet", "data/none/*.parquet", "data_invalid", "data/none/*.parquet"),
    "steps": ("steps=[10, 50, 100]", "steps=[10, 50]", "definition_invalid", "100"),
    "rule": ("fj.error_ratio > 0.05", "fj.error_ratio > 5", "definition_invalid", "error_ratio > 5"),
    "twice": ("fraud_features = ", "a = fj.Entity('card', key='k')\nfraud_features = ", "definition_invalid", "card"),
}  # fmt: skip


@pytest.mark.parametrize("name", TORN)
def test_a_torn_definition_is_one_clear_sentence(fresh: FalajProject, name: str) -> None:
    old, new, code, named = TORN[name]
    text = (fresh.folder / "fraud.py").read_text()
    assert old in text
    (fresh.folder / "fraud.py").write_text(text.replace(old, new))
    refused = fresh.refused("plan")
    assert (refused["code"], refused["exit"]) == (code, 2), refused
    assert named in refused["error"]
    assert "\n" not in refused["error"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("[project\n", "falaj.toml"),
        ("[gateway]\nprot = 1\n", "prot"),
        ('[gateway]\nport = "many"\n', "port"),
        ("[gateway]\nport = 70000\n", "70000"),
        ("[storage]\nonline_map_gib = 0\n", "online_map_gib"),
        ('[project]\nfiles = ["none.py"]\n', "none.py"),
    ],
)
def test_a_torn_setting_is_one_clear_sentence(fresh: FalajProject, settings: str, named: str) -> None:
    (fresh.folder / "falaj.toml").write_text(settings)
    fresh.hidden = {"FALAJ_GATEWAY_PORT"}  # the environment goes before the file
    refused = fresh.refused("plan")
    assert (refused["code"], refused["exit"]) == ("project_invalid", 2), refused
    assert named in refused["error"]


def test_a_folder_without_a_project_says_how_to_make_one(tmp_path: Path) -> None:
    refused = FalajProject(tmp_path).refused("status")
    assert (refused["code"], refused["exit"]) == ("project_invalid", 2)
    assert "falaj init" in refused["hint"]
