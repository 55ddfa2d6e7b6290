"""The demo, from raw data to retraining, on its own data and on both real files; its figures computed again."""

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from sklearn.metrics import average_precision_score, roc_auc_score

from support.falaj_project import COMMAND, FalajProject

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
STREAM = SHARED / "card_transactions_stream.parquet"
TIMELESS = SHARED / "credit_card_fraud_10k.csv"
_WITHIN_S = 900


class Demo(NamedTuple):
    """A demo that has run.

    Attributes:
        project: What it left.
        summary: What it printed.
    """

    project: FalajProject
    summary: dict[str, Any]

    def stages(self) -> dict[str, str]:
        """Stage to its state."""
        return {stage["name"]: stage["state"] for stage in self.summary["stages"]}

    def answers(self) -> list[dict[str, Any]]:
        """What was answered, in order."""
        lines = (self.project.folder / "answers.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


def _run(folder: Path, data: Path | None) -> Demo:
    project = FalajProject(folder)
    words = [str(COMMAND), "demo", "fraud", "--into", str(folder), "--json", *(["--data", str(data)] if data else [])]
    done = subprocess.run(
        words, capture_output=True, text=True, env=project.environment(), timeout=_WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return Demo(project, json.loads(done.stdout))


def _real(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"shared/data/{path.name} is not beside the repository")
    return path


@pytest.mark.timeout(_WITHIN_S)
@pytest.mark.parametrize("kind", ["generated", "real"])
def test_the_loop_closes(tmp_path: Path, kind: str) -> None:
    demo = _run(tmp_path / "demo", None if kind == "generated" else _real(STREAM))
    summary = demo.summary
    assert set(demo.stages().values()) == {"done"}
    assert summary["gate"] == "PASS"
    assert summary["rows_quarantined"] == (3 if kind == "generated" else 0)
    assert summary["verified"] == "PASS"
    assert summary["values_verified"] > 1000
    assert summary["drift"] is not None
    assert summary["retrained"].startswith("drift")
    assert (summary["version"], summary["promoted"]) == (1, 2)
    assert summary["requests_failed"] == 0
    _check_decisions(demo)
    _check_test_metrics(demo)
    steady = demo.project.folder / "data" / "stream" / "1-steady.transactions.jsonl"
    _check_realised(demo, len(steady.read_text().splitlines()))
    _check_rows(demo)
    demo.project.falaj("audit", "verify")


@pytest.mark.timeout(_WITHIN_S)
def test_data_without_time_goes_as_far_as_it_can(tmp_path: Path) -> None:
    demo = _run(tmp_path / "demo", _real(TIMELESS))
    not_applicable = {name for name, state in demo.stages().items() if state.startswith("not applicable")}
    assert not_applicable == {"streaming", "late labels", "drift", "retraining", "canary"}
    assert demo.summary["gate"] == "PASS"
    assert demo.summary["verified"] == "PASS"
    assert demo.summary["drift"] is None
    assert demo.summary["rows_ingested"] == 10_000
    _check_decisions(demo)
    _check_test_metrics(demo)
    _check_realised(demo, len(demo.answers()))


def _table(demo: Demo, name: str) -> Any:
    return DeltaTable(demo.project.state / "tables" / name).to_pyarrow_table()


def _check_decisions(demo: Demo) -> None:
    """Every answered decision is in the table once, with the answer that was given."""
    rows = _table(demo, "predictions").to_pylist()
    logged = {row["request_id"]: row for row in rows}
    answers = demo.answers()
    assert len(rows) == len(logged) == len(answers) == demo.summary["requests_served"]
    for answer in answers:
        row = logged[answer["request_id"]]
        assert (row["score"], row["version"]) == (answer["prediction"], answer["model_version"])


def _check_test_metrics(demo: Demo) -> None:
    """AUC and average precision of version 1, from the scores of its test rows and from its dataset's labels."""
    versions = demo.project.json("models", "list", "fraud")
    first = next(one for one in versions if one["version"] == 1)
    result = demo.project.json("runs", "show", first["run_id"])["result"]
    digest = result["evaluate"]["scores"]
    scored = pq.read_table(next(demo.project.state.glob(f"blobs/**/{digest}*")))
    labels, scores = scored["label"].to_numpy(), scored["score"].to_numpy()
    assert roc_auc_score(labels, scores) == pytest.approx(demo.summary["auc"], abs=1e-12)
    assert average_precision_score(labels, scores) == pytest.approx(demo.summary["average_precision"], abs=1e-12)
    demo.project.falaj("dataset", "export", first["dataset"], "dataset.parquet")
    dataset = pq.read_table(demo.project.folder / "dataset.parquet")
    assert dataset.filter(pc.field("split") == "test").column("label").to_pylist() == labels.tolist()


def _check_realised(demo: Demo, steady: int) -> None:
    """Realised AUC, precision and recall of the first decisions, from the tables of decisions and outcomes alone."""
    decided = {row["request_id"]: row for row in _table(demo, "predictions").to_pylist()}
    outcomes = {row["request_id"]: row["outcome"] for row in _table(demo, "feedback").to_pylist()}
    ids = [answer["request_id"] for answer in demo.answers()[:steady]]
    labels = np.array([outcomes[request_id] for request_id in ids])
    scores = np.array([decided[request_id]["score"] for request_id in ids])
    realised = demo.summary["realised"]
    assert roc_auc_score(labels, scores) == pytest.approx(realised["auc"], abs=1e-9)
    assert average_precision_score(labels, scores) == pytest.approx(realised["average_precision"], abs=1e-9)


def _check_rows(demo: Demo) -> None:
    """Rows and streamed events, from the source tables alone."""
    streamed = 0
    for name in ("transactions", "chargebacks"):
        files = _table(demo, f"source/{name}").column("_file").to_pylist()
        streamed += files.count("stream")
    assert streamed == demo.summary["events_streamed"]
