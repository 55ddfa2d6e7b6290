"""The page on predicting a number, as it stands: its model is trained, judged, served, measured and shadowed."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.falaj_project import FalajProject
from support.tour import write_rows
from support.trained import officer
from support.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "predict-a-number.md"
FIRST = datetime(2025, 3, 1, tzinfo=UTC)
HOURS = 700


def write_hours(path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = []
    for hour in range(HOURS):
        at = FIRST + timedelta(hours=hour)
        for station, busy in (("north", 220), ("south", 120)):
            heat, weekend = float(rng.normal(20, 8)), int(at.weekday() >= 5)
            rides = max(0, round(busy + 5 * heat - 60 * weekend + float(rng.normal(0, 10))))
            rows.append({"hour_id": f"{station}-{hour}", "at": at, "station_id": station, "heat": heat,
                         "weekend": weekend, "rides": rides})  # fmt: skip
    write_rows(path, rows)


@pytest.fixture
def project(tmp_path: Path) -> Any:
    found = FalajProject(tmp_path / "rides")
    found.folder.mkdir()
    (found.folder / "falaj.toml").write_text('[project]\nname = "bicycles"\n')
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (found.folder / "rides.py").write_text(code)
    write_hours(found.folder / "data" / "spring.parquet")
    yield found
    found.end()


def test_a_number_is_learned_served_measured_and_shadowed(project: FalajProject) -> None:
    project.falaj("apply")
    trained = project.json("train", "rides")
    assert trained["gate"] == "PASS", trained["checks"]
    assert {"rmse", "mae", "wape", "r2"} <= set(trained["metrics"])
    project.falaj("approve", "rides", "1", token=officer(project))
    assert project.json("deploy", "demand")["state"] == "serves"
    assert "RMSE" in project.falaj("models", "list").out
    gate = project.falaj("models", "show", "rides", "1", "--gate").out
    assert project.json("models", "show", "rides", "1", "--gate")["model"] == "rides"  # the report alone
    assert "rmse" in gate and "positive" not in gate and "r2 of one feature alone" in gate
    assert project.json("train", "rides", "--reason", "a second one")["version"] == 2
    project.up()
    project.falaj("shadow", "demand", "2")

    after = FIRST + timedelta(hours=HOURS)
    asked = [_hour("north", float(heat), after) for heat in np.linspace(0, 40, 120)]
    answers = project.gateway("POST", "/v1/endpoints/demand/predict", asked).json()
    assert all(set(one) >= {"prediction", "request_id"} and "threshold" not in one for one in answers)
    colder, warmer = answers[0]["prediction"], answers[-1]["prediction"]
    assert 150 < colder < 300 < warmer < 450
    _over_open_inference(project, asked[60], answers[60]["prediction"])

    outcomes = [{"request_id": one["request_id"], "outcome": one["prediction"] + 7.5} for one in answers]
    taken = project.gateway("POST", "/v1/feedback", outcomes)
    assert (taken.status, taken.json()) == (200, {"accepted": 120}), taken.text
    assert project.gateway("POST", "/v1/feedback", {"request_id": "x", "outcome": "many"}).status == 400
    found = until(lambda: _realised(project), "outcomes are measured")
    assert found["realised"]["mae"] == pytest.approx(7.5) and found["realised"]["rmse"] == pytest.approx(7.5)
    assert set(found["intervals"]) == {"rmse", "mae", "wape", "r2"} and found["estimated"] == {}
    assert "not estimated for a regression" in project.falaj("monitor", "demand").out
    why = project.json("why", answers[0]["request_id"])
    assert (why["version"], why["score"], why["outcome"]) == (1, colder, pytest.approx(colder + 7.5))
    beside = until(lambda: _shadowed(project), "the shadow is compared")
    assert beside["changed"] is None and beside["shadow_quality"]["metrics"]["rmse"]["value"] > 0
    assert "would change" not in project.falaj("shadow", "demand").out


def _hour(station: str, heat: float, at: datetime) -> dict[str, Any]:
    return {"entities": {"station_id": station}, "request": {"heat": heat, "weekend": 0}, "at": at.isoformat()}


def _over_open_inference(project: FalajProject, hour: dict[str, Any], expected: float) -> None:
    (output,) = project.gateway("GET", "/v2/models/demand").json()["outputs"]
    assert (output["name"], output["datatype"]) == ("prediction", "FP64")
    body = {
        "parameters": {"at": hour["at"]},
        "inputs": [
            {"name": "station_id", "shape": [1], "datatype": "BYTES", "data": [hour["entities"]["station_id"]]},
            {"name": "heat", "shape": [1], "datatype": "FP64", "data": [hour["request"]["heat"]]},
            {"name": "weekend", "shape": [1], "datatype": "INT64", "data": [0]},
        ],
    }
    reply = project.gateway("POST", "/v2/models/demand/infer", body)
    assert reply.status == 200, reply.text
    (answer,) = [one for one in reply.json()["outputs"] if one["name"] == "prediction"]
    assert answer["data"] == [expected]


def _realised(project: FalajProject) -> dict[str, Any]:
    found: dict[str, Any] = project.json("monitor", "demand")
    return found if found["outcomes"] == 120 else {}


def _shadowed(project: FalajProject) -> dict[str, Any]:
    """The comparison, once all outcomes are in it."""
    beside = json.loads(project.falaj("shadow", "demand", "--json").out)["beside"]
    return next((one["comparison"] for one in beside if one["comparison"]["shadow_quality"]["labelled"] == 120), {})
