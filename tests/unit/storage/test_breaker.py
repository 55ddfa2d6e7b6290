"""The breaker: a store that failed is asked by nobody but the breaker's own thread until it answers."""

import threading
from collections.abc import Callable, Sequence

import pytest

from falaj.kernel.errors import InputError, StorageError
from falaj.storage.keyvalue.breaker import BreakerStore
from falaj.storage.keyvalue.memory import MemoryStore
from support.waiting import until


class Server(MemoryStore):
    """A store that can be down, and counts who asks."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.asked: list[str] = []

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.asked.append(threading.current_thread().name)
        if self.down:
            raise StorageError("the server is down", hint="start it")
        return super().get_many(keys)


class Turns:
    """Lets the breaker's thread ask when told to."""

    def __init__(self) -> None:
        self._turn = threading.Semaphore(0)
        self.closed: threading.Event | None = None

    def __call__(self, closed: threading.Event) -> bool:
        self.closed = closed
        self._turn.acquire()
        return closed.is_set()

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
    store = BreakerStore(server, turns)
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
    store = BreakerStore(Server(), Turns())
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
