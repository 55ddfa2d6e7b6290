"""A model that is tuned and calibrated, from its training rows to its answers, on real rooms."""

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

import falaj as fj
from falaj.app.local_gateway import decide
from falaj.app.operations.model import train
from falaj.app.operations.prediction import why
from falaj.app.values.model import Train
from falaj.app.values.prediction import WhyQuery
from falaj.lifecycle.documents import tracking_of
from falaj.lifecycle.pipeline import training_graph
from falaj.models.artifacts import load_artifact
from falaj.models.parity import Parity
from falaj.models.runtimes.calibrated import Calibration
from falaj.models.tuning.found import Found
from falaj.models.version import ModelVersion
from falaj.pipelines.runs import run_outputs, run_steps
from support.rooms_work import work
from support.rooms_world import ADA, World, definitions, endpoint, event, model, opened, source

TUNED = fj.tuned(
    fj.lightgbm(num_trees=20),
    {"num_leaves": fj.search.int(2, 8), "boosting": fj.search.choice(["gbdt", "dart"])},
    trials=4,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project whose tuned and calibrated model was trained once."""
    wanted = definitions(
        endpoint(of=model(trainer=TUNED, calibrate="isotonic", label=fj.Label(source(), "is_fraud", delay="1h")))
    )
    with opened(tmp_path_factory.mktemp("tuned"), wanted) as world:
        rng = np.random.default_rng(1)
        amounts = rng.normal(50, 20, 900)
        world.clock.advance(36_000)
        world.push(*(event(n * 10, int(a + 15 * rng.normal() > 60), amount=a) for n, a in enumerate(amounts.tolist())))
        work(world, train(world.rooms, ADA, Train("fraud")).run_id)
        yield world


def newest(world: World) -> ModelVersion:
    return world.rooms.registry.versions("fraud")[0]


def test_the_best_trial_is_what_was_trained(trained: World) -> None:
    version, rooms = newest(trained), trained.rooms
    outputs = run_outputs(rooms.db, version.run_id)
    found = msgspec.convert(outputs["tune"]["found"], Found)
    assert len(found.trials) == 4
    assert found.value == max(trial.value or 0 for trial in found.trials if trial.state == "done")
    assert found.trainer.params in [{"num_trees": 20, **trial.params} for trial in found.trials]
    assert version.trainer["params"] == found.trainer.params and version.trainer["tuning"] is None
    used = outputs["train"]["params"]
    assert used["num_leaves"] == found.trainer.params["num_leaves"] and used["search.trials"] == 4


def test_its_search_is_part_of_what_mlflow_shows(trained: World) -> None:
    version = newest(trained)
    with tracking_of(trained.rooms) as tracking, tracking._client() as client:
        params = client.get_run(version.mlflow_run_id).data.params
        files = [file.path for file in client.list_artifacts(version.mlflow_run_id, "search")]
    assert params["search.trials"] == "4" and params["calibrate"] == "isotonic"
    assert float(params["search.auc"]) > 0.5
    assert files == ["search/trials.json"]


def test_what_is_served_is_calibrated(trained: World) -> None:
    version, rooms = newest(trained), trained.rooms
    assert version.artifact.calibration
    calibration = Calibration.decode(rooms.blobs.get(version.artifact.calibration))
    width = len(version.signature.inputs)
    rows = np.random.default_rng(2).normal(50, 20, (200, width)).astype(np.float32)
    bare = load_artifact(rooms.blobs, msgspec.structs.replace(version.artifact, calibration=""), width)
    served = load_artifact(rooms.blobs, version.artifact, width)
    assert np.array_equal(served.predict(rows), calibration.apply(bare.predict(rows)))
    assert not np.allclose(served.predict(rows), bare.predict(rows), atol=0.01)
    train_step = run_outputs(rooms.db, version.run_id)["train"]
    assert msgspec.convert(train_step["parity"], Parity).holds
    parts = rooms.datasets.load(version.dataset_digest).column("split").to_pylist()
    gap = 5  # ten minutes apart: the labels of these were not known when the first row that calibrates happened
    assert calibration.rows + train_step["train_rows"] + gap == parts.count("train")


def test_a_decision_is_taken_by_the_probability(trained: World) -> None:
    version, rooms = newest(trained), trained.rooms
    if rooms.approvals.find(kind="model", subject=version.subject):
        trained.approve(version)
    trained.deploy(version)
    (answer,) = decide(rooms, ADA, "fraud", [{"entities": {"card_id": "c1"}, "request": {"amount": 90.0}}])
    calibration = Calibration.decode(rooms.blobs.get(version.artifact.calibration))
    record = why(rooms, ADA, WhyQuery(answer["request_id"]))
    given = {feature.name: np.nan if feature.value is None else feature.value for feature in record.features}
    vector = np.array([[given[spec.name] for spec in version.signature.inputs]], np.float32)
    bare = load_artifact(rooms.blobs, msgspec.structs.replace(version.artifact, calibration=""), vector.shape[1])
    assert answer["prediction"] == calibration.apply(bare.predict(vector))[0] > 0.5


def test_the_same_search_is_not_done_again(trained: World) -> None:
    run = work(trained, train(trained.rooms, ADA, Train("fraud")).run_id)
    assert {step.name for step in run_steps(trained.rooms.db, run.id) if step.cached} == {"features", "tune", "train"}


def test_only_a_model_that_searches_has_the_step(trained: World) -> None:
    assert [step.name for step in training_graph(trained.rooms, "fraud").steps].count("tune") == 1
    trained.apply(definitions(endpoint(of=model())))
    assert "tune" not in [step.name for step in training_graph(trained.rooms, "fraud").steps]
