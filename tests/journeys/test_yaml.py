"""Definitions in YAML, from the shell: planned, applied, served by, and refused with their places."""

import json
import re
import shutil
from pathlib import Path

import pytest

from support.falaj_project import FalajProject
from support.tour import DEFINITIONS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-definitions-in-yaml.md"


def tour_in_yaml() -> str:
    """The page's tour, with the few trees of the tests' tour."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(blocks[0]).replace("num_trees: 150", "num_trees: 40")


@pytest.fixture
def written(fresh: FalajProject) -> FalajProject:
    """The tour's project with its definitions in YAML, and nothing done yet."""
    (fresh.folder / "fraud.py").unlink()
    (fresh.folder / "fraud.yaml").write_text(tour_in_yaml())
    return fresh


def test_a_folder_with_yaml_becomes_a_project_that_is_planned_applied_and_trained(written: FalajProject) -> None:
    (written.folder / "falaj.toml").unlink()
    assert written.falaj("init").out.splitlines() == ["  + falaj.toml", "next: falaj plan"]
    assert 'files = ["fraud.yaml"]' in (written.folder / "falaj.toml").read_text()
    assert [(one["action"], one["kind"], one["name"]) for one in written.json("plan")["changes"]] == [
        ("added", "entity", "card"),
        ("added", "source", "transactions"),
        ("added", "feature_view", "card_activity"),
        ("added", "on_demand_view", "amount_ratio"),
        ("added", "feature_service", "fraud"),
        ("added", "model", "fraud"),
        ("added", "endpoint", "fraud"),
    ]
    assert written.json("apply")["epoch"] == 1
    assert written.falaj("plan").out == "nothing would change\n"
    written.edit("fraud.yaml", "num_trees: 40", "num_trees: 50")
    assert "      ~ trainer.params.num_trees: 40 -> 50" in written.falaj("plan").out.splitlines()
    assert written.json("status")
    written.falaj("ingest", "transactions")
    made = written.json("dataset", "build", "fraud")
    assert made


def test_what_serves_goes_on_when_its_definitions_are_written_in_yaml(serving: FalajProject) -> None:
    (serving.folder / "fraud.py").unlink()
    (serving.folder / "fraud.yaml").write_text(tour_in_yaml())
    assert serving.falaj("plan").out == "nothing would change\n"
    serving.edit("fraud.yaml", "      last_country: {last: country}\n", "")
    refused = serving.refused("apply")
    assert (refused["code"], refused["exit"]) == ("in_use", 5)
    assert "production model 'fraud' version 1" in refused["error"]


def test_yaml_and_python_make_one_project(fresh: FalajProject) -> None:
    sources = tour_in_yaml().partition("feature_views:")[0]
    (fresh.folder / "sources.yml").write_text(sources)
    features = DEFINITIONS[DEFINITIONS.index("card_activity = ") :]
    features = features.replace("entity=card, source=transactions", "entity=fj.ref.entity('card'), source=transactions")
    head = "import numpy as np\nimport falaj as fj\ntransactions = fj.ref.source('transactions')\n"
    fresh.json("apply")
    (fresh.folder / "fraud.py").write_text(head + features)
    assert fresh.falaj("plan").out == "nothing would change\n"
    refused = fresh.refused("apply") if shutil.copy(fresh.folder / "sources.yml", fresh.folder / "more.yaml") else {}
    assert refused["error"].startswith("sources.yml:4:5: entity 'card' is defined twice, first in more.yaml:4:5")


TORN = {
    "syntax": ("sources:\n", "sources\n", "project_invalid", "fraud.yaml:"),
    "field": ("timestamp: event", "timestmap: event", "definition_invalid", "fraud.yaml:13:5: source tr"),
    "window": ("{count: {window: 1h}}", "{count: {window: 1 hour}}", "definition_invalid", "fraud.yaml:24:37: count"),
    "dtype": ("    dtype: string", "    dtype: text", "definition_invalid", "fraud.yaml:6:12: entity 'card' key"),
    "metric": ("metric: auc, bound", "metric: gini, bound", "definition_invalid", "fraud.yaml:55:28: gate at_least"),
    "model": ("    model: fraud", "    model: frod", "definition_invalid", "fraud.yaml:61:12: model 'frod' does"),
    "steps": ("[10, 50, 100]", "[10, 50]", "definition_invalid", "100"),
    "rule": ("error_ratio > 0.05", "error_ratio > 5", "definition_invalid", "error_ratio > 5"),
    "column": ("{sum: {column: amount", "{sum: {column: amuont", "definition_invalid", "amuont"),
    "twice": ("    key: card_id\n", "    key: card_id\n    key: id\n", "definition_invalid", "fraud.yaml:6:5: 'key'"),
    "tag": ("key: card_id", "key: !!python/name:os.system", "definition_invalid", "fraud.yaml:5:10: tag"),
    "tab": ("    key: card_id", "\tkey: card_id", "project_invalid", "fraud.yaml:5:1: not YAML"),
}  # fmt: skip


@pytest.mark.parametrize("name", TORN)
def test_a_torn_definition_is_one_clear_sentence(written: FalajProject, name: str) -> None:
    old, new, code, named = TORN[name]
    written.edit("fraud.yaml", old, new)
    refused = written.refused("plan")
    assert (refused["code"], refused["exit"]) == (code, 2), refused
    assert named in refused["error"]
    assert refused["hint"]
    assert "\n" not in refused["error"]


def test_the_schema_is_printed_for_editors(fresh: FalajProject) -> None:
    assert json.loads(fresh.falaj("schema").out) == fresh.json("schema")
    assert fresh.json("schema")["properties"]["sources"]["type"] == "array"
