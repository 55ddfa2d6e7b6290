"""Watching on real rooms: each version is judged by its own decisions, and shown with its own verdicts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import falaj as fj
from falaj.app.operations.monitor import monitor_status
from falaj.kernel.errors import CorruptionError, DefinitionError
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


def test_segments_and_estimates_are_shown_beside_what_was_measured(tmp_path: Path) -> None:
    by = "activity__seen"
    watched = endpoint(monitor=fj.monitor(window=2000, persistence=1, segments=[by]))
    with opened(tmp_path, definitions(watched)) as world:
        version = world.register(reference_digest=world.references(segments=[by]))
        world.approve(version)
        world.deploy(version)
        world.decided(1, 2000, good=True)
        world.clock.advance(86_401)
        world.decided(1, 1)  # by which the others are old enough for their labels
        watch(world)
        shown = monitor_status(world.rooms, "fraud")
    assert shown.outcome == "NO_DRIFT"
    assert sorted(shown.segments) == [f"{by}={value}" for value in range(9)]
    assert {one.outcome for one in shown.segments.values()} == {"NO_DRIFT"}
    for segment in shown.segments.values():
        assert 0.5 < segment.realised["auc"].lower < segment.realised["auc"].upper <= 1.0
    assert shown.estimate == "estimated by CBPE from 2000 scores, without outcomes"
    assert shown.estimated["precision"].lower < shown.intervals["precision"].value < shown.estimated["precision"].upper
    assert shown.realised["auc"] == shown.intervals["auc"].value


def test_a_segment_that_a_version_knows_nothing_of_is_named(tmp_path: Path) -> None:
    by = "activity__seen"
    watched = endpoint(monitor=fj.monitor(window=2000, persistence=1, segments=[by]))
    with opened(tmp_path, definitions(watched)) as world:
        version = world.register(reference_digest=world.references())
        world.approve(version)
        world.deploy(version)
        assert monitor_status(world.rooms, "fraud").segments == {}
        world.decided(1, 2000, good=True)
        watch(world)
        shown = monitor_status(world.rooms, "fraud").segments
    assert sorted(shown) == [by, *(f"{by}={value}" for value in range(9))]  # realised quality needs no reference
    assert {one.outcome for one in shown.values()} == {"INCONCLUSIVE"}
    assert "train another" in shown[by].quality


def test_an_estimate_opens_no_alert_and_is_no_realised_figure(world: World) -> None:
    """The scores fall together as if there were nothing to find; only their own drift is told."""
    serve(world)
    world.decided(1, 400)
    watch(world)
    shown = monitor_status(world.rooms, "fraud")
    assert (shown.realised, shown.outcomes) == ({}, 0)
    assert shown.estimated["auc"].value > 0.8
    with world.rooms.db.read() as connection:
        assert list_alerts(connection) == []


def test_segments_that_a_model_does_not_take_are_refused(tmp_path: Path) -> None:
    watched = endpoint(monitor=fj.monitor(segments=["activity__sen"]))
    with (
        pytest.raises(DefinitionError, match="'activity__sen', which its model does not take") as refused,
        opened(tmp_path, definitions(watched)),
    ):
        pass
    assert "activity__seen" in refused.value.hint
