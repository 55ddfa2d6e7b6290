"""The calls of the tour in a notebook, with nothing running and with everything up."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from support.falaj_project import FalajProject

CELLS = """
import json, sys
import falaj as fj

p = fj.open(".")
training = p.training_set("fraud")
df = training.to_pandas()
asked = p.training_set("fraud", df[["card_id", "event_timestamp", "amount"]].tail(3), engine="duckdb")
same = asked.to_pandas()["card_activity__velocity_24h"].tolist() == df["card_activity__velocity_24h"].tail(3).tolist()
query = "SELECT card_id, event_time AS event_timestamp, amount FROM transactions ORDER BY event_time LIMIT 5"
online = p.online("fraud", entities={"card_id": ["c1", "c2"]}).to_pandas()
answer = p.predict("fraud", entities={"card_id": "c1"}, request={"amount": 12.5})
print(json.dumps({
    "digest": training.digest,
    "rows": len(df),
    "columns": list(df.columns),
    "asked": [len(asked), len(p.training_set("fraud", query)), asked.dataset.created_by, same],
    "splits": sorted(set(df["split"])),
    "online": list(online["card_id"]),
    "answer": answer,
    "why": p.why(answer["request_id"]).score,
    "runs": p.runs().to_pandas()["state"].tolist(),
    "versions": p.versions("fraud").to_pandas()["version"].tolist(),
}))
"""


def _cells(project: FalajProject) -> dict[str, Any]:
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
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("up", [False, True], ids=["alone", "up"])
def test_the_tours_calls(serving: FalajProject, up: bool) -> None:
    if up:
        serving.up()
    found = _cells(serving)
    version = serving.json("models", "list", "fraud")[0]
    assert found["digest"] == version["dataset"], "the same data gives the dataset that the version was trained on"
    assert found["rows"] > 1000
    assert {"card_activity__velocity_1h", "amount_ratio", "amount", "label", "split"} <= set(found["columns"])
    assert found["asked"] == [3, 5, "owner", True]
    assert {"test", "train"} <= set(found["splits"])
    assert found["online"] == ["c1", "c2"]
    assert 0 <= found["answer"]["prediction"] <= 1
    assert found["why"] == found["answer"]["prediction"]
    assert "SUCCEEDED" in found["runs"]
    assert found["versions"] == [1]
