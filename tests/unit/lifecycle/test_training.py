"""The training pipeline on real rooms, its steps in this process, and what a step that is done twice leaves alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from falaj.app.local_gateway import decide
from falaj.app.operations.model import train
from falaj.app.operations.prediction import why
from falaj.app.values.model import Train
from falaj.app.values.prediction import WhyQuery
from falaj.governance.access import SYSTEM
from falaj.lifecycle import judging
from falaj.lifecycle.documents import tracking_of
from falaj.lifecycle.mirror import MirrorStages
from falaj.models.gate_report import Outcome
from falaj.models.version import ModelVersion
from falaj.pipelines.context import StepContext
from falaj.pipelines.runs import RunState, get_run, list_runs, run_outputs, run_steps
from falaj.pipelines.submission import cancel, end_run
from support.rooms_work import work
from support.rooms_world import ADA, EVE, World, definitions, event, opened


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project whose model was trained once."""
    with opened(tmp_path_factory.mktemp("trained"), definitions()) as world:
        rng = np.random.default_rng(1)
        amounts = rng.normal(50, 20, 600)
        world.clock.advance(36_000)
        world.push(
            *(event(n * 10, label=int(a + rng.normal() > 60), amount=a) for n, a in enumerate(amounts.tolist())),
            event(0, label=0, amount=amounts[0]),
        )
        work(world, train(world.rooms, ADA, Train("fraud")).run_id)
        yield world


def newest(world: World) -> ModelVersion:
    return world.rooms.registry.versions("fraud")[0]


def test_a_version_says_where_it_is_tracked_and_how_many_labels_it_knew(trained: World) -> None:
    version = newest(trained)
    assert version.labels == 456  # of 600, of which one was sent twice: the last day's are not mature
    assert version.mlflow_run_id
    with tracking_of(trained.rooms) as tracking:
        assert tracking.begin("fraud", version.run_id, 0) == version.mlflow_run_id
    card = trained.rooms.blobs.get(version.documents["card.md"]).decode()
    assert f"| MLflow run | `{version.mlflow_run_id}` |" in card


def test_registering_again_after_a_crash_changes_nothing(trained: World, tmp_path: Path) -> None:
    rooms, before = trained.rooms, newest(trained)
    assert before.gate_outcome is Outcome.PASS
    step = next(step for step in run_steps(rooms.db, before.run_id) if step.name == "register")
    asked = rooms.approvals.find(kind="model", subject=before.subject)
    rooms.approvals.reject(asked[0].id, EVE, "no")  # somebody decided before the step was tried again
    trained.clock.advance(3600)
    context = StepContext(
        run_id=before.run_id, step="register", attempt=2, params=step.spec.params, files={}, folder=tmp_path,
        inputs=run_outputs(rooms.db, before.run_id), checkpoint=tmp_path, open_resources=lambda: rooms,
    )  # fmt: skip
    assert judging.register(context) == {"version": before.version}
    assert rooms.registry.versions("fraud") == [before]
    assert [one.state for one in rooms.approvals.find(kind="model")] == ["REJECTED"]


def test_the_same_data_is_not_computed_again(trained: World) -> None:
    before = newest(trained)
    run = work(trained, train(trained.rooms, ADA, Train("fraud")).run_id)
    cached = {step.name for step in run_steps(trained.rooms.db, run.id) if step.cached}
    assert cached == {"features", "train"}
    assert newest(trained).dataset_digest == before.dataset_digest


def test_stages_are_mirrored_until_it_is_done(trained: World) -> None:
    rooms = trained.rooms
    mirroring = MirrorStages(rooms)

    def look() -> bool:
        return mirroring.run_pass(trained.clock.now())

    def end(state: RunState) -> None:
        mirrored = list_runs(rooms.db, pipeline="mirror:fraud")[0]
        now_us = int(trained.clock.now().timestamp() * 1e6)
        with rooms.db.write() as connection:
            end_run(connection, mirrored.id, state, now_us, None)

    assert look()
    assert not look()  # it is under way
    end(RunState.FAILED)
    assert not look()
    trained.clock.advance(600)
    assert look()  # the disk may have room again
    cancel(rooms.db, rooms.clock, list_runs(rooms.db, pipeline="mirror:fraud")[0].id, by=SYSTEM)
    trained.clock.advance(600)
    assert not look()
    rooms.registry.transition("fraud", newest(trained).version, "staging", SYSTEM)
    assert look()
    run = list_runs(rooms.db, pipeline="mirror:fraud")[0]
    work(trained, run.id)
    assert f"staging is fraud/{newest(trained).version}" in run_outputs(rooms.db, run.id)["mirror"]["changes"]
    assert get_run(rooms.db, run.id).state is RunState.SUCCEEDED
    assert not look()


def test_a_decision_is_explained_beside_a_damaged_segment(trained: World) -> None:
    rooms = trained.rooms
    run = work(trained, train(rooms, ADA, Train("fraud", "a look")).run_id)
    trained.clock.advance(1)
    trained.approve(newest(trained))
    trained.deploy(newest(trained))
    instance = {"entities": {"card_id": "c1"}, "request": {"amount": 20.0}}
    answer = decide(rooms, ADA, "fraud", [instance])[0]
    (rooms.state.log / "predictions" / "gateway-9-0000000001.seg").write_bytes(b"no frames")
    told = why(rooms, ADA, WhyQuery(answer["request_id"]))
    assert (told.score, told.run_id, told.run_reason) == (answer["prediction"], run.id, "a look")
    assert told.approved_by == ("eve",)
