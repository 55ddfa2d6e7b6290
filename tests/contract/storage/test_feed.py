"""What every feed must do."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.storage.feeds import Batch, Feed
from falaj.storage.feeds.files import FileFeed
from falaj.storage.feeds.memory import MemoryFeed

Write = Callable[[str, Sequence[bytes]], None]


def in_memory(_: Path) -> tuple[Callable[[], Feed], Write]:
    outside = MemoryFeed()
    return lambda: outside, outside.write


def on_files(folder: Path) -> tuple[Callable[[], Feed], Write]:
    def write(partition: str, payloads: Sequence[bytes]) -> None:
        with (folder / f"{partition}.jsonl").open("ab") as file:
            file.write(b"".join(payload + b"\n" for payload in payloads))

    folder.mkdir()
    return lambda: FileFeed(folder / "*.jsonl", folder), write


MAKERS = {"files": on_files, "memory": in_memory}


class World:
    """A feed, and somebody who writes what it gives."""

    def __init__(self, backend: str, folder: Path) -> None:
        self.open, self.write = MAKERS[backend](folder / "outside")
        self.feed = self.open()

    def restart(self, positions: dict[str, int]) -> None:
        """Let another process go on at these positions."""
        if self.feed is not self.open():
            self.feed.close()
            self.feed = self.open()
        self.feed.seek(positions)


@pytest.fixture(params=sorted(MAKERS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(request.param, tmp_path)
    yield made
    made.feed.close()
    made.feed.close()


def texts(batches: Sequence[Batch]) -> list[bytes]:
    return [payload.data for batch in batches for payload in batch.payloads]


def following(batches: Sequence[Batch]) -> dict[str, int]:
    return {batch.partition: batch.payloads[-1].following for batch in batches}


def test_payloads_come_once_and_in_order(world: World) -> None:
    assert world.feed.poll(10, 0) == []
    world.write("a", [b"1", b"2"])
    first = world.feed.poll(10, 0)
    assert texts(first) == [b"1", b"2"]
    assert world.feed.poll(10, 0) == []
    world.write("a", [b"3"])
    second = world.feed.poll(10, 0)
    assert texts(second) == [b"3"]
    assert first[0].partition == second[0].partition
    assert second[0].place


def test_positions_grow_and_each_begins_where_the_one_before_ended_or_later(world: World) -> None:
    world.write("a", [b"1", b"22", b"333"])
    (batch,) = world.feed.poll(10, 0)
    assert batch.payloads[0].position == 0
    for one, next_one in zip(batch.payloads, batch.payloads[1:], strict=False):
        assert one.position < one.following <= next_one.position
    assert world.feed.ends() == {batch.partition: batch.payloads[-1].following}


def test_no_more_than_the_limit_comes_and_the_rest_comes_next(world: World) -> None:
    world.write("a", [b"a1", b"a2", b"a3"])
    world.write("b", [b"b1", b"b2", b"b3"])
    seen = []
    while batches := world.feed.poll(2, 0):
        assert 1 <= len(texts(batches)) <= 2
        assert all(batch.payloads for batch in batches)
        seen += texts(batches)
    assert [text for text in seen if text.startswith(b"a")] == [b"a1", b"a2", b"a3"]
    assert [text for text in seen if text.startswith(b"b")] == [b"b1", b"b2", b"b3"]


def test_each_partition_has_its_own_position(world: World) -> None:
    world.write("a", [b"a1", b"a2"])
    world.write("b", [b"b1"])
    taken = following(world.feed.poll(10, 0))
    assert len(taken) == 2
    world.write("a", [b"a3"])
    world.write("c", [b"c1"])
    world.restart(taken)
    assert sorted(texts(world.feed.poll(10, 0))) == [b"a3", b"c1"]


def test_a_seek_goes_back(world: World) -> None:
    world.write("a", [b"1", b"2", b"3"])
    (batch,) = world.feed.poll(10, 0)
    world.feed.seek({batch.partition: batch.payloads[0].following})
    assert texts(world.feed.poll(10, 0)) == [b"2", b"3"]
    world.feed.seek({})
    assert texts(world.feed.poll(10, 0)) == [b"1", b"2", b"3"]


def test_a_position_of_a_partition_that_is_gone_is_no_hindrance(world: World) -> None:
    world.feed.seek({"gone#0123456789abcdef": 10})
    world.write("a", [b"1"])
    assert texts(world.feed.poll(10, 0)) == [b"1"]
    assert "gone#0123456789abcdef" not in world.feed.ends()
    assert world.feed.problems() == {}


def test_a_poll_waits_for_what_comes(world: World) -> None:
    writer = threading.Timer(0.1, world.write, ["a", [b"late"]])
    writer.start()
    assert texts(world.feed.poll(10, 30)) == [b"late"]
    writer.join()


def test_closing_ends_a_poll_that_waits(world: World) -> None:
    closer = threading.Timer(0.1, world.feed.close)
    closer.start()
    assert world.feed.poll(10, 120) == []
    closer.join()


@pytest.mark.parametrize("backend", sorted(MAKERS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abc"), st.integers(1, 5)), st.tuples(st.just("poll"), st.integers(1, 6)),
            st.tuples(st.just("restart"), st.just(0)),
        ),
        max_size=25,
    )
)  # fmt: skip
def test_whoever_keeps_positions_gets_each_payload_once_in_order(
    backend: str, steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World(backend, tmp_path_factory.mktemp("feed"))
    written: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
    seen: list[bytes] = []
    kept: dict[str, int] = {}

    def poll(limit: int) -> bool:
        batches = world.feed.poll(limit, 0)
        seen.extend(texts(batches))
        kept.update(following(batches))
        return bool(batches)

    for step, number in steps:
        if step == "poll":
            poll(number)
        elif step == "restart":
            world.feed.poll(number + 3, 0)  # what was given and not kept comes again
            world.restart(kept)
        else:
            new = [b"%s%d" % (step.encode(), len(written[step]) + i) for i in range(number)]
            world.write(step, new)
            written[step] += new
    world.restart(kept)
    while poll(4):
        pass
    for name, payloads in written.items():
        assert [text for text in seen if text.startswith(name.encode())] == payloads
    world.feed.close()
