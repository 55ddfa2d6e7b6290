"""AgedReaders: readers of features for each bound on how old a feature may be."""

from collections.abc import Callable

from falaj.features.online import OnlineReader
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.keyvalue.cached import CachedStore


class AgedReaders:
    """One reader per bound, so that an endpoint that may use older features never ages those of another.

    Args:
        store: Where features are.
        default_ms: The bound of endpoints that name none; None for a store that is in this process's own memory, where
            to keep copies would only cost: then there is one reader for all.
        monotonic: Seconds.
    """

    def __init__(self, store: KeyValueStore, default_ms: float | None, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._caching = default_ms is not None
        self._readers: dict[float, OnlineReader] = {}
        self.default = self._reader(default_ms or 0.0)

    def of(self, max_age_ms: float | None) -> OnlineReader:
        """Return the reader for a bound.

        Args:
            max_age_ms: In milliseconds; 0 to ask the store each time, None for the default.
        """
        if max_age_ms is None or not self._caching:
            return self.default
        return self._readers.get(max_age_ms) or self._reader(max_age_ms)

    def _reader(self, max_age_ms: float) -> OnlineReader:
        store = CachedStore(self._store, max_age_ms / 1000, self._monotonic) if max_age_ms else self._store
        reader = self._readers[max_age_ms] = OnlineReader(store)
        return reader
