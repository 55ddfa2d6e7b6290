"""A build that is killed at any join leaves no dataset and no half file, and the same call afterwards builds it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import falaj
from support.tour import write_tour

ROWS = 10
DIES = """
import os, signal, sys
import falaj as fj
from falaj.lifecycle import frame_dataset, joining

left = int(sys.argv[1])
join = joining.Joining.join

def dies(self, frame):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return join(self, frame)

frame_dataset.BATCH_ROWS = 4
joining.Joining.join = dies
made = fj.open(".").training_set("fraud", "frame.parquet")
made.to_parquet("out")
print(made.digest)
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(Path(falaj.__file__).parents[1]), "PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def falaj_json(folder: Path, *words: str) -> Any:
    done = run(folder, "-m", "falaj.cli.main", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tour")
    write_tour(folder, rows=200)
    rows = pq.read_table(folder / "data" / "transactions" / "2025-01.parquet").slice(0, ROWS)
    frame = pa.table({"card_id": rows["card_id"], "event_timestamp": rows["event_time"], "amount": rows["amount"]})
    pq.write_table(frame, folder / "frame.parquet")
    falaj_json(folder, "apply")
    falaj_json(folder, "ingest", "transactions")
    return folder


def test_a_killed_build_is_as_if_it_had_not_begun(tour: Path) -> None:
    for joins in (0, 2):
        assert run(tour, "-c", DIES, str(joins)).returncode == -signal.SIGKILL
        assert falaj_json(tour, "dataset", "list") == []
        assert not (tour / "out").exists()
    done = run(tour, "-c", DIES, "3")
    assert done.returncode == 0, done.stderr
    (made,) = falaj_json(tour, "dataset", "list")
    assert (made["digest"], made["rows"]) == (done.stdout.strip(), ROWS)
    assert pq.read_table(tour / "out").num_rows == ROWS
