"""The page on training sets, as it stands: its Python runs, and its commands give the same."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import falaj
from support.tour import write_tour

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "make-a-training-set.md"


def run(folder: Path, *words: str) -> str:
    source = str(Path(falaj.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env={"PYTHONPATH": source}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def falaj_json(folder: Path, *words: str) -> Any:
    return json.loads(run(folder, "-m", "falaj.cli.main", *words, "--json"))


def test_the_page_runs(tmp_path: Path) -> None:
    write_tour(tmp_path, rows=3_000)
    falaj_json(tmp_path, "apply")
    falaj_json(tmp_path, "ingest", "transactions")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    shown = "import json\nrows.to_parquet('rows.parquet')\nprint(json.dumps([asked.digest, len(parts), repr(asked)]))\n"
    digest, parts, text = json.loads(run(tmp_path, "-c", "\n".join([*blocks, shown])).splitlines()[-1])
    assert (parts, text[:19]) == (1, "TrainingSet(3 rows:")

    made = falaj_json(tmp_path, "dataset", "build", "fraud", "--frame", "rows.parquet", "--out", "training/")
    assert made["digest"] == digest
    table = pq.read_table(tmp_path / "training")
    assert table.num_rows == 3
    assert table.equals(pq.read_table(tmp_path / "asked.parquet"))
    assert table.equals(pq.read_table(tmp_path / "asked"))
    assert json.loads((tmp_path / "training" / "_dataset.json").read_text("utf-8"))["digest"] == digest

    assert falaj_json(tmp_path, "dataset", "show", digest) == made
    assert digest in {one["digest"] for one in falaj_json(tmp_path, "dataset", "list", "fraud")}
    lines = run(tmp_path, "-m", "falaj.cli.main", "dataset", "show", digest)
    assert "by owner, in duckdb" in lines
    assert "source   transactions: table version 0, content " in lines
