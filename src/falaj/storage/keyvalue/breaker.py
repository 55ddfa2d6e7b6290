"""Breaker: a store on a server that failed is left alone until it answers again, so that nobody waits for it twice."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from falaj.kernel.errors import StorageError
from falaj.storage.keyvalue.port import KeyValueStore, Snapshot

PAUSE_S = 0.1


class BreakerStore:
    """Reads from a store, and after a failure refuses at once while a thread of its own asks whether it is back.

    So of a server that is down only the first reader waits, and only as long as the store's own timeouts say.

    Args:
        store: The store; only its reads go through here.
        wait: Waits between two questions; returns true when this store was closed meanwhile.

    Example:
        >>> from falaj.storage.keyvalue.memory import MemoryStore
        >>> store = BreakerStore(MemoryStore())
        >>> store.get_many([b"a"]), store.failing
        ([None], False)
    """

    def __init__(self, store: KeyValueStore, wait: Callable[[threading.Event], bool] | None = None) -> None:
        self._store = store
        self._wait = wait or (lambda closed: closed.wait(PAUSE_S))
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
        try:
            return self._store.get_many(keys)
        except StorageError as error:
            self._open(error)
            raise

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
                yield snapshot
        except StorageError as error:
            self._open(error)
            raise

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
                self._asking = threading.Thread(target=self._ask, name="online-store", daemon=True)
                self._asking.start()

    def _ask(self) -> None:
        while not self._wait(self._closed):
            try:
                self._store.get_many([b"?"])
            except StorageError as error:
                self._failure = error
            else:
                self._failure = None
                return
