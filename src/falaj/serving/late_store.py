"""LateStore: an online store that may not exist yet, because control makes it while the gateway starts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from falaj.kernel.errors import FalajError, StorageError
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.keyvalue.port import Snapshot


class LateStore:
    """The key-value port over a store that is opened as soon as it can be.

    Args:
        open_store: Opens the store for reading; raises a FalajError while it cannot.
    """

    def __init__(self, open_store: Callable[[], KeyValueStore]) -> None:
        self._open_store = open_store
        self._store: KeyValueStore | None = None
        self._reason = "it was not tried"

    def try_open(self) -> bool:
        """Open the store if it is not open, and return whether it is."""
        if self._store is None:
            try:
                self._store = self._open_store()
            except FalajError as error:
                self._reason = error.message
        return self._store is not None

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return copies of the values in the order of the keys, all of one snapshot."""
        return self._opened().get_many(keys)

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes] = (),
        *,
        unchanged: Mapping[bytes, bytes | None] | None = None,
    ) -> None:
        """Refuse: a gateway only reads."""
        del puts, deletes, unchanged
        raise StorageError("a gateway worker does not write the online store", hint="control does")

    def scan(self, prefix: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs whose key begins with the prefix, in key order."""
        return self._opened().scan(prefix, limit)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open a consistent view for reading without copies."""
        return self._opened().snapshot()

    def close(self) -> None:
        """Close the store if it was opened."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _opened(self) -> KeyValueStore:
        if self._store is None:
            raise StorageError(f"the online store is not open: {self._reason}", hint="start control")
        return self._store
