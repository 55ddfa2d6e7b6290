"""Breaker: a store on a server that failed is left alone until it answers again, so that nobody waits for it twice."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from falaj.kernel.errors import StorageError
from falaj.storage.keyvalue.port import KeyValueStore, Snapshot

T = TypeVar("T")
U = TypeVar("U")

PAUSE_S = 0.1
"""Between two questions whether it is back, and how long nobody asks after a first failure."""

MOST_S = 2.0
RELAPSE_S = 10.0
"""A failure so soon after the last one doubles how long nobody asks: what fails again and again is left alone."""

Wait = Callable[[threading.Event, float], bool]
"""Waits so many seconds; returns true when the store was closed meanwhile."""


class BreakerStore:
    """Reads from a store, and after a failure refuses at once while a thread of its own asks whether it is back.

    So of a server that is down only the first reader waits, and only as long as the store's own timeouts say. An answer
    that took longer than the budget is given, and then counts as a failure too: timeouts bound the pauses of an answer,
    and one that trickles has none.

    Args:
        store: The store; only its reads go through here.
        budget_s: How long an answer may take, in seconds; None for any time.
        wait: Waits before a question.
        monotonic: Gives seconds.

    Example:
        >>> from falaj.storage.keyvalue.memory import MemoryStore
        >>> store = BreakerStore(MemoryStore())
        >>> store.get_many([b"a"]), store.failing
        ([None], False)
    """

    def __init__(
        self,
        store: KeyValueStore,
        budget_s: float | None = None,
        wait: Wait = threading.Event.wait,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._budget_s = budget_s
        self._wait = wait
        self._monotonic = monotonic
        self._closed_s = -RELAPSE_S
        self._hold_s = PAUSE_S
        self._failure: StorageError | None = None
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._asking: threading.Thread | None = None

    @property
    def failing(self) -> bool:
        """Whether the store failed and has not answered since."""
        return self._failure is not None

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys.

        Raises:
            StorageError: The store failed, now or when it was asked last.
        """
        self._refuse()
        return self.timed(self._store.get_many, keys)

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes] = (),
        *,
        unchanged: Mapping[bytes, bytes | None] | None = None,
    ) -> None:
        """Pass it on: who writes wants to know whether it was written."""
        self._store.write(puts, deletes, unchanged=unchanged)

    def scan(self, prefix: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs whose key begins with the prefix, in key order."""
        self._refuse()
        return self._store.scan(prefix, limit)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open a view for reading."""
        self._refuse()
        try:
            with self._store.snapshot() as snapshot:
                yield _TimedSnapshot(self, snapshot)
        except StorageError as error:
            self._open(error)
            raise

    def timed(self, ask: Callable[[T], U], what: T) -> U:
        """Ask, and open when it failed or took too long.

        Raises:
            StorageError: It failed.
        """
        began_s = self._monotonic()
        try:
            answer = ask(what)
        except StorageError as error:
            self._open(error)
            raise
        spent_s = self._monotonic() - began_s
        if self._budget_s is not None and spent_s > self._budget_s:
            self._open(StorageError(f"the online store took {spent_s * 1000:.0f} ms", hint="see what slows it down"))
        return answer

    def close(self) -> None:
        """Stop asking, and close the store."""
        self._closed.set()
        if self._asking is not None:
            self._asking.join()
        self._store.close()

    def _refuse(self) -> None:
        failure = self._failure
        if failure is not None:
            raise StorageError(failure.message, hint=failure.hint)

    def _open(self, error: StorageError) -> None:
        with self._turn:
            if self._failure is None and not self._closed.is_set():
                self._failure = error
                relapsed = self._monotonic() - self._closed_s < RELAPSE_S
                self._hold_s = min(2 * self._hold_s, MOST_S) if relapsed else PAUSE_S
                self._asking = threading.Thread(target=self._ask, name="online-store", daemon=True)
                self._asking.start()

    def _ask(self) -> None:
        pause_s = self._hold_s
        while not self._wait(self._closed, pause_s):
            pause_s = PAUSE_S
            began_s = self._monotonic()
            try:
                self._store.get_many([b"?"])
            except StorageError as error:
                self._failure = error
                continue
            now_s = self._monotonic()
            if self._budget_s is None or now_s - began_s <= self._budget_s:
                self._closed_s = now_s
                self._failure = None
                return


class _TimedSnapshot:
    __slots__ = ("_breaker", "_snapshot")

    def __init__(self, breaker: BreakerStore, snapshot: Snapshot) -> None:
        self._breaker = breaker
        self._snapshot = snapshot

    def get(self, key: bytes) -> memoryview | bytes | None:
        return self._breaker.timed(self._snapshot.get, key)

    def get_many(self, keys: Sequence[bytes]) -> Sequence[memoryview | bytes | None]:
        return self._breaker.timed(self._snapshot.get_many, keys)
