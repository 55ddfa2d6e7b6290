"""The port of the event log, which numbers everything that enters a source."""

from collections.abc import Sequence
from typing import Protocol


class EventLog(Protocol):
    """Payloads under numbers that begin at 1, grow by one and are never used twice."""

    def append(self, payloads: Sequence[bytes]) -> int:
        """Keep the payloads under the next numbers and return the first; returns when a power cut would lose nothing.

        Callers that append at the same time share one flush.

        Raises:
            DiskFull: No space is left; none of the payloads was kept and the log stays usable.
            StorageError: The disk failed, or the log was opened for reading only.
        """
        ...

    def reserve(self, count: int) -> int:
        """Take the next `count` numbers durably for rows that are kept elsewhere, and return the first.

        Raises:
            InputError: The count is below 1.
            DiskFull: No space is left; nothing was reserved.
        """
        ...

    def read(self, from_seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return at most `limit` durable payloads from that number on, in order; reserved numbers are skipped.

        Raises:
            CorruptionError: The log is damaged there; the message names the segment and the offset.
        """
        ...

    def next_seq(self) -> int:
        """Return the number that the next payload would get; every lower one is durable."""
        ...

    def truncate_before(self, seq: int) -> None:
        """Allow the log to forget what is below the number; it may keep some of it."""
        ...

    def close(self) -> None:
        """Close the log; closing twice is harmless."""
        ...
