"""Continuing on real rooms: a version goes on from the one in production, on the new rows, and when it must not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import sqlalchemy as sa

import falaj as fj
from falaj.app.operations.model import train
from falaj.app.values.model import Train
from falaj.definitions.source import Source
from falaj.definitions.trainer import Trainer
from falaj.kernel.errors import DefinitionError
from falaj.lifecycle.continuing import label_digest, parent_of
from falaj.models.version import ModelVersion
from falaj.pipelines.runs import run_outputs, run_steps
from falaj.pipelines.tables import LINEAGE
from support.rooms_work import work
from support.rooms_world import ADA, World, definitions, endpoint, event, model, opened, source, view

SGD = "sklearn.linear_model.SGDClassifier"
WARM = fj.WarmStart(rounds=3, max_generations=2, min_rows=20)
TRAINER = fj.lightgbm(num_trees=5, warm_start=WARM)


def wanted(trainer: Trainer, **changes: Any) -> Any:
    return definitions(endpoint(of=model(trainer=trainer, **changes)))


def push(world: World, first: int, count: int) -> None:
    """Events whose amount tells their label, ten minutes apart."""
    amounts = np.random.default_rng(first).normal(50, 20, count)
    noise = np.random.default_rng(first + 1).normal(0, 5, count)
    rows = enumerate(zip(amounts.tolist(), (amounts + noise > 60).tolist(), strict=True), first)
    world.push(*(event(n * 10, label=int(label), amount=amount) for n, (amount, label) in rows))
    world.clock.advance(36_000)


def trained(world: World) -> tuple[ModelVersion, dict[str, Any]]:
    """Train, and return the version and what the run says of what it continued."""
    run = work(world, train(world.rooms, ADA, Train("fraud")).run_id)
    return world.rooms.registry.versions("fraud")[0], run_outputs(world.rooms.db, run.id)["train"]


def serve(world: World, version: ModelVersion) -> None:
    world.clock.advance(1)
    world.approve(version)
    if world.deploy(version).state == "rolling out":
        world.promote(version)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project whose first version was trained anew and serves; the tests below go on in their order."""
    with opened(tmp_path_factory.mktemp("continued"), wanted(TRAINER)) as found:
        push(found, 0, 400)
        version, told = trained(found)
        assert told["continues"]["full"] == "no version is in production"
        serve(found, version)
        yield found


def test_new_rows_continue_what_serves_and_the_same_inputs_give_the_same_model(world: World) -> None:
    push(world, 400, 200)
    second, told = trained(world)
    rows = told["continues"]["rows"]
    assert told["continues"] == {"parent": 1, "generation": 1, "rows": rows, "full": ""}
    assert 150 <= rows < 200  # as many as moved from the latest stretch, which tests, to what trains
    assert (second.parent, second.generation, second.gate_outcome) == (1, 1, "PASS")
    assert told["params"]["num_trees"] == 8
    parent = world.rooms.registry.get("fraud", 1)
    with world.rooms.db.read() as connection:
        to, came_from = LINEAGE.c.to_digest, LINEAGE.c.from_digest
        keys = connection.execute(sa.select(came_from).where(to == told["model_lightgbm"])).scalars().all()
        used = connection.execute(sa.select(came_from).where(to.in_(keys))).scalars().all()
    assert parent.artifacts["lightgbm"].digest in used
    assert "continues version 1" in world.rooms.blobs.get(second.documents["card.md"]).decode()
    again, _ = trained(world)
    assert again.artifact == second.artifact
    steps = {step.name: step.cached for step in run_steps(world.rooms.db, again.run_id)}
    assert steps["train"]  # the parent's digest is part of its key, and has not changed
    serve(world, again)


def test_what_is_another_model_is_no_continuation(world: World) -> None:
    def why(trainer: Trainer, **changes: Any) -> tuple[str, int]:
        world.apply(wanted(trainer, **changes))
        found = parent_of(world.rooms, world.rooms.definitions.model("fraud"))
        assert found is not None
        return found.full, found.version

    assert why(fj.lightgbm(num_trees=6, warm_start=WARM)) == ("the trainer is another one than that of version 3", 0)
    other = view(seen=fj.count(window="2d"), amount_mean=fj.mean("amount", window="7d"))
    assert why(TRAINER, over=other) == ("the features are other ones than those of version 3", 0)
    another = model(label=fj.Label(source(), "is_refund", delay="1d"))
    assert label_digest(another) != label_digest(model()) == world.rooms.registry.get("fraud", 3).label_digest
    assert why(fj.lightgbm(num_trees=5, warm_start=fj.WarmStart(rounds=2))) == ("", 3)  # it only goes on otherwise
    world.apply(wanted(fj.lightgbm(num_trees=5)))
    assert parent_of(world.rooms, world.rooms.definitions.model("fraud")) is None
    assert why(TRAINER) == ("", 3)


def test_few_new_rows_and_many_continuations_are_learned_anew(world: World) -> None:
    push(world, 600, 10)
    assert "rows are new, and min_rows = 20" in trained(world)[1]["continues"]["full"]
    push(world, 610, 90)
    version, told = trained(world)
    assert (version.generation, told["params"]["num_trees"]) == (2, 11)
    serve(world, version)
    push(world, 700, 100)
    version, told = trained(world)
    assert (version.parent, version.generation, told["params"]["num_trees"]) == (0, 0, 5)
    assert (
        told["continues"]["full"]
        == f"version {version.version - 1} is continuation 2 in a row, and max_generations = 2"
    )


def test_a_text_that_gets_another_code_is_no_continuation(tmp_path: Path) -> None:
    schema = {"id": "string", "card_id": "string", "at": "timestamp", "known": "timestamp", "amount": "float64",
              "is_fraud": "int64", "country": "string"}  # fmt: skip

    def told_of(of: Source) -> Any:
        service = fj.FeatureService(
            "fraud_features", [view(of), fj.request("amount", "float64"), fj.request("country", "string")]
        )
        return wanted(fj.river(learning_rate=0.05), over=view(of), features=service)

    with opened(tmp_path, told_of(source(schema=schema))) as world:
        for first, many, countries in ((0, 400, ["OM", "AE"]), (400, 200, ["OM", "AE"]), (600, 700, ["OM", "AA"])):
            amounts = np.random.default_rng(first).normal(50, 20, many).tolist()
            world.push(
                *(
                    event((first + n) * 10, label=int(a > 60), amount=a, country=countries[n % 2])
                    for n, a in enumerate(amounts)
                )
            )
            world.clock.advance(36_000)
            version, told = trained(world)
            serve(world, version)
            if first == 400:
                assert (version.parent, told["continues"]["full"]) == (1, "")
        assert told["continues"]["full"] == "the codes of 'country' changed"
        assert (version.generation, version.gate_outcome) == (0, "PASS")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fj.sklearn("sklearn.linear_model.LogisticRegression", warm_start=WARM), "cannot be written down"),
        (lambda: fj.sklearn(SGD, loss="log_loss", average=True, warm_start=WARM), "a mean of weights"),
        (lambda: fj.sklearn(SGD, loss="log_loss", warm_start=cast(Any, True)), "warm_start is True"),
        (lambda: fj.river("river.tree.HoeffdingTreeClassifier"), "cannot be written down but by pickle"),
        (lambda: fj.river(l1=0.1), "is not one that its state can be gone on with"),
        (lambda: fj.river(l2="much"), "l2 = 'much' is no number"),
        (lambda: fj.WarmStart(rounds=0), "rounds = 0 is below 1"),
        (lambda: model(trainer=fj.river(learning_rate=0.05), split=fj.split.random()), "a random split would test on"),
    ],
)
def test_what_cannot_be_continued_is_said_where_it_is_declared(make: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        make()
