"""The README's tour, as it stands: a project that the installed command puts in force."""

import json
import re
import subprocess
import sys
from pathlib import Path

import falaj
from support.tour import transactions, write_rows

ROOT = Path(__file__).parents[2]


def test_the_tour_can_be_applied(tmp_path: Path) -> None:
    block = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "fraud.py").write_text(block, "utf-8")
    write_rows(tmp_path / "data" / "transactions" / "2026-01.parquet", transactions(50))
    source = str(Path(falaj.__file__).parents[1])
    for command in ("init", "apply"):
        done = subprocess.run(
            [sys.executable, "-m", "falaj.cli.main", command, "--json"],
            cwd=tmp_path, env={"PYTHONPATH": source}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    applied = {(change["kind"], change["name"]) for change in json.loads(done.stdout)["changes"]}
    assert applied == {
        ("entity", "card"),
        ("source", "transactions"),
        ("feature_view", "card_activity"),
        ("on_demand_view", "amount_ratio"),
        ("feature_service", "fraud"),
        ("model", "fraud"),
        ("endpoint", "fraud"),
    }
