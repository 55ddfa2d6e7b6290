"""Watching on real rooms: each version is judged by its own decisions, and shown with its own verdicts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import falaj as fj
from falaj.app.operations.monitor import monitor_status
from falaj.kernel.errors import CorruptionError
from falaj.lifecycle.promotion import roll_back_endpoint, withdraw_endpoint
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
    assert [(one.version, one.window) for one in (withdrawn, shown)] == [("fraud/2", 200), ("fraud/1", 200)]
    assert withdrawn.features[0].feature == "amount"
    with world.rooms.db.read() as connection:
        assert list_alerts(connection, only_open=True) == []


def test_damage_in_one_place_keeps_no_other_waiting(world: World) -> None:
    second = endpoint("second", monitor=WATCHED.monitor)
    world.apply(definitions(WATCHED, second))
    for to in ("fraud", "second"):
        version = world.register(reference_digest=world.references())
        world.approve(version)
        world.deploy(version, to=to)
    world.decided(1, 400)
    world.decided(2, 400, mean=500.0, to="second")
    damaged = world.rooms.registry.get("fraud", 1).reference_digest
    world.rooms.blobs.path(damaged).chmod(0o600)
    world.rooms.blobs.path(damaged).write_bytes(b"damaged")
    with world.rooms.db.write() as connection:  # so that the two versions do not share it
        table = "UPDATE model_version SET body = replace(body, :old, :new) WHERE version = 2"
        connection.execute(sa.text(table), {"old": damaged, "new": world.references(51.0)})
    folder = world.rooms.state.log / "predictions"
    segment = folder / "gateway-9-0000000001.seg"
    segment.write_bytes(b"no frames")
    with pytest.raises(CorruptionError, match="gateway-9"):
        watch(world)
    with world.rooms.db.read() as connection:
        assert [one.alert.subject for one in list_alerts(connection, only_open=True)] == ["second"]


def test_an_endpoint_that_was_withdrawn_has_no_open_drift(world: World) -> None:
    serve(world)
    world.decided(1, 400, mean=500.0)
    watch(world)
    with world.rooms.db.read() as connection:
        assert len(list_alerts(connection, only_open=True)) == 1
    world.clock.advance(1)
    withdraw_endpoint(world.rooms, "fraud", ADA)
    with world.rooms.db.read() as connection:
        assert list_alerts(connection, only_open=True) == []
