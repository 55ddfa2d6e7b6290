"""The port of the online store."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from falaj.kernel.errors import StorageError


class Snapshot(Protocol):
    """A view of the store; its values may be windows into the store's own memory.

    What one call returns is of one instant. Of the embedded stores all calls are of the same one; of a store on a
    server each has its own, and of a cluster each partition has (the records of one entity lie in one).
    """

    def get(self, key: bytes) -> memoryview | bytes | None:
        """Return the value, or None. A memoryview is valid only until the snapshot is closed."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> Sequence[memoryview | bytes | None]:
        """Return the values in the order of the keys. Memoryviews are valid only until the snapshot is closed."""
        ...


class KeyValueStore(Protocol):
    """Keys in byte order, values of any size, atomic writes, snapshots that nobody blocks.

    Keys have at least one byte. Values of keys over 510 bytes are found and scanned too, but come in no stated order
    among those that agree in their first 479 bytes.
    """

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return copies of the values in the order of the keys, all of one instant as a snapshot's call is."""
        ...

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes] = (),
        *,
        unchanged: Mapping[bytes, bytes | None] | None = None,
    ) -> None:
        """Remove the keys of `deletes`, then put the pairs: all of it, or nothing.

        Args:
            puts: Keys and values.
            deletes: Keys, removed first.
            unchanged: What the writer went by: keys and the values that they must still have, None for none. A store on
                a server may lose what it held, or be written by another, between a read and the write it led to.

        Raises:
            InputError: A key is empty.
            DiskFull: No space is left.
            StorageError: A value has changed, the store is full, it was opened for reading only, or its server failed.
        """
        ...

    def scan(self, prefix: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs whose key begins with the prefix, in key order."""
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open a view for reading without copies; close it soon, since it may keep old pages alive."""
        ...

    def close(self) -> None:
        """Close the store; closing twice is harmless."""
        ...


def changed(what: str) -> StorageError:
    """Return the error for a write that went by what is so no more.

    Args:
        what: The store.
    """
    return StorageError(
        f"{what} was changed by another writer, or lost what it held: nothing was written",
        hint="it is read and written again by itself; where this is said often, two processes write it",
    )
