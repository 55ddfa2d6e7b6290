"""An event log of this process only."""

import bisect
import threading
from collections.abc import Sequence

from falaj.kernel.errors import InputError


class MemoryLog:
    """A list of numbered payloads.

    Example:
        >>> log = MemoryLog()
        >>> log.append([b"a", b"b"]), log.reserve(10), log.append([b"c"])
        (1, 3, 13)
        >>> log.read(2, 10)
        [(2, b'b'), (13, b'c')]
    """

    def __init__(self) -> None:
        self._events: list[tuple[int, bytes]] = []
        self._next = 1
        self._turn = threading.Lock()

    def append(self, payloads: Sequence[bytes]) -> int:
        """Keep the payloads under the next numbers and return the first."""
        with self._turn:
            first = self._next
            self._events.extend((first + index, bytes(payload)) for index, payload in enumerate(payloads))
            self._next += len(payloads)
            return first

    def reserve(self, count: int) -> int:
        """Take the next `count` numbers and return the first."""
        check_count(count)
        with self._turn:
            first = self._next
            self._next += count
            return first

    def read(self, from_seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return at most `limit` payloads from that number on."""
        with self._turn:
            start = bisect.bisect_left(self._events, (from_seq, b""))
            return self._events[start : start + max(limit, 0)]

    def next_seq(self) -> int:
        """Return the number that the next payload would get."""
        return self._next

    def truncate_before(self, seq: int) -> None:
        """Forget what is below the number."""
        with self._turn:
            del self._events[: bisect.bisect_left(self._events, (seq, b""))]

    def close(self) -> None:
        """Do nothing; the payloads go with the object."""


def check_count(count: int) -> int:
    """Return the count if so many numbers can be reserved.

    Raises:
        InputError: It is below 1.
    """
    if count < 1:
        raise InputError(f"{count} numbers cannot be reserved", hint="reserve at least 1")
    return count
