"""What every event log must do."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.kernel.errors import InputError
from falaj.storage.eventlog import EventLog
from falaj.storage.eventlog.local import LocalLog
from falaj.storage.eventlog.memory import MemoryLog

MAKERS: dict[str, Callable[[Path], EventLog]] = {
    "local": lambda folder: LocalLog.open(folder / "log", segment_bytes=400),
    "memory": lambda _: MemoryLog(),
}


@pytest.fixture(params=sorted(MAKERS))
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    made = MAKERS[request.param](tmp_path)
    yield made
    made.close()
    made.close()


def test_numbers_begin_at_one_and_follow_each_other(log: EventLog) -> None:
    assert log.next_seq() == 1
    assert log.append([b"a", b"", b"c"]) == 1
    assert log.append([b"d"]) == 4
    assert log.next_seq() == 5
    assert log.read(1, 10) == [(1, b"a"), (2, b""), (3, b"c"), (4, b"d")]
    assert log.read(0, 10) == log.read(1, 10)


def test_nothing_appended_takes_no_number(log: EventLog) -> None:
    log.append([b"a"])
    assert log.append([]) == 2
    assert log.next_seq() == 2


def test_reserved_numbers_are_never_given_again_nor_read(log: EventLog) -> None:
    assert log.append([b"a"]) == 1
    assert log.reserve(1000) == 2
    assert log.next_seq() == 1002
    assert log.append([b"b"]) == 1002
    assert log.reserve(1) == 1003
    assert log.read(1, 10) == [(1, b"a"), (1002, b"b")]
    assert log.read(500, 10) == [(1002, b"b")]
    assert log.read(1003, 10) == []


@pytest.mark.parametrize("count", [0, -5])
def test_no_numbers_cannot_be_reserved(log: EventLog, count: int) -> None:
    with pytest.raises(InputError, match="reserve"):
        log.reserve(count)


def test_reading_is_limited_and_goes_on(log: EventLog) -> None:
    payloads = [f"event {number}".encode() * 5 for number in range(1, 201)]
    for start in range(0, 200, 7):
        log.append(payloads[start : start + 7])
    seen: list[tuple[int, bytes]] = []
    while batch := log.read(len(seen) + 1, 13):
        assert len(batch) <= 13
        seen += batch
    assert seen == list(enumerate(payloads, 1))
    assert log.read(50, 0) == []
    assert log.read(200, 10) == [(200, payloads[-1])]
    assert log.read(201, 10) == []
    assert log.read(17, 2) == [(17, payloads[16]), (18, payloads[17])]


def test_what_is_not_truncated_stays(log: EventLog) -> None:
    for number in range(1, 101):
        log.append([b"%03d" % number * 20])
    log.truncate_before(60)
    left = [seq for seq, _ in log.read(1, 1000)]
    assert left == list(range(left[0], 101))
    assert left[0] <= 60
    assert log.read(70, 1) == [(70, b"070" * 20)]
    log.truncate_before(10_000)
    assert log.next_seq() == 101
    assert log.append([b"more"]) == 101
    assert log.read(101, 5) == [(101, b"more")]


def test_threads_share_the_log(log: EventLog) -> None:
    firsts: dict[int, list[bytes]] = {}
    turn = threading.Lock()

    def work(worker: int) -> None:
        for step in range(10):
            payloads = [b"%d/%d/%d" % (worker, step, part) for part in range(3)]
            first = log.append(payloads)
            with turn:
                firsts[first] = payloads
            assert log.read(first, 3) == list(enumerate(payloads, first))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.next_seq() == 241
    expected = [payload for first in sorted(firsts) for payload in firsts[first]]
    assert [payload for _, payload in log.read(1, 1000)] == expected


steps = st.lists(st.one_of(st.integers(1, 50), st.lists(st.binary(max_size=120), max_size=4)), max_size=20)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, from_offset=st.integers(0, 60), limit=st.integers(0, 30))
def test_it_is_a_numbered_list(log: EventLog, steps: list[int | list[bytes]], from_offset: int, limit: int) -> None:
    start = number = log.next_seq()
    model: list[tuple[int, bytes]] = []
    for step in steps:
        if isinstance(step, int):
            assert log.reserve(step) == number
            number += step
        else:
            assert log.append(step) == number
            model += enumerate(step, number)
            number += len(step)
    assert log.next_seq() == number
    assert log.read(start, 10_000) == model
    wanted = [event for event in model if event[0] >= start + from_offset]
    assert log.read(start + from_offset, limit) == wanted[:limit]
