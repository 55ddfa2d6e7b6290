"""CaughtUp: how far the online views of a source are, as a plain value."""

import msgspec


class CaughtUp(msgspec.Struct, frozen=True):
    """Where a source's views are.

    Attributes:
        source: The source.
        views: Its views' names.
        applied_seq: The number up to which all of them are.
        seconds: How long it took.
        head: The last number that the source has given out.
        done: Whether there is nothing further to apply now; what waits for a file on its way comes later.
    """

    source: str
    views: tuple[str, ...]
    applied_seq: int
    seconds: float
    head: int = 0
    done: bool = True
