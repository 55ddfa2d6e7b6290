"""Thresholds of models that know their training rows by heart: they are chosen on rows that those did not see."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import falaj as fj
from falaj.app.operations.model import train
from falaj.app.values.model import Train
from falaj.models.evaluation import best_threshold
from falaj.models.version import ModelVersion
from falaj.pipelines.runs import run_outputs
from support.rooms_work import work
from support.rooms_world import ADA, World, definitions, endpoint, event, model, opened, view

COST = fj.Cost(false_positive=1, false_negative=10)
BY_HEART = fj.lightgbm(num_trees=200, num_leaves=31, min_data_in_leaf=2, learning_rate=0.3)


def noisy(world: World, rows: int = 1_500) -> World:
    """Rows whose label the amount says one time in two, and whose numbers let trees learn each by heart."""
    rng = np.random.default_rng(3)
    world.clock.advance(500_000)
    amounts = rng.normal(50, 20, rows)
    labels = rng.random(rows) < 1 / (1 + np.exp(-(amounts - 60) / 10))
    world.push(
        *(event(n * 5, label=int(y), amount=float(x)) for n, (x, y) in enumerate(zip(amounts, labels, strict=True)))
    )
    return world


def version_of(world: World) -> ModelVersion:
    work(world, train(world.rooms, ADA, Train("fraud")).run_id)
    return world.rooms.registry.versions("fraud")[0]


def made(folder: Path, **changes: Any) -> ModelVersion:
    fields = {"label": fj.Label(view().source, "is_fraud", delay="1h"), "trainer": BY_HEART, "cost": COST} | changes
    folder.mkdir()
    with opened(folder, definitions(endpoint(of=model(**fields)))) as world:
        return version_of(noisy(world))


def test_what_costs_least_is_chosen_on_rows_that_were_kept_from_the_fit(tmp_path: Path) -> None:
    version = made(tmp_path / "plain")
    assert version.threshold is not None
    # Its scores of the rows that it knows by heart lie at 0 and 1: any threshold between would have cost nothing there.
    assert version.threshold < 0.1
    calibrated = made(tmp_path / "calibrated", calibrate="isotonic")
    assert calibrated.threshold is not None
    assert calibrated.threshold == pytest.approx(1 / 11, abs=0.1)  # where both mistakes cost the same
    for one in (version, calibrated):
        found = {name: value for name, value in one.metrics.items() if value is not None}
        assert found["cost"] <= 1 - found["positives"] / found["rows"]  # what deciding yes every time costs


def test_too_few_rows_for_two_parts_choose_as_they_are(tmp_path: Path) -> None:
    with opened(tmp_path, definitions(endpoint(of=model(cost=COST, split=fj.split.random(test=0.5))))) as world:
        world.clock.advance(500_000)
        world.push(*(event(n * 300, label=int(n in (3, 7)), amount=float(n)) for n in range(30)))
        version = version_of(world)
        assert run_outputs(world.rooms.db, version.run_id)["train"]["threshold"] is None  # no rows to choose on
    assert version.threshold is not None
    assert 0 < version.threshold <= 1


def test_a_threshold_of_rows_known_by_heart_says_nothing() -> None:
    assert best_threshold(np.array([0.99, 0.98, 0.01, 0.02]), np.array([1, 1, 0, 0]), COST) == pytest.approx(0.5)
