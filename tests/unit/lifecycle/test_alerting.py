"""Routes of alerts: each begins with what comes after it was declared."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from falaj.lifecycle.alerting import Delivering, Triage
from falaj.monitoring.alert_message import AlertMessage
from falaj.monitoring.alerts import Alert, open_alert
from falaj.monitoring.routes import LOG
from support.rooms_world import World, definitions, opened


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path, definitions()) as found:
        yield found


def alert(world: World, subject: str) -> None:
    with world.rooms.db.write() as connection:
        open_alert(connection, Alert("drift", "critical", subject, "it drifted", {}, 0))


def test_a_route_is_told_nothing_of_the_past_whichever_reconciler_comes_first(world: World) -> None:
    told: list[AlertMessage] = []

    def send(message: AlertMessage) -> str:
        told.append(message)
        return ""

    now, route = world.clock.now(), Delivering(world.rooms, LOG, send)
    alert(world, "before")
    assert not route.run_pass(now)
    Triage(world.rooms).run_pass(now)
    route.run_pass(now)
    begun = len(told)
    alert(world, "after")
    Triage(world.rooms).run_pass(now)
    route.run_pass(now)
    assert len(told) == begun + 1
