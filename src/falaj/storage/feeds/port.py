"""The port of a feed: something outside that has payloads in ordered partitions, each at a position."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Payload(NamedTuple):
    """One payload.

    Attributes:
        position: Where it begins in its partition; grows within one.
        following: Where to go on after it; greater than `position`.
        data: Its bytes.
    """

    position: int
    following: int
    data: bytes


class Batch(NamedTuple):
    """Payloads of one partition, in order.

    Attributes:
        partition: The partition's name, the same for as long as the partition exists.
        place: What a person calls it now, such as the path of a file.
        payloads: At least one.
    """

    partition: str
    place: str
    payloads: Sequence[Payload]


class Feed(Protocol):
    """Ordered partitions of payloads that somebody else writes.

    A feed keeps no position of its own beyond its process: whoever takes from it keeps them, with what was taken, and
    gives them back by `seek`. It is used by one thread at a time.
    """

    def seek(self, positions: Mapping[str, int]) -> None:
        """Go on at these positions, in partitions not named at their beginning.

        Args:
            positions: Partition to the `following` of the last payload that was taken.
        """
        ...

    def poll(self, limit: int, timeout_s: float) -> list[Batch]:
        """Return what comes next, each partition's payloads in order and each payload once since the last `seek`.

        A partition that cannot be read stands in `problems`, and holds back no other.

        Args:
            limit: Most payloads, at least 1.
            timeout_s: How long to wait for the first one; 0 to look once.

        Returns:
            Batches; none when nothing came in time.
        """
        ...

    def ends(self) -> dict[str, int]:
        """Return partition to the position behind what is there now; what is left is the difference."""
        ...

    def problems(self) -> dict[str, str]:
        """Return what keeps a partition from being taken, or lost some of it: what a person calls it to a sentence."""
        ...

    def close(self) -> None:
        """End a poll that waits, and let go of what is held; closing twice is harmless."""
        ...
