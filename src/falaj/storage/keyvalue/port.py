"""The port of the online store."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class Snapshot(Protocol):
    """One consistent view of the store; its values may be windows into the store's own memory."""

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
        """Return copies of the values in the order of the keys, all of one snapshot."""
        ...

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = ()) -> None:
        """Remove the keys of `deletes`, then put the pairs: all of it durably, or nothing.

        Raises:
            InputError: A key is empty.
            DiskFull: No space is left.
            StorageError: The store's map is full, or it was opened for reading only.
        """
        ...

    def scan(self, prefix: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs whose key begins with the prefix, in key order."""
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open a consistent view for reading without copies; close it soon, since it keeps old pages alive."""
        ...

    def close(self) -> None:
        """Close the store; closing twice is harmless."""
        ...
