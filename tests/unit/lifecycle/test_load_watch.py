"""What gateway workers cannot load is an alert until they can."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from falaj.kernel.clock import to_us
from falaj.lifecycle.load_watch import KIND, LoadWatch
from falaj.monitoring.alerts import AlertRecord, list_alerts
from falaj.serving.stats import LoadError, WorkerStats, write_stats
from support.rooms_world import World, definitions, opened

NEW = LoadError("fraud", "artifact ab12 is missing", older=False)
OLD = LoadError("fraud", "artifact ab12 is missing", older=True)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project with one endpoint and no version."""
    with opened(tmp_path, definitions()) as found:
        yield found


def report(world: World, worker: str, *errors: LoadError) -> None:
    now_us = to_us(world.clock.now())
    write_stats(WorkerStats(worker=worker, written_us=now_us, load_errors=list(errors)), world.rooms.state.stats)


def seen(world: World, watch: LoadWatch, *, only_open: bool = True) -> list[AlertRecord]:
    """Let the watch look, a second later, and return its alerts."""
    world.clock.advance(1.0)
    assert not watch.run_pass(world.clock.now())
    with world.rooms.db.read() as connection:
        return [one for one in list_alerts(connection, only_open=only_open) if one.alert.rule == KIND]


def test_an_alert_is_open_as_long_as_a_worker_fails(world: World) -> None:
    watch = LoadWatch(world.rooms)
    report(world, "gateway-0")
    assert seen(world, watch) == []
    report(world, "gateway-0", OLD)
    report(world, "gateway-1")
    (alert,) = seen(world, watch)
    assert (alert.alert.severity, alert.alert.subject) == ("warning", "fraud")
    assert alert.alert.message.startswith("1 of 2 gateway workers cannot load it, and its older version goes on")
    report(world, "gateway-0", OLD)
    report(world, "gateway-1", NEW)
    (alert,) = seen(world, watch)
    assert alert.alert.severity == "critical"
    assert "2 of 2 gateway workers cannot load it, and it is answered with 503" in alert.alert.message
    world.clock.advance(60.0)
    assert len(seen(world, watch)) == 1  # nobody reports: nothing is known
    report(world, "gateway-0")
    after = LoadWatch(world.rooms)  # of a control that started since
    assert seen(world, after) == []
    assert len(seen(world, after, only_open=False)) == 1
