"""Cache: values that were read a moment ago are given again, for a time that is stated and no longer."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from falaj.storage.keyvalue.port import KeyValueStore, Snapshot

MAX_ENTRIES = 100_000


class CachedStore:
    """Keeps what snapshots read, absent keys too. No value is given that was read longer than `max_age_s` ago.

    `get_many` and `scan` are not cached: what must be of now, such as a revoked token, is read with them.

    Args:
        store: The store.
        max_age_s: The bound, in seconds, counted from before the store was asked.
        monotonic: Gives seconds.
        max_entries: Most values kept; those that were read first go first.

    Example:
        >>> from falaj.storage.keyvalue.memory import MemoryStore
        >>> store, now = MemoryStore(), [0.0]
        >>> cached = CachedStore(store, 0.5, lambda: now[0])
        >>> with cached.snapshot() as snapshot:
        ...     snapshot.get(b"a")
        >>> store.write([(b"a", b"1")])
        >>> now[0] = 0.6
        >>> with cached.snapshot() as snapshot:
        ...     snapshot.get(b"a")
        b'1'
    """

    def __init__(
        self, store: KeyValueStore, max_age_s: float, monotonic: Callable[[], float], max_entries: int = MAX_ENTRIES
    ) -> None:
        self._store = store
        self._max_age_s = max_age_s
        self._monotonic = monotonic
        self._max_entries = max_entries
        self._kept: dict[bytes, tuple[float, bytes | None]] = {}

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of now, in the order of the keys."""
        return self._store.get_many(keys)

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes] = (),
        *,
        unchanged: Mapping[bytes, bytes | None] | None = None,
    ) -> None:
        """Pass it on, and forget what was kept."""
        self._store.write(puts, deletes, unchanged=unchanged)
        self._kept.clear()

    def scan(self, prefix: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs of now whose key begins with the prefix, in key order."""
        return self._store.scan(prefix, limit)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Return a view for reading; its values may be as old as the bound says, each by itself."""
        yield _CachedSnapshot(self)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def recent(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys, none older than the bound."""
        now_s = self._monotonic()
        oldest_s, kept = now_s - self._max_age_s, self._kept
        found: dict[bytes, bytes | None] = {}
        absent: list[bytes] = []
        for key in dict.fromkeys(keys):
            entry = kept.get(key)
            if entry is None or entry[0] < oldest_s:
                absent.append(key)
            else:
                found[key] = entry[1]
        if absent:
            with self._store.snapshot() as snapshot:
                read = [None if value is None else bytes(value) for value in snapshot.get_many(absent)]
            for key, value in zip(absent, read, strict=True):
                found[key] = value
                kept.pop(key, None)  # to the end: the order is that of reading
                kept[key] = now_s, value
            while len(kept) > self._max_entries:
                del kept[next(iter(kept))]
        return [found[key] for key in keys]


class _CachedSnapshot:
    __slots__ = ("_cache",)

    def __init__(self, cache: CachedStore) -> None:
        self._cache = cache

    def get(self, key: bytes) -> bytes | None:
        return self._cache.recent([key])[0]

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._cache.recent(keys)
