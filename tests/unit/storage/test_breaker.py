"""The breaker: a store that failed is asked by nobody but the breaker's own thread until it answers."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from falaj.kernel.clock import ManualClock
from falaj.kernel.errors import InputError, StorageError
from falaj.storage.keyvalue.breaker import PAUSE_S, RELAPSE_S, BreakerStore
from falaj.storage.keyvalue.memory import MemoryStore
from support.waiting import until


class Server(MemoryStore):
    """A store that can be down, and counts who asks."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.asked: list[str] = []
        self.clock = ManualClock()
        self.takes_s = 0.0

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.asked.append(threading.current_thread().name)
        if self.down:
            raise StorageError("the server is down", hint="start it")
        self.clock.advance(self.takes_s)
        return super().get_many(keys)

    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        """As of a server: each of its reads asks again."""
        yield self


class Turns:
    """Lets the breaker's thread ask when told to."""

    def __init__(self) -> None:
        self._turn = threading.Semaphore(0)
        self.pauses_s: list[float] = []

    def __call__(self, closed: threading.Event, pause_s: float) -> bool:
        self.pauses_s.append(pause_s)
        self._turn.acquire()
        return closed.is_set()

    def wait_for(self, number: int) -> None:
        until(lambda: len(self.pauses_s) == number, "the breaker waits")

    def give(self) -> None:
        self._turn.release()


def read(store: BreakerStore) -> list[bytes | None]:
    return store.get_many([b"a"])


def read_snapshot(store: BreakerStore) -> list[object]:
    with store.snapshot() as snapshot:
        return list(snapshot.get_many([b"a"]))


def scan(store: BreakerStore) -> list[tuple[bytes, bytes]]:
    return store.scan(b"a", 1)


def test_after_a_failure_only_the_breaker_asks_until_there_is_an_answer() -> None:
    server, turns = Server(), Turns()
    server.write([(b"a", b"1")])
    store = BreakerStore(server, wait=turns)
    server.down = True
    with pytest.raises(StorageError, match="down"):
        read(store)
    asked = len(server.asked)
    readers: list[Callable[[BreakerStore], object]] = [read, read_snapshot, scan]
    for reader in readers:
        with pytest.raises(StorageError, match="down") as refused:
            reader(store)
        assert refused.value.hint == "start it"
    assert (len(server.asked), store.failing) == (asked, True)
    turns.give()
    until(lambda: len(server.asked) == asked + 1, "the breaker asks")
    assert (server.asked[-1], store.failing) == ("online-store", True)
    server.down = False
    turns.give()
    until(lambda: not store.failing, "the breaker closes")
    assert read(store) == [b"1"] == read_snapshot(store)
    store.close()


def test_an_error_of_the_caller_opens_nothing() -> None:
    store = BreakerStore(Server(), wait=Turns())
    with pytest.raises(InputError), store.snapshot():
        raise InputError("the caller's own")
    assert not store.failing


def test_it_can_be_closed_while_it_asks() -> None:
    server = Server()
    store = BreakerStore(server)
    server.down = True
    with pytest.raises(StorageError):
        read(store)
    store.close()
    assert store.failing


def test_what_fails_again_and_again_is_left_alone_longer() -> None:
    server, turns = Server(), Turns()
    store = BreakerStore(server, wait=turns, monotonic=server.clock.monotonic)
    for number, hold_s in enumerate((0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0), start=1):
        server.down = True
        with pytest.raises(StorageError):
            read(store)
        turns.wait_for(number)
        assert turns.pauses_s[-1] == pytest.approx(hold_s)
        server.down = False
        turns.give()
        until(lambda: not store.failing, "the breaker closes")
        server.clock.advance(1)
    server.clock.advance(RELAPSE_S)
    server.down = True
    with pytest.raises(StorageError):
        read(store)
    turns.wait_for(8)
    assert turns.pauses_s[-1] == PAUSE_S
    server.down = False
    turns.give()
    store.close()


@pytest.mark.parametrize("reader", [read, read_snapshot])
def test_an_answer_that_took_too_long_is_given_and_nobody_asks_for_another(
    reader: Callable[[BreakerStore], object],
) -> None:
    server, turns = Server(), Turns()
    server.write([(b"a", b"1")])
    store = BreakerStore(server, budget_s=0.05, wait=turns, monotonic=server.clock.monotonic)
    server.takes_s = 0.05
    assert reader(store) == [b"1"]
    assert not store.failing
    server.takes_s = 0.06
    assert reader(store) == [b"1"]
    with pytest.raises(StorageError, match="took 60 ms"):
        reader(store)
    asked = len(server.asked)
    turns.give()
    until(lambda: len(server.asked) == asked + 1, "the breaker asks")
    turns.wait_for(2)  # it answers, and still too late
    server.takes_s = 0.0
    turns.give()
    until(lambda: not store.failing, "the breaker closes")
    assert reader(store) == [b"1"]
    store.close()
