"""A version serves by a comparison with what is in production now, and by none with what was there before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import falaj as fj
from falaj.app.operations.model import train
from falaj.app.values.model import Train
from falaj.definitions.project import Definitions
from falaj.kernel.errors import Conflict
from falaj.lifecycle.promotion import Promotions, roll_back_endpoint
from falaj.lifecycle.wishes import wish
from falaj.models.version import ModelVersion
from support.rooms_work import work
from support.rooms_world import ADA, World, definitions, endpoint, event, model, opened, view

COMPARED = [fj.gate.no_worse_than_production("auc", by=0.2)]


def judged_by(gates: list[Any]) -> Definitions:
    return definitions(endpoint(of=model(gates=gates, label=fj.Label(view().source, "is_fraud", delay="1h"))))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path, judged_by(COMPARED)) as found:
        found.clock.advance(500_000)
        yield found


def trained(world: World, seed: int) -> ModelVersion:
    """A version of a few hundred rows more than the one before, so that its file is another."""
    rng = np.random.default_rng(seed)
    rows = enumerate(rng.normal(50, 20, 400).tolist(), 400 * seed)
    world.push(*(event(n * 5, label=int(x + 8 * rng.normal() > 60), amount=x) for n, x in rows))
    work(world, train(world.rooms, ADA, Train("fraud")).run_id)
    version = world.rooms.registry.versions("fraud")[0]
    assert version.gate_outcome == "PASS"
    return version


def serve(world: World, version: ModelVersion) -> None:
    world.approve(version)
    if world.deploy(version).state == "rolling out":
        world.promote(version)


def test_what_was_compared_with_nothing_is_not_let_in_beside_what_serves(world: World) -> None:
    first, second = trained(world, 1), trained(world, 2)
    serve(world, first)
    world.approve(second)
    for version in (None, second):
        with pytest.raises(Conflict, match="compared it with nothing, and version 1 is in production") as refused:
            world.deploy(version)
        assert "falaj train fraud" in str(refused.value.hint)
    third = trained(world, 3)
    serve(world, third)
    assert world.serving() == {third.version: 100}


def test_a_wish_waits_while_another_version_is_there_than_it_was_compared_with(world: World) -> None:
    first = trained(world, 1)
    serve(world, first)
    second, third = trained(world, 2), trained(world, 3)  # both compared with the first
    serve(world, second)
    world.approve(third)
    wish(world.rooms, "fraud", third, ADA)
    Promotions(world.rooms).run_pass(world.clock.now())
    assert world.serving() == {second.version: 100}
    roll_back_endpoint(world.rooms, "fraud", ADA, "it is worse")
    wish(world.rooms, "fraud", third, ADA)
    Promotions(world.rooms).run_pass(world.clock.now())
    assert world.serving() == {first.version: 90, third.version: 10}


def test_what_was_in_production_before_may_come_back(world: World) -> None:
    first = trained(world, 1)
    serve(world, first)
    serve(world, trained(world, 2))
    world.clock.advance(1)
    world.approve(first)
    assert world.deploy(first).state == "rolling out"


def test_without_a_comparison_nothing_is_outdated(tmp_path: Path) -> None:
    with opened(tmp_path, judged_by([fj.gate.at_least("auc", 0.5)])) as world:
        world.clock.advance(500_000)
        first, second = trained(world, 1), trained(world, 2)
        serve(world, first)
        world.approve(second)
        assert world.deploy(second).state == "rolling out"
