"""A feed of this process only."""

import threading
from collections.abc import Mapping, Sequence

from falaj.storage.feeds.port import Batch, Payload


class MemoryFeed:
    """Lists of payloads; a payload's position is its place in its list.

    Example:
        >>> feed = MemoryFeed()
        >>> feed.write("a", [b"x", b"y"])
        >>> feed.seek({"a": 1})
        >>> feed.poll(10, 0)
        [Batch(partition='a', place='a', payloads=[Payload(position=1, following=2, data=b'y')])]
    """

    def __init__(self) -> None:
        self._partitions: dict[str, list[bytes]] = {}
        self._next: dict[str, int] = {}
        self._changed = threading.Condition()
        self._closed = False

    def write(self, partition: str, payloads: Sequence[bytes]) -> None:
        """Put payloads behind those of a partition."""
        with self._changed:
            self._partitions.setdefault(partition, []).extend(payloads)
            self._changed.notify_all()

    def seek(self, positions: Mapping[str, int]) -> None:
        """Go on at these positions."""
        self._next = dict(positions)

    def poll(self, limit: int, timeout_s: float) -> list[Batch]:
        """Return what comes next."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting(), timeout_s)
            batches = []
            for partition in self._waiting():
                at = self._next.get(partition, 0)
                found = self._partitions[partition][at : at + limit]
                if found:
                    batches.append(Batch(partition, partition, [Payload(*_at(at + i), d) for i, d in enumerate(found)]))
                    self._next[partition] = at + len(found)
                    limit -= len(found)
            return batches

    def ends(self) -> dict[str, int]:
        """Return how many payloads each partition has."""
        return {partition: len(payloads) for partition, payloads in self._partitions.items()}

    def problems(self) -> dict[str, str]:
        """Return nothing: lists have none."""
        return {}

    def close(self) -> None:
        """End a poll that waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _waiting(self) -> list[str]:
        return [name for name, payloads in self._partitions.items() if len(payloads) > self._next.get(name, 0)]


def _at(place: int) -> tuple[int, int]:
    return place, place + 1
