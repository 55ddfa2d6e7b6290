"""The steps on the project: what they do for whom, and what they refuse, on real rooms in this process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pytest

import falaj as fj
from falaj import steps
from falaj.app import opened as opened_projects
from falaj.definitions.step import StepFunction
from falaj.definitions.trace import StepOptions, tracing
from falaj.governance.access import Actor, Role
from falaj.kernel.errors import AccessDenied, Conflict, DataError, DefinitionError, InputError, ProjectError
from falaj.lifecycle.own_runs import start_call
from falaj.pipelines.context import StepContext
from falaj.pipelines.runs import run_outputs
from falaj.pipelines.traced import graph_of
from support.rooms_work import work, work_to_its_end
from support.rooms_world import ADA, World, definitions, event, opened

HERE = "falaj.steps.project"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project with six hundred labelled events, which have been pushed and not landed."""
    with opened(tmp_path_factory.mktemp("steps"), definitions()) as world:
        rng = np.random.default_rng(1)
        world.clock.advance(36_000)
        amounts = rng.normal(50, 20, 600).tolist()
        world.push(*(event(n * 10, label=int(a + rng.normal() > 60), amount=a) for n, a in enumerate(amounts)))
        yield world


def called(world: World, step: str, /, **arguments: Any) -> tuple[str, Any]:
    """Call a step as a notebook does; return the run, and what it gave."""
    run_id = start_call(world.rooms, f"{HERE}:{step}", arguments, ADA)
    work(world, run_id)
    return run_id, run_outputs(world.rooms.db, run_id)[step]["result"]


def booster(data: pa.Table, features: list[str], rounds: int) -> lightgbm.Booster:
    """A model of somebody's own code."""
    matrix = np.column_stack([data.column(name).to_numpy() for name in features])
    learning = lightgbm.Dataset(matrix, data.column("label").to_numpy(), feature_name=features)
    return lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, learning, rounds)


def test_pushed_events_are_landed_before_they_are_counted(world: World) -> None:
    assert called(world, "ingest", source="tx")[1] == {"source": "tx", "accepted": 0, "quarantined": 0, "version": 0}
    assert called(world, "validate", source="tx")[1] == {"rows": 600, "quarantined": 0, "warnings": {}}


def test_a_training_set_has_the_parts_that_the_gate_will_use(world: World) -> None:
    run_id, given = called(world, "build_dataset", name="fraud")
    assert given["features"] == ["activity__seen", "activity__amount_mean", "amount"]
    assert (given["label"], given["time"]) == ("label", "event_timestamp")
    assert given["versions"].keys() == {"tx"}
    again = called(world, "build_dataset", name="fraud")[1]
    assert (again["digest"], run_id) == (given["digest"], run_id)
    whole = world.rooms.datasets.load(given["digest"])
    assert given["train"].keys() == {"$kept", "$output"}
    assert set(whole.column("split").to_pylist()) >= {"train", "test"}


def test_rows_that_somebody_asks_about_get_their_features(world: World) -> None:
    sql = 'SELECT card_id, "at" AS event_timestamp, amount FROM tx LIMIT 5'
    given = called(world, "build_dataset", name="fraud_features", sql=sql)[1]
    assert world.rooms.datasets.get(given["digest"]).rows == 5
    run_id = start_call(world.rooms, f"{HERE}:build_dataset", {"name": "fraud_features"}, ADA)
    assert "has no rows of its own" in str(work_to_its_end(world, run_id).error)


def test_an_attempt_after_a_killed_one_registers_nothing_twice(world: World, tmp_path: Path) -> None:
    rooms = world.rooms
    run_id, given = called(world, "build_dataset", name="fraud")
    rows = rooms.datasets.load(given["digest"])
    model = booster(rows, given["features"], 10)

    def attempt(number: int, of: Any, checkpoint: str = "of the step") -> Any:
        context = StepContext(
            run_id=run_id, step="register", attempt=number, params={}, inputs={}, files={},
            folder=tmp_path / str(number), checkpoint=tmp_path / checkpoint, open_resources=lambda: rooms,
        )  # fmt: skip
        return steps.register.function(of, "fraud", context, versions=given["versions"])

    first = attempt(1, model)
    assert (first["version"], first["gate"]) == (1, "PASS")
    version = rooms.registry.get("fraud", 1)
    assert (version.run_id, version.dataset_digest, version.gate_digest) == (run_id, given["digest"], first["report"])
    assert version.trainer["from"] == f"step register of run {run_id}"
    world.clock.advance(60)
    assert attempt(2, model) == first
    with pytest.raises(Conflict, match="has registered version 1"):
        attempt(3, booster(rows, given["features"], 5), "of another step")
    assert [one.version for one in rooms.registry.versions("fraud")] == [1]


def test_a_model_that_takes_other_columns_is_refused(world: World, tmp_path: Path) -> None:
    run_id, _ = called(world, "ingest", source="tx")
    context = StepContext(
        run_id=run_id, step="register", attempt=1, params={}, inputs={}, files={}, folder=tmp_path,
        checkpoint=tmp_path, open_resources=lambda: world.rooms,
    )  # fmt: skip
    table = pa.table({"size": np.arange(200.0), "label": np.arange(200) % 2})
    trained = steps.train(table, "label", trainer=fj.lightgbm(num_trees=2), features=["size"])
    with pytest.raises(InputError, match="takes size float64, and model 'fraud' is given activity__seen int64"):
        steps.register.function(trained, "fraud", context)
    with pytest.raises(InputError, match="a dict is no model"):
        steps.register.function({}, "fraud", context)


def test_a_model_of_another_task_is_refused(world: World, tmp_path: Path) -> None:
    """Numbers that happen to lie between 0 and 1 are no probabilities."""
    run_id, given = called(world, "build_dataset", name="fraud")
    context = StepContext(
        run_id=run_id, step="register_number", attempt=1, params={}, inputs={}, files={}, folder=tmp_path,
        checkpoint=tmp_path / "checkpoint", open_resources=lambda: world.rooms,
    )  # fmt: skip
    rows = world.rooms.datasets.load(given["digest"])
    trainer = fj.sklearn("sklearn.ensemble.RandomForestRegressor", n_estimators=5, max_depth=3)
    trained = steps.train(rows, "label", trainer=trainer, features=given["features"], task="regression")
    before = len(world.rooms.registry.versions("fraud"))
    with pytest.raises(InputError, match="was trained as a regression, and model 'fraud' is a classification"):
        steps.register.function(trained, "fraud", context)
    assert len(world.rooms.registry.versions("fraud")) == before


@pytest.mark.parametrize(
    ("function", "arguments", "error"),
    [
        (f"{HERE}:register", {"name": "fraud", "model": {"$file": "/etc/hostname"}}, InputError),
        (f"{HERE}:register", {"name": "fraud", "model": [{"$secret": "key"}]}, InputError),
        (f"{HERE}:_acting", {}, InputError),
        ("falaj.steps.learn:train", {}, InputError),
        ("os:system", {"command": "true"}, InputError),
    ],
)
def test_a_call_reaches_nothing_but_the_steps(
    world: World, function: str, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        start_call(world.rooms, function, arguments, ADA)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ingest", {"source": "tx"}),
        ("validate", {"source": "tx"}),
        ("build_dataset", {"name": "fraud"}),
        ("register", {"name": "fraud", "model": {"$kept": "lightgbm", "$digest": "0" * 64}}),
    ],
)
def test_a_scope_that_does_not_cover_a_step_refuses_it(world: World, name: str, arguments: dict[str, Any]) -> None:
    narrow = Actor("ada", Role.ENGINEER, ("run.*", "source.*@other", "dataset.*@other", "model.*@other"))
    with pytest.raises(AccessDenied):
        start_call(world.rooms, f"{HERE}:{name}", arguments, narrow)


def test_no_step_of_a_users_own_is_given_the_stores() -> None:
    with tracing() as trace:
        taken(source="tx")
    with pytest.raises(DefinitionError, match="which steps of your own are not given"):
        graph_of("sly", trace)


def _taken(source: str, context: StepContext) -> str:
    return f"{source} {context.resources}"


taken = StepFunction(_taken, StepOptions(engine="project"))
taken.name = "taken"


def test_a_table_is_checked_by_the_rules_of_sources() -> None:
    rows = pa.table({"amount": [1.0, 20.0, None], "city": ["sur", "sur", None]})
    found = steps.validate(rows=rows, checks=[fj.check.between("amount", 0, 10, severity="warn")])
    assert found == {"rows": 3, "quarantined": 0, "warnings": {"amount is not between 0 and 10": 1}}
    with pytest.raises(DataError, match="1 of 3 rows fail a check: city is null"):
        steps.validate(rows=rows, checks=[fj.check.not_null("city")])
    with pytest.raises(DataError, match="has no column 'town'"):
        steps.validate(rows=rows, checks=[fj.check.not_null("town")])
    with pytest.raises(InputError, match="a source's name or a table"):
        steps.validate()


def test_where_no_project_is_open_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened_projects, "_OPENED", [])
    with pytest.raises(ProjectError, match="none is open here") as refused:
        steps.ingest("tx")
    assert "fj.open" in refused.value.hint
