"""The page on ensembles, as it stands: its definitions apply, in Python and in YAML, and mean the same."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import falaj
from support.tour import write_tour

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "combine-models.md"


def falaj_json(folder: Path, *words: str) -> Any:
    source = str(Path(falaj.__file__).parents[1])
    command = [sys.executable, "-m", "falaj.cli.main", *words, "--json"]
    done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": source}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert isinstance(found, str)
    return found


def test_the_page_applies_and_yaml_changes_nothing(tmp_path: Path) -> None:
    write_tour(tmp_path, rows=300)
    (definitions,) = [path for path in tmp_path.glob("*.py") if "fj.FeatureService(" in path.read_text("utf-8")]
    tour = definitions.read_text("utf-8")
    definitions.write_text(tour + block("python"), "utf-8")
    changes = falaj_json(tmp_path, "apply")["changes"]
    added = {change["name"] for change in changes if change["kind"] == "ensemble"}
    assert added == {"together", "ballot", "stacked", "careful"}

    in_yaml = {"together", "careful"}
    kept = [line for line in block("python").splitlines() if line.split(" ")[0] not in in_yaml]
    definitions.write_text(tour + "\n".join(kept) + "\n", "utf-8")
    (tmp_path / "ensembles.yaml").write_text("falaj: 1\n" + block("yaml"), "utf-8")
    assert falaj_json(tmp_path, "plan")["changes"] == []
