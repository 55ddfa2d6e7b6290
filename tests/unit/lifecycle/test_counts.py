"""Counters of gateway workers: rates, what a rollout is judged by, and who goes by what was published."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.lifecycle.adoption import wait_adopted
from falaj.lifecycle.counts import read_counts
from falaj.lifecycle.promotion import roll_back_endpoint
from falaj.lifecycle.publication import Publication, publish_snapshots
from falaj.lifecycle.rates import RATE_SPAN_S, Rates
from falaj.rollout.evidence import Counts
from falaj.rollout.table import TOPIC
from falaj.storage.keyvalue.snapshots import read_epoch
from falaj.storage.metadata.outbox import last_announced
from support.rooms_world import ADA, Deaths, Killed, World, definitions, opened

ONE = ("fraud", 1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project with one version that serves and one on its way."""
    with opened(tmp_path, definitions()) as found:
        for _ in range(2):
            version = found.register()
            found.approve(version)
            found.deploy(version)
        yield found


@given(st.lists(st.tuples(st.floats(0.1, 40), st.integers(0, 100)), max_size=30))
def test_a_rate_is_that_between_now_and_half_a_minute_ago(steps: list[tuple[float, int]]) -> None:
    rates, seen, now_s, count = Rates(), [(0.0, 0)], 0.0, 0
    rates.observe(0.0, {ONE: 0})
    for pause_s, more in steps:
        now_s, count = now_s + pause_s, count + more
        rates.observe(now_s, {ONE: count})
        seen.append((now_s, count))
    # The newest look that is half a minute old or older, but another than the last; else the first.
    old = [look for look in seen[:-1] if look[0] <= now_s - RATE_SPAN_S] or seen[:1]
    wanted = (count - old[-1][1]) / (now_s - old[-1][0]) if steps else None
    assert rates.per_second(ONE) == wanted
    assert rates.per_second(("fraud", 2)) == (0.0 if steps else None)


def test_a_candidate_that_nobody_asked_is_known_to_have_no_requests(world: World) -> None:
    assert read_counts(world.rooms, "fraud") == {}  # no worker reports: unknown, not none
    world.answered(1, 10, variant="champion")
    assert read_counts(world.rooms, "fraud") == {"candidate": Counts()}
    world.answered(2, 7, 3)
    world.answered(2, 100, 100, variant="champion")  # of another name
    found = read_counts(world.rooms, "fraud")["candidate"]
    assert (found.total, found.errors) == (7, 3)
    world.clock.advance(3600)  # the workers are gone; what they counted stays
    assert read_counts(world.rooms, "fraud")["candidate"].total == 7


def test_a_rollback_that_was_killed_before_it_was_published_is_published_by_a_pass(world: World) -> None:
    rooms = world.rooms
    publish_snapshots(rooms)
    deaths = Deaths(rooms, 1, committing=False)
    with pytest.raises(Killed):
        roll_back_endpoint(rooms, "fraud", ADA, "no")
    assert deaths.died
    del vars(rooms.db)["write"]
    with rooms.db.read() as connection:
        wanted = last_announced(connection)
    assert (world.serving(), read_epoch(rooms.online) < wanted) == ({1: 100}, True)
    publication = Publication(rooms)
    assert publication.run_pass(world.clock.now())
    assert read_epoch(rooms.online) == wanted
    assert not publication.run_pass(world.clock.now())


def test_what_no_worker_goes_by_is_not_adopted(world: World) -> None:
    assert not wait_adopted(world.rooms, timeout_s=0)
    with world.rooms.db.read() as connection:
        wanted = last_announced(connection, TOPIC)
    world.answered(1, 1, variant="champion")
    assert not wait_adopted(world.rooms, timeout_s=0)
    world.adopt(wanted - 1)
    assert not wait_adopted(world.rooms, timeout_s=0)
    world.adopt(wanted)
    assert wait_adopted(world.rooms, timeout_s=0)
