"""The tour in YAML is the tour of the README: the same plan, and the same applied document."""

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import falaj
from falaj.definitions.yaml.files import is_marked
from falaj.definitions.yaml.schema import json_schema
from falaj.definitions.yaml.text import read_nodes
from falaj.definitions.yaml.value import Values
from falaj.kernel.settings import Settings
from falaj.lifecycle.project import load_definitions
from support.json_schema import faults
from support.tour import transactions, write_rows

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "write-definitions-in-yaml.md"


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "falaj.cli.main", *words]
    source = str(Path(falaj.__file__).parents[1])
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": source}, capture_output=True, text=True, check=False)


def falaj_json(folder: Path, *words: str) -> Any:
    done = run(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def applied_document(folder: Path) -> str:
    with sqlite3.connect(folder / ".falaj" / "falaj.db") as connection:
        rows = connection.execute("select document from applied").fetchall()
    connection.close()
    assert len(rows) == 1
    return str(rows[0][0])


def test_the_same_plan_and_the_same_document(tmp_path: Path) -> None:
    tours = {"fraud.py": blocks(ROOT / "README.md", "python")[0], "fraud.yaml": blocks(PAGE, "yaml")[0]}
    plans, documents = [], []
    for name, text in tours.items():
        folder = tmp_path / name.replace(".", "_") / "tour"
        folder.mkdir(parents=True)
        (folder / name).write_text(text, "utf-8")
        write_rows(folder / "data" / "transactions" / "2026-01.parquet", transactions(50))
        falaj_json(folder, "init")
        plans.append(falaj_json(folder, "plan"))
        falaj_json(folder, "apply")
        documents.append(applied_document(folder))
    assert plans[0] == plans[1]
    assert len(plans[0]["changes"]) == 7
    assert documents[0] == documents[1]


def test_the_schema_allows_it() -> None:
    schema = json_schema()
    node = read_nodes(blocks(PAGE, "yaml")[0].encode(), "fraud.yaml")[0]
    assert [*faults(Values(lambda *_: None).read(node, Any, "file"), schema, schema)] == []


def test_the_smaller_examples_can_be_loaded(tmp_path: Path) -> None:
    whole, named, _ = blocks(PAGE, "yaml")
    assert is_marked(whole.encode())
    function = whole[whole.index("    code: |\n") : whole.index("feature_services:")]
    whole = whole.replace(function, named[named.index("    function:") :])
    (tmp_path / "fraud.yaml").write_text(whole, "utf-8")
    code = "\n".join(line.removeprefix("      ") for line in function.splitlines()[1:])
    (tmp_path / "ratios.py").write_text(code, "utf-8")
    (tmp_path / "night.py").write_text(blocks(PAGE, "python")[0], "utf-8")
    found = load_definitions(tmp_path, Settings())
    assert {*found.feature_views} == {"card_activity", "night_activity"}
    assert "np.maximum" in found.on_demand_views["amount_ratio"].code


def test_the_error_shown_is_the_one_given(tmp_path: Path) -> None:
    (shown,) = blocks(PAGE, "text")
    whole = blocks(PAGE, "yaml")[0]
    (tmp_path / "fraud.yaml").write_text(whole.replace("count: {window: 1h}", "count: {windw: 1h}"), "utf-8")
    (tmp_path / "falaj.toml").write_text("")
    done = run(tmp_path, "plan")
    assert (done.returncode, done.stderr) == (2, shown)
