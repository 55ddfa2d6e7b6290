"""Heartbeats go on through passing trouble and say once when the lease is lost."""

import threading

import pytest

from falaj.kernel.errors import DiskFull, Timeout
from falaj.pipelines.lease import Heartbeats
from support.waiting import until

LEASE_S = 0.003


def beating() -> int:
    return sum(thread.name == "falaj-heartbeat" for thread in threading.enumerate())


def test_it_beats_until_the_block_ends() -> None:
    third, beats = threading.Event(), 0

    def renew() -> bool:
        nonlocal beats
        beats += 1
        if beats == 3:
            third.set()
        return True

    with Heartbeats(LEASE_S).during(renew, lost=lambda: None):
        assert third.wait(10)
    after = beats
    until(lambda: beating() == 0, "the thread has ended")
    assert beats == after


def test_one_thread_serves_what_is_done_one_after_another() -> None:
    heartbeats, names = Heartbeats(30.0), set()
    for _ in range(50):
        with heartbeats.during(lambda: True, lambda: None):
            names |= {thread.ident for thread in threading.enumerate() if thread.name == "falaj-heartbeat"}
    assert len(names) == 1


def test_each_of_many_is_renewed_and_no_other() -> None:
    heartbeats, renewed = Heartbeats(LEASE_S), list[int]()
    for number in range(5):
        came = threading.Event()

        def renew(number: int = number, came: threading.Event = came) -> bool:
            renewed.append(number)
            came.set()
            return True

        with heartbeats.during(renew, lambda: None):
            assert came.wait(10)
    assert renewed == sorted(renewed)
    assert set(renewed) == set(range(5))


def test_a_lost_lease_is_told_once_and_ends_the_beating() -> None:
    lost, told = threading.Event(), []

    def tell() -> None:
        told.append(1)
        lost.set()

    with Heartbeats(LEASE_S).during(lambda: False, tell):
        assert lost.wait(10)
        until(lambda: beating() == 0, "the thread has ended")
    assert told == [1]


def test_a_full_disk_or_a_busy_database_is_tried_again() -> None:
    troubles, done = [DiskFull("full"), Timeout("busy")], threading.Event()

    def renew() -> bool:
        if troubles:
            raise troubles.pop()
        done.set()
        return True

    with Heartbeats(LEASE_S).during(renew, lost=lambda: None):
        assert done.wait(10)


def test_an_error_that_nobody_foresaw_is_said_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    # As when another thread of the process has a library half imported: a moment later there is nothing wrong.
    troubles, done = [AttributeError("half imported"), *[RuntimeError("a bug")] * 3], threading.Event()

    def renew() -> bool:
        if troubles:
            raise troubles.pop()
        done.set()
        return True

    with Heartbeats(LEASE_S).during(renew, lost=lambda: None):
        assert done.wait(10)
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition(": ")[2] for text in said] == ["RuntimeError: a bug", "AttributeError: half imported"]


def test_a_lease_that_was_never_renewed_does_not_leave_the_next_alone() -> None:
    heartbeats, tried, done = Heartbeats(LEASE_S), threading.Event(), threading.Event()

    def broken() -> bool:
        tried.set()
        raise RuntimeError("a bug")

    def renew() -> bool:
        done.set()
        return True

    for beat, came in ((broken, tried), (renew, done)):
        with heartbeats.during(beat, lambda: None):
            assert came.wait(10)
