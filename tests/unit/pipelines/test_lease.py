"""Heartbeats go on through passing trouble and say once when the lease is lost."""

import threading

from falaj.kernel.errors import DiskFull, Timeout
from falaj.pipelines.lease import Heartbeat


def test_it_beats_until_the_block_ends() -> None:
    third, beats = threading.Event(), 0

    def renew() -> bool:
        nonlocal beats
        beats += 1
        if beats == 3:
            third.set()
        return True

    with Heartbeat(0.003, renew, lost=lambda: None):
        assert third.wait(10)
    assert all(thread.name != "falaj-heartbeat" for thread in threading.enumerate())


def test_a_lost_lease_is_told_once_and_ends_the_beating() -> None:
    lost, told = threading.Event(), []

    def tell() -> None:
        told.append(1)
        lost.set()

    with Heartbeat(0.003, lambda: False, tell) as heartbeat:
        assert lost.wait(10)
        heartbeat._thread.join(10)
    assert told == [1]


def test_a_full_disk_or_a_busy_database_is_tried_again() -> None:
    troubles, done = [DiskFull("full"), Timeout("busy")], threading.Event()

    def renew() -> bool:
        if troubles:
            raise troubles.pop()
        done.set()
        return True

    with Heartbeat(0.003, renew, lost=lambda: None):
        assert done.wait(10)
