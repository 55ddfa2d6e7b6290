"""A key-value store of this process only."""

import bisect
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from falaj.kernel.errors import InputError
from falaj.storage.keyvalue.port import changed


class MemorySnapshot:
    """One consistent view."""

    def __init__(self, data: dict[bytes, bytes]) -> None:
        self._data = data

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        return self._data.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys."""
        return [self._data.get(key) for key in keys]


class MemoryStore:
    """A dictionary that is replaced, never changed, so that snapshots stay what they were.

    Example:
        >>> store = MemoryStore()
        >>> store.write([(b"a1", b"x"), (b"a2", b"y"), (b"b", b"z")])
        >>> store.scan(b"a", 10)
        [(b'a1', b'x'), (b'a2', b'y')]
    """

    def __init__(self) -> None:
        self._data: dict[bytes, bytes] = {}
        self._turn = threading.Lock()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys."""
        data = self._data
        return [data.get(key) for key in keys]

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes] = (),
        *,
        unchanged: Mapping[bytes, bytes | None] | None = None,
    ) -> None:
        """Remove, then put: all of it or nothing."""
        with self._turn:
            if any(self._data.get(key) != value for key, value in (unchanged or {}).items()):
                raise changed("online store")
            data = dict(self._data)
            for key in deletes:
                data.pop(_checked(key), None)
            for key, value in puts:
                data[bytes(_checked(key))] = bytes(value)
            self._data = data

    def scan(self, prefix: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs whose key begins with the prefix, in key order."""
        data = self._data
        keys = sorted(data)
        start = bisect.bisect_left(keys, prefix)
        found = []
        for key in keys[start : start + max(limit, 0)]:
            if not key.startswith(prefix):
                break
            found.append((key, data[key]))
        return found

    @contextmanager
    def snapshot(self) -> Iterator[MemorySnapshot]:
        """Open a consistent view."""
        yield MemorySnapshot(self._data)

    def close(self) -> None:
        """Do nothing; the bytes go with the object."""


def _checked(key: bytes) -> bytes:
    if not key:
        raise InputError("a key of the online store is empty", hint="give keys of at least one byte")
    return key
