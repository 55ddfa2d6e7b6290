"""Feeds of a project: taken no faster than applied, one that fails holds back no other, and problems are said once."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import falaj as fj
from falaj.app.operations.source import ingest, list_sources, push
from falaj.app.values.source import Ingest, Push, SourceQuery
from falaj.governance.access import Actor, Role
from falaj.kernel.errors import AccessDenied, DefinitionError, InputError
from falaj.kernel.settings import EventSettings
from falaj.lifecycle.catch_up import land_events, refresh_views
from falaj.lifecycle.feeds import TakeFeeds
from support.rooms_world import ADA, SCHEMA, World, definitions, endpoint, event, model, opened, source, view

ALIVE = threading.Event()
FOLLOWED = source(stream=fj.Follow("events/*.jsonl"))


def write(world: World, *events: dict[str, Any] | str, name: str = "a.jsonl") -> Path:
    path = world.rooms.folder / "events" / name
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        for one in events:
            file.write((one if isinstance(one, str) else json.dumps(one, default=str)) + "\n")
    return path


def dated(number: int) -> dict[str, Any]:
    fields = event(number)
    return fields | {"at": fields["at"].isoformat(), "known": fields["known"].isoformat()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path, definitions(endpoint(of=model(over=view(FOLLOWED))))) as found:
        bounds = EventSettings(max_waiting=10, min_free_mib=0)
        found.rooms.settings = msgspec.structs.replace(found.rooms.settings, events=bounds)
        refresh_views(found.rooms)
        yield found


def test_no_more_is_taken_while_too_much_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falaj.lifecycle.feeds.TAKE_EVENTS", 4)
    write(world, *(dated(number) for number in range(40)))
    feeds = TakeFeeds(world.rooms)
    while feeds.take(ALIVE, wait_s=0):
        pass
    assert world.rooms.reader.head("tx") == 12  # the third four crossed the bound
    world.rooms.applier.advance("tx")
    land_events(world.rooms)
    while feeds.take(ALIVE, wait_s=0):
        world.rooms.applier.advance("tx")
        land_events(world.rooms)
    assert world.rooms.reader.head("tx") == 40


def test_ingest_takes_what_lies_there_and_says_how_far(world: World) -> None:
    path = write(world, dated(0), "no JSON", dated(1))
    (done,) = ingest(world.rooms, ADA, Ingest())
    assert (done.source, done.files, done.rows, done.accepted, done.quarantined) == ("tx", [], 3, 2, 1)
    (partition,) = done.feed.partitions
    assert partition.taken == partition.end == path.stat().st_size
    (again,) = ingest(world.rooms, ADA, Ingest("tx"))
    assert again.rows == 0
    write(world, *(dated(number) for number in range(2, 50)))  # more than may wait: this command applies and lands them
    (more,) = ingest(world.rooms, ADA, Ingest("tx"))
    assert (more.accepted, more.feed.partitions[0].taken) == (48, path.stat().st_size)
    (facts,) = list_sources(world.rooms, ADA, SourceQuery())
    assert (facts.rows, facts.streamed, facts.quarantined, facts.feed) == (50, 50, 1, more.feed)


def test_who_may_not_ingest_takes_nothing(world: World) -> None:
    write(world, dated(0))
    with pytest.raises(AccessDenied):
        ingest(world.rooms, Actor("vic", Role.VIEWER), Ingest())
    assert world.rooms.reader.head("tx") == 0


def test_a_followed_source_refuses_pushes(world: World) -> None:
    with pytest.raises(InputError, match="takes no pushes: it follows events"):
        push(world.rooms, ADA, Push("tx", [dated(0)]))


def test_a_problem_is_logged_once_and_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    path = write(world, dated(0), dated(1))
    feeds = TakeFeeds(world.rooms)
    with caplog.at_level(logging.ERROR):
        while feeds.take(ALIVE, wait_s=0):
            pass
        assert caplog.messages == []
        os.truncate(path, len(path.read_text().splitlines()[0]) + 1)
        for _ in range(3):
            feeds.take(ALIVE, wait_s=0)
    (said,) = caplog.messages
    assert said.startswith("source 'tx': events/a.jsonl has ")
    (facts,) = list_sources(world.rooms, ADA, SourceQuery())
    assert "it was cut" in facts.feed.problems["events/a.jsonl"]


def test_a_source_that_is_no_longer_followed_is_taken_no_more_and_goes_on_when_it_is_again(world: World) -> None:
    write(world, dated(0))
    feeds = TakeFeeds(world.rooms)
    assert feeds.take(ALIVE, wait_s=0)
    world.apply(definitions(endpoint()))
    write(world, dated(1))
    assert not feeds.take(ALIVE, wait_s=0)
    world.apply(definitions(endpoint(of=model(over=view(FOLLOWED)))))
    assert feeds.take(ALIVE, wait_s=0)
    assert world.rooms.reader.head("tx") == 2


def test_nothing_is_taken_when_the_process_ends(world: World) -> None:
    write(world, dated(0))
    ending = threading.Event()
    ending.set()
    assert not TakeFeeds(world.rooms).take(ending, wait_s=0)
    assert world.rooms.reader.head("tx") == 0


def test_follow_needs_a_path_and_its_source_a_schema() -> None:
    with pytest.raises(DefinitionError, match="follow has an empty path"):
        fj.Follow(" ")
    with pytest.raises(DefinitionError, match="has no files to read its types from"):
        fj.Source("tx", stream=fj.Follow("events/*.jsonl"))
    assert fj.Source("tx", stream=fj.Follow("events/*.jsonl"), schema=SCHEMA).batch is None
