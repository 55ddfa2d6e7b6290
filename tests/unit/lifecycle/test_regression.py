"""A model that predicts a number, through its whole life: trained, judged, served, measured, and trained again."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import falaj as fj
from falaj.app.local_gateway import decide
from falaj.app.operations.model import train
from falaj.app.operations.monitor import monitor_status
from falaj.app.values.model import Train
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.model import Model
from falaj.definitions.prediction_record import FeedbackRecord
from falaj.kernel.clock import to_us
from falaj.kernel.errors import DataError
from falaj.lifecycle.examples import examples
from falaj.lifecycle.triggers import Triggers
from falaj.lifecycle.watching import Watching
from falaj.models.encoding import encode_columns
from falaj.models.gate_report import Outcome
from falaj.models.runtimes.load import load_bytes
from falaj.models.version import ModelVersion
from falaj.pipelines.runs import RunState, list_runs
from falaj.pipelines.submission import end_run as end
from falaj.serving.prediction_log import PredictionLog
from falaj.storage.eventlog.segments import SegmentWriter
from support.rooms_work import work, work_to_its_end
from support.rooms_world import ADA, World, definitions, opened

SCHEMA = {"id": "string", "place_id": "string", "at": "timestamp", "heat": "float64", "rides": "int64",
          "hot": "int64"}  # fmt: skip
RIDES = fj.Source(
    "rides", stream=fj.Push(), id="id", timestamp="at", schema=SCHEMA,
)  # fmt: skip
PLACE = fj.Entity("place", key="place_id", dtype="string")
LATELY = fj.FeatureView(
    "lately", PLACE, RIDES, {"mean_6h": fj.mean("rides", window="6h"), "last": fj.last("rides")}, delay="1h"
)


def rides(**changes: Any) -> Model:
    """How many rides begin at a place within the hour, by its heat and what began there before."""
    fields: dict[str, Any] = {
        "features": FeatureService("ride_inputs", [LATELY, fj.request("heat", "float64")]),
        "label": fj.Label(RIDES, "rides", delay="1h"),
        "trainer": fj.lightgbm(num_trees=30),
        "task": "regression",
        "slices": ["place_id"],
        "gates": [
            fj.gate.at_most("rmse", 40, slices=["place_id"]),
            fj.gate.at_least("r2", 0.5, by_interval=True),
            fj.gate.no_worse_than_production("mae", relative=0.05),
            fj.gate.no_leak(r2=0.99),
            fj.gate.robust("mae", by=1_000, under=["noise", "missing"], against="itself"),
        ],
    }
    return Model("rides", **(fields | changes))


def demand(of: Model | None = None, **changes: Any) -> Endpoint:
    fields: dict[str, Any] = {
        "rollout": fj.canary(steps=[100], bake="1m", min_requests=1),
        "monitor": fj.monitor(window=200, persistence=1, min_outcomes=50),
        "retrain": fj.retrain(on=[fj.on.performance("rmse", at_most=60)], min_new_labels=0, cooldown="1h"),
    }
    return Endpoint("demand", of or rides(), **(fields | changes))


def history(world: World, hours: int, *, start: int = 0) -> None:
    """An hour's rides at two places; they are the more the warmer it is."""
    rng = np.random.default_rng(start)
    first = world.clock.now() - timedelta(hours=hours + 2)
    rows = []
    for hour in range(hours):
        for place, busy in (("north", 200), ("south", 100)):
            heat = float(rng.normal(20, 8))
            rows.append({
                "id": f"{place}-{start + hour}", "place_id": place, "at": first + timedelta(hours=hour), "heat": heat,
                "rides": round(busy + 5 * heat + rng.normal(0, 10)), "hot": int(heat > 25),
            })  # fmt: skip
    world.push(*rows, to="rides")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened(tmp_path_factory.mktemp("rides"), definitions(demand())) as found:
        history(found, 400)
        work(found, train(found.rooms, ADA, Train("rides")).run_id)
        yield found


def newest(world: World) -> ModelVersion:
    return world.rooms.registry.versions("rides")[0]


def test_it_is_registered_with_what_its_task_has(world: World) -> None:
    version = world.rooms.registry.get("rides", 1)
    assert (version.task, version.threshold, version.signature.output) == ("regression", None, "prediction")
    assert set(version.metrics) == {"rmse", "mae", "wape", "r2", "rows"}
    assert version.gate_outcome is Outcome.PASS
    card = world.rooms.blobs.get(version.documents["card.md"]).decode()
    page = world.rooms.blobs.get(version.documents["gate.html"]).decode()
    assert "served predictions equal" in page and "What predictions rest on" in page and "scores" not in page
    assert "Predicts rides of source rides." in card and "| rmse |" in card
    assert "positive" not in card and "positive" not in page and "auc" not in card
    assert page.count("data:image/png") == 2 and "predicted and actual" in page
    assert "<td>north</td>" in page and "r2 alone" in page


def test_the_served_number_is_that_of_the_file_that_was_judged(world: World) -> None:
    version = world.rooms.registry.get("rides", 1)
    world.approve(version)
    world.deploy(version, "demand")
    instances = [
        {"entities": {"place_id": place}, "request": {"heat": heat}}
        for place in ("north", "south", "nowhere")
        for heat in (-5.0, 12.5, 33.25, None)
    ]
    answers = decide(world.rooms, ADA, "demand", instances)
    world.rooms.predictions.compact()
    records = {row["request_id"]: row for row in world.rooms.predictions.joined("demand").to_pylist()}
    served = world.rooms.registry.get("rides", 1).artifact
    runtime = load_bytes(world.rooms.blobs.get(served.digest), served.runtime, len(version.signature.inputs), name="it")
    for answer in answers:
        assert "threshold" not in answer and answer["prediction"] > 1
        logged = json.loads(records[answer["request_id"]]["features"])
        columns = {spec.name: [value] for spec, value in zip(version.signature.inputs, logged, strict=True)}
        own = runtime.predict(encode_columns(version.signature, columns))[0]
        assert answer["prediction"] == pytest.approx(own, abs=1e-5 * 300)
        assert records[answer["request_id"]]["score"] == answer["prediction"]


def test_realised_errors_are_measured_and_start_a_run(world: World) -> None:
    """Once rides double, the error grows: outcomes tell it, and the trigger trains again."""
    tell(world, 300, factor=1.0)
    Watching(world.rooms).run_pass(world.clock.now())
    found = monitor_status(world.rooms, "demand")
    assert {"rmse", "mae", "wape", "r2"} == set(found.realised) and found.outcomes == 300
    assert found.intervals["rmse"].lower <= found.intervals["rmse"].value <= found.intervals["rmse"].upper < 40
    assert found.estimated == {} and "not estimated for a regression" in found.estimate
    assert any(one.feature == "score" for one in found.features)
    triggers = Triggers(world.rooms)
    triggers.run_pass(world.clock.now())  # first sight
    assert not triggers.run_pass(world.clock.now())
    tell(world, 600, factor=2.0)
    Watching(world.rooms).run_pass(world.clock.now())
    world.clock.advance(7200)
    assert monitor_status(world.rooms, "demand").intervals["rmse"].lower > 60
    assert triggers.run_pass(world.clock.now())
    (run,) = [one for one in list_runs(world.rooms.db) if one.reason.startswith("realised rmse")]
    assert "is above 60" in run.reason
    with world.rooms.db.write() as connection:
        end(connection, run.id, RunState.CANCELLED, to_us(world.clock.now()), None)


def test_a_second_version_is_held_against_the_first(world: World) -> None:
    work(world, train(world.rooms, ADA, Train("rides", "a second one")).run_id)
    second = newest(world)
    assert second.gate_outcome is Outcome.PASS and second.version == 2
    report = world.rooms.blobs.get(second.documents["gate.md"]).decode()
    assert "mae no worse than production by 5%" in report and "against production's" in report


def test_a_name_keeps_its_task(world: World) -> None:
    """What answered a number must not answer a probability next: callers could not tell."""
    hot = rides(task="classification", label=fj.Label(RIDES, "hot", delay="1h"), gates=[fj.gate.at_least("auc", 0.5)])
    world.apply(definitions(demand(hot, retrain=None)))
    run = work_to_its_end(world, train(world.rooms, ADA, Train("rides", "as classes")).run_id)
    world.apply(definitions(demand()))
    assert (
        run.error is not None
        and "is a classification now, and its version 1 in production is a regression" in run.error
    )


def tell(world: World, rows: int, *, factor: float) -> None:
    """Decide, and report what became of each decision an hour later."""
    rng = np.random.default_rng(rows)
    heats = rng.normal(20, 8, rows)
    answers = decide(
        world.rooms, ADA, "demand",
        [{"entities": {"place_id": "north"}, "request": {"heat": float(heat)}} for heat in heats],
    )  # fmt: skip
    world.clock.advance(3601)
    at_us = to_us(world.clock.now())
    log = PredictionLog(SegmentWriter(world.rooms.state.log / "predictions", "gateway-0"), world.clock)
    log.append(
        [
            FeedbackRecord(answer["request_id"], factor * answer["prediction"] + float(rng.normal(0, 10)), at_us, at_us)
            for answer in answers
        ]
    )
    log.close()


def test_labels_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    source = fj.Source("rides", stream=fj.Push(), id="id", timestamp="at", schema=SCHEMA | {"rides": "string"})
    service = FeatureService("ride_inputs", [fj.request("heat", "float64")])
    model = rides(features=service, label=fj.Label(source, "rides"), slices=[], gates=[])
    with opened(tmp_path, definitions(demand(model))) as found:
        at = found.clock.now()
        found.push(
            *({"id": str(n), "place_id": "a", "at": at, "heat": 1.0, "rides": f"{n}"} for n in range(30)), to="rides"
        )
        spec = found.rooms.applied.document.services["ride_inputs"]
        with pytest.raises(DataError, match="a regression's label is a number"):
            examples(model, spec, found.rooms.tables)
