"""Watching on real rooms: each version is judged by its own decisions, and shown with its own verdicts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import falaj as fj
from falaj.app.operations.monitor import monitor_status
from falaj.lifecycle.promotion import roll_back_endpoint
from falaj.lifecycle.watching import Watching
from falaj.models.version import ModelVersion
from falaj.monitoring.alerts import list_alerts
from support.rooms_world import ADA, World, definitions, endpoint, opened

WATCHED = endpoint(monitor=fj.monitor(window=200, persistence=1))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project whose endpoint judges windows of 200 decisions."""
    with opened(tmp_path, definitions(WATCHED)) as found:
        yield found


def serve(world: World) -> ModelVersion:
    """Let a new version with references take all of the endpoint's traffic."""
    version = world.register(reference_digest=world.references())
    world.approve(version)
    if world.deploy(version).state == "rolling out":
        world.promote(version)
    return version


def watch(world: World) -> None:
    world.clock.advance(1)
    Watching(world.rooms).run_pass(world.clock.now())


def test_after_a_rollback_the_present_versions_own_verdicts_are_shown(world: World) -> None:
    serve(world)
    world.decided(1, 400, good=True)
    watch(world)
    assert monitor_status(world.rooms, "fraud").outcome == "NO_DRIFT"
    serve(world)
    assert monitor_status(world.rooms, "fraud").at_us == 0  # it has not been looked at yet
    world.decided(2, 400, mean=500.0, good=False)
    watch(world)
    withdrawn = monitor_status(world.rooms, "fraud")
    world.clock.advance(1)
    roll_back_endpoint(world.rooms, "fraud", ADA, "it is worse")
    shown = monitor_status(world.rooms, "fraud")
    assert (withdrawn.outcome, shown.outcome) == ("DRIFT", "NO_DRIFT")
    assert withdrawn.features[0].feature == "amount"
    with world.rooms.db.read() as connection:
        assert list_alerts(connection, only_open=True) == []
