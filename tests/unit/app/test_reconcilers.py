"""The reconcilers that are control's own: landing, tidying and expiry."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from falaj.app.reconcilers import Expiry, Landing, Tidying, reconcilers
from falaj.definitions.policy import Policy
from support.rooms_world import ADA, World, definitions, event, opened


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project with one endpoint and no version."""
    with opened(tmp_path, definitions()) as found:
        yield found


def test_each_has_a_name_of_its_own_and_may_find_nothing_to_do(world: World) -> None:
    found = reconcilers(world.rooms)
    assert len({one.name for one in found}) == len(found)
    assert [one.name for one in found if one.run_pass(world.clock.now())] == []


def test_events_are_landed_once(world: World) -> None:
    rooms, landing = world.rooms, Landing(world.rooms)
    rooms.events.accept(rooms.definitions.source("tx"), rooms.applied.document.schemas["tx"], [event(1), event(2)])
    for _ in range(2):
        assert not landing.run_pass(world.clock.now())  # what comes meanwhile waits for its next pass
    assert rooms.tables.read("source/tx").count_rows() == 2


def test_small_files_are_joined_however_often_control_starts(world: World) -> None:
    for number in range(61):
        world.push(event(number))
        if number in (20, 40):
            Tidying(world.rooms).run_pass(world.clock.now())  # each in a process of its own
    tidying, before = Tidying(world.rooms), world.rooms.tables.version("source/tx")
    assert tidying.run_pass(world.clock.now())
    assert world.rooms.tables.version("source/tx") != before
    assert not tidying.run_pass(world.clock.now())
    rows = world.rooms.tables.read("source/tx").to_table()
    assert sorted(rows.column("id").to_pylist()) == sorted(f"t{number}" for number in range(61))


def test_a_question_lapses_at_its_deadline(world: World) -> None:
    world.apply(definitions(policy=Policy(expires="1h")))
    expiry, deadline = Expiry(world.rooms), world.clock.now() + timedelta(hours=1)
    asked = world.rooms.approvals.request("model", "fraud/1", ADA, deadline=deadline)
    world.clock.set(deadline - timedelta(microseconds=1))
    assert not expiry.run_pass(world.clock.now())
    world.clock.set(deadline)
    assert expiry.run_pass(world.clock.now())
    assert not expiry.run_pass(world.clock.now())
    assert world.rooms.approvals.get(asked.id).state == "EXPIRED"
