"""Events taken from feeds: each once, with their positions, refused ones with the place they came from."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import falaj as fj
from falaj.data.events import Events
from falaj.data.feeds import Feeds
from falaj.data.quarantine import Quarantine
from falaj.data.report import Partition
from falaj.kernel.errors import DiskFull, InputError, StorageError
from falaj.storage.eventlog.local import LocalLog
from falaj.storage.feeds import Batch, Payload
from falaj.storage.feeds.memory import MemoryFeed
from support.data_room import EVENT_SCHEMA, DataRoom, append_lines, event, followed_source

TX = followed_source()


@pytest.fixture(params=["memory", "embedded"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataRoom]:
    in_memory = request.param == "memory"
    made = DataRoom.in_memory(tmp_path) if in_memory else DataRoom.embedded(tmp_path / ".falaj", tmp_path)
    yield made
    made.close()


def batch(first: int, *texts: str) -> Batch:
    return Batch("p/0", "topic p, 0", [Payload(first + n, first + n + 1, t.encode()) for n, t in enumerate(texts)])


def ids(room: DataRoom) -> list[str]:
    return [row["id"] for row in room.read_all("tx", EVENT_SCHEMA)]


def durable(room: DataRoom) -> dict[str, int]:
    """What another process would find."""
    return Events(room.tables, room.log, room.db, room.clock).positions("tx")


def test_what_was_taken_is_passed_over_when_a_feed_gives_it_again(room: DataRoom) -> None:
    one, two, three = (json.dumps(event(name, 1)) for name in "abc")
    assert room.events.take(TX, EVENT_SCHEMA, [batch(5, one, two)]).last_seq == 2
    again = room.events.take(TX, EVENT_SCHEMA, [batch(5, one, two)])
    assert (again.accepted, again.known, again.last_seq) == (0, 2, 0)
    more = room.events.take(TX, EVENT_SCHEMA, [batch(6, two, three)])
    assert (more.accepted, more.known) == (1, 1)
    assert ids(room) == ["a", "b", "c"]
    assert durable(room) == room.events.positions("tx") == {"p/0": 8}


def test_positions_outlive_landing_and_truncation(room: DataRoom) -> None:
    for first in range(4):
        room.events.take(TX, EVENT_SCHEMA, [batch(first, '{"at": "1970-01-01T00:00:00Z"}')])
        assert durable(room) == {"p/0": first + 1}
        if first % 2:
            room.events.truncate("tx", room.events.land_all("tx", EVENT_SCHEMA))
            assert durable(room) == {"p/0": first + 1}
    assert len(room.table("tx")) == 4


def test_refused_lines_say_where_they_came_from_and_a_replay_keeps_it(room: DataRoom) -> None:
    append_lines(room.folder / "outside" / "a.jsonl", event("a", 1), "{", event("dear", 2, 500.0), event("b", 3))
    assert room.take(TX) == 4
    room.events.land_all("tx", EVENT_SCHEMA)
    assert ids(room) == ["a", "b"]
    torn, dear = [row["_reasons"] for row in room.quarantine("tx")]
    assert "JSON" in torn[0]
    assert torn[1] == "taken from outside/a.jsonl at 64"
    assert dear == ["amount is not between 0 and 100", "taken from outside/a.jsonl at 66"]
    quarantine = Quarantine(room.tables, room.events, room.db, room.clock)
    same = quarantine.replay(TX, EVENT_SCHEMA, "ada")
    assert (same.looked_at, same.accepted, room.events.landed("tx")) == (2, 0, 4)  # nothing new was to be said
    assert "amount is not between 0 and 100" in same.reasons
    assert not any("taken from" in why for why in same.reasons)
    mended = quarantine.replay(followed_source(checks=[]), EVENT_SCHEMA, "ada")
    assert (mended.accepted, ids(room)) == (1, ["a", "b", "dear"])


def test_bytes_that_are_no_text_go_to_quarantine(room: DataRoom) -> None:
    append_lines(room.folder / "outside" / "a.jsonl", event("a", 1))
    with (room.folder / "outside" / "a.jsonl").open("ab") as file:
        file.write(b'{"id": "\xff\xfe", "at": "1970-01-01T00:00:00Z"}\n')
    assert room.take(TX) == 2
    room.events.land_all("tx", EVENT_SCHEMA)
    assert [row["_raw"] for row in room.quarantine("tx")] == ['{"id": "\\xff\\xfe", "at": "1970-01-01T00:00:00Z"}']


def test_a_file_whose_name_is_no_text_is_taken_once(room: DataRoom) -> None:
    outside = room.folder / "outside"
    outside.mkdir()
    (outside / os.fsdecode(b"caf\xe9.jsonl")).write_bytes(b'{"id": "a", "at": "1970-01-01T00:00:00Z"}\n')
    append_lines(outside / "b.jsonl", event("b", 2))
    assert room.take(TX) == 2
    assert sorted(name.partition("#")[0] for name in durable(room)) == ["outside/b.jsonl", "outside/caf\\xe9.jsonl"]
    room.feeds.close()
    assert room.take(TX) == 0


def test_a_followed_source_takes_no_pushes(room: DataRoom) -> None:
    with pytest.raises(InputError, match=r"source 'tx' takes no pushes: it follows outside/\*\.jsonl"):
        room.events.accept(TX, EVENT_SCHEMA, [event("a", 1)])


def test_the_state_says_how_far_each_partition_was_taken(room: DataRoom) -> None:
    append_lines(room.folder / "outside" / "a.jsonl", event("a", 1), event("b", 2))
    (before,) = room.feeds.state(TX).partitions
    assert (before.taken, before.end) == (0, 128)
    assert before.name.startswith("outside/a.jsonl#")
    room.feeds.take(TX, EVENT_SCHEMA, limit=1, timeout_s=0)
    assert room.feeds.state(TX).partitions == (Partition(before.name, 64, 128),)
    (room.folder / "outside" / "a.jsonl").unlink()
    assert room.feeds.state(TX).partitions == (Partition(before.name, 64, None),)


def test_what_a_full_disk_refused_is_taken_when_there_is_room(tmp_path: Path) -> None:
    full: list[int] = []

    def flush(_: int) -> None:
        if full:
            raise OSError(full.pop(), "No space left on device")

    room = DataRoom.embedded(tmp_path / ".falaj", tmp_path)
    room.use_log("tx", LocalLog.open(tmp_path / "log", flush=flush))
    append_lines(tmp_path / "outside" / "a.jsonl", *(event(f"e{n}", n) for n in range(6)))
    room.feeds.take(TX, EVENT_SCHEMA, limit=2, timeout_s=0)
    full.append(errno.ENOSPC)
    with pytest.raises(DiskFull):
        room.feeds.take(TX, EVENT_SCHEMA, limit=2, timeout_s=0)
    assert room.take(TX) == 4
    assert ids(room) == [f"e{n}" for n in range(6)]
    room.close()


def test_a_feed_of_another_definition_is_opened_anew_where_the_former_ended(room: DataRoom) -> None:
    outside = MemoryFeed()
    opened: list[str] = []

    def open_feed(source: fj.Source) -> MemoryFeed:
        opened.append(str(source.stream))
        return outside

    feeds = Feeds(room.events, open_feed)
    outside.write("p", [b'{"id": "a", "at": "1970-01-01T00:00:00Z"}'])
    assert feeds.take(TX, EVENT_SCHEMA, limit=9, timeout_s=0).accepted == 1
    other = followed_source(stream=fj.Follow("elsewhere/*"))
    outside.write("p", [b'{"id": "b", "at": "1970-01-01T00:00:00Z"}'])
    assert feeds.take(other, EVENT_SCHEMA, limit=9, timeout_s=0).accepted == 1
    feeds.keep({})
    feeds.take(other, EVENT_SCHEMA, limit=9, timeout_s=0)
    assert len(opened) == 3
    assert ids(room) == ["a", "b"]


class _FailsOnce(MemoryFeed):
    """Moves on, and fails before it gives what it moved past."""

    failed = False

    def poll(self, limit: int, timeout_s: float) -> list[Batch]:
        found = super().poll(limit, timeout_s)
        if found and not self.failed:
            _FailsOnce.failed = True
            raise StorageError("the broker went away")
        return found


def test_a_feed_that_fails_while_it_is_read_is_begun_anew_where_the_last_event_ended(room: DataRoom) -> None:
    _FailsOnce.failed = False
    opened: list[_FailsOnce] = []

    def open_feed(_source: fj.Source) -> MemoryFeed:
        opened.append(_FailsOnce())
        opened[-1].write(
            "p", [b'{"id": "a", "at": "1970-01-01T00:00:00Z"}', b'{"id": "b", "at": "1970-01-01T00:00:00Z"}']
        )
        return opened[-1]

    feeds = Feeds(room.events, open_feed)
    with pytest.raises(StorageError):
        feeds.take(TX, EVENT_SCHEMA, limit=1, timeout_s=0)
    for _ in range(2):
        feeds.take(TX, EVENT_SCHEMA, limit=1, timeout_s=0)
    assert (ids(room), len(opened)) == (["a", "b"], 2)
