"""MLflow's aliases and tags after crashes and strangers' hands: what our transitions say, and nothing else."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from falaj.app.backends import workers_for
from falaj.app.operations.run import list_runs
from falaj.app.values.run import RunsQuery
from falaj.governance.access import SYSTEM
from falaj.lifecycle.documents import tracking_of
from falaj.lifecycle.mirror import MirrorStages
from falaj.models.mlflow_writing import load_mlflow
from falaj.models.version import ModelVersion
from support.rooms_world import ADA, World, definitions, opened


@pytest.fixture
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, list[ModelVersion]]]:
    """Two approved versions, both in MLflow."""
    folder = tmp_path_factory.mktemp("mirror")
    (folder / "falaj.toml").write_text('[project]\nname = "shop"\n')  # which the mirror's own process reads
    with opened(folder, definitions()) as world:
        versions = [world.register(), world.register()]
        with tracking_of(world.rooms) as tracking:
            for version in versions:
                tracking.begin(version.model, version.run_id, 1_000_000)
                tracking.register(version)
                world.approve(version)
        yield world, versions


def said(world: World) -> tuple[dict[str, str], list[str]]:
    """What MLflow says: version by alias, and each version's lifecycle."""
    client = load_mlflow().MlflowClient(f"sqlite:///{world.rooms.state.mlflow_db}")
    with closing(client._tracking_client.store.engine.raw_connection()):
        aliases = dict(client.get_registered_model("fraud").aliases)
        lifecycles = [client.get_model_version("fraud", str(n)).tags["lifecycle"] for n in (1, 2)]
    return aliases, lifecycles


def repaired(world: World) -> None:
    """Let a control that has just started look, and work off what it finds."""
    MirrorStages(world.rooms).run_pass(world.clock.now())
    workers_for(world.rooms)[0].run_until_idle()


def test_what_a_crash_or_a_hand_left_is_brought_in_line(two: tuple[World, list[ModelVersion]]) -> None:
    world, (first, second) = two
    registry = world.rooms.registry
    for version in (first, second):
        registry.transition("fraud", version.version, "staging", SYSTEM)
        registry.transition("fraud", version.version, "production", SYSTEM)
    # Killed here: our table knows, MLflow does not.
    assert said(world) == ({}, ["development", "development"])
    repaired(world)
    in_line = ({"production": 2}, ["archived", "production"])
    assert _numbers(said(world)) == in_line

    registry.rollback("fraud", SYSTEM)
    with tracking_of(world.rooms) as tracking, tracking._client() as client:
        # Killed in the midst of mirroring, and a stranger was there too.
        client.set_model_version_tag("fraud", "1", "lifecycle", "production")
        client.set_registered_model_alias("fraud", "staging", "2")
    repaired(world)
    assert _numbers(said(world)) == ({"production": 1}, ["production", "archived"])
    assert registry.holder("fraud", "production") == registry.get("fraud", 1)


def _numbers(found: tuple[dict[str, str], list[str]]) -> tuple[dict[str, int], list[str]]:
    return {alias: int(version) for alias, version in found[0].items()}, found[1]


def test_a_mirror_is_none_of_the_runs_that_somebody_started(tmp_path: Path) -> None:
    with opened(tmp_path, definitions()) as world:
        world.register()
        world.rooms.registry.transition("fraud", 1, "staging", SYSTEM)
        MirrorStages(world.rooms).run_pass(world.clock.now())
        (listed,) = list_runs(world.rooms, ADA, RunsQuery())
        assert listed.pipeline == "mirror:fraud"
        assert list_runs(world.rooms, ADA, RunsQuery(housekeeping=False)) == []
