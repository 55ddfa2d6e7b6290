"""Links: connections to one node for reads, without the client's pool, which would cost as much as the server."""

from collections.abc import Sequence
from typing import Any

import hiredis


def pack_mget(names: Sequence[bytes]) -> bytes:
    """Return the bytes that ask for the values of keys."""
    packed: bytes = hiredis.pack_command((b"MGET", *names))
    return packed


class Links:
    """Connections to one node. Each is used by one reader at a time; those that are free are kept.

    Args:
        pool: The client's pool, for its kind of connection and their options.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._free: list[Any] = []

    def take(self) -> tuple[Any, bool]:
        """Return a connection, and whether it was just opened."""
        try:
            return self._free.pop(), False
        except IndexError:
            return self.open(), True

    def open(self) -> Any:
        """Return a new connection. The pool would count what it makes and never what was closed."""
        link = self._pool.connection_class(**self._pool.connection_kwargs)
        link.connect()
        return link

    def give(self, link: Any) -> None:
        """Take back a connection of which no answer is outstanding; any other has to be closed."""
        self._free.append(link)

    def close(self) -> None:
        """Close those that are free."""
        while self._free:
            self._free.pop().disconnect()
