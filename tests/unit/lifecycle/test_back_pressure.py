"""Back-pressure: while nobody applies, pushes end at a bound; afterwards they are taken again."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from falaj.app.operations.source import push
from falaj.app.running import announce, withdraw
from falaj.app.values.source import Push
from falaj.kernel.errors import DiskFull, Overloaded
from falaj.kernel.settings import EventSettings
from falaj.lifecycle.back_pressure import waiting_events
from falaj.lifecycle.catch_up import land_events, refresh_views
from support.data_room import ADA as ENGINEER
from support.rooms_world import World, definitions, endpoint, event, opened


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project whose control is said to run, and whose applier stands still; ten events may wait."""
    with opened(tmp_path, definitions(endpoint())) as found:
        bounds = EventSettings(max_waiting=10, min_free_mib=0)
        found.rooms.settings = msgspec.structs.replace(found.rooms.settings, events=bounds)
        refresh_views(found.rooms)
        announce(found.rooms.state.path, "http://127.0.0.1:1")
        yield found
        withdraw(found.rooms.state.path)


def test_pushes_end_at_the_bound_and_go_on_when_their_events_are_dealt_with(world: World) -> None:
    taken = 0
    with pytest.raises(Overloaded) as caught:
        for number in range(1_000):
            push(world.rooms, ENGINEER, Push("tx", [event(number)]))
            taken += 1
    assert taken == 11
    assert "11 events wait to be applied, and events.max_waiting is 10" in caught.value.message
    assert caught.value.retryable
    world.rooms.applier.advance("tx")
    with pytest.raises(Overloaded):  # applied, and not in the table yet: the log still has to keep them
        push(world.rooms, ENGINEER, Push("tx", [event(taken)]))
    land_events(world.rooms)
    assert push(world.rooms, ENGINEER, Push("tx", [event(taken)])).accepted == 1
    assert world.rooms.reader.head("tx") == taken + 1


def test_numbers_of_files_do_not_wait(world: World) -> None:
    push(world.rooms, ENGINEER, Push("tx", [event(0)]))
    with world.rooms.db.write() as connection:
        from falaj.data.provenance import INGEST_RANGE

        first = world.rooms.logs("tx").reserve(1_000)
        connection.execute(
            INGEST_RANGE.insert().values(source="tx", state="DONE", first_seq=first, last_seq=first + 999, plan="{}")
        )
    assert waiting_events(world.rooms, "tx") == 1
    assert push(world.rooms, ENGINEER, Push("tx", [event(1)])).accepted == 1


def test_a_disk_that_is_nearly_full_is_told_before_it_is(world: World) -> None:
    bounds = EventSettings(min_free_mib=1 << 30)
    world.rooms.settings = msgspec.structs.replace(world.rooms.settings, events=bounds)
    with pytest.raises(DiskFull, match=r"less than events\.min_free_mib"):
        push(world.rooms, ENGINEER, Push("tx", [event(0)]))
    assert world.rooms.reader.head("tx") == 0


def test_a_command_that_works_alone_makes_room_itself(world: World) -> None:
    withdraw(world.rooms.state.path)
    for number in range(40):
        assert push(world.rooms, ENGINEER, Push("tx", [event(number)])).accepted == 1
