"""Servers: the few things that the store asks of a Redis, of one server or of a cluster."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import redis.backoff
import redis.retry

from falaj.storage.keyvalue.redis.address import RedisAddress

Script = tuple[str, Sequence[bytes], Sequence[bytes]]
"""One step: its Lua text, its keys and its arguments."""

Values = list[bytes | None]
MGET_KEYS = 5_000
"""Most keys of one `MGET`: a server answers nobody else meanwhile."""
SCAN_COUNT = 1_000
"""How many keys a server looks at for one step of a `SCAN`."""


class Servers(Protocol):
    """One server or a cluster. All but `close` raise a StorageError when it fails."""

    def read(self, groups: Sequence[Sequence[bytes]]) -> list[Values]:
        """Return the values of groups of keys, each group of one slot."""
        ...

    def run(self, scripts: Sequence[Script]) -> list[Any]:
        """Run scripts, each of one slot, whose answers stand in their order; an answer may be an error, not raised."""
        ...

    def scan(self, pattern: bytes) -> Iterator[bytes]:
        """Yield the names that match a pattern; some perhaps twice."""
        ...

    def unlink(self, names: Sequence[bytes]) -> None:
        """Remove keys of any slots."""
        ...

    def policies(self) -> set[str]:
        """Return what the servers do when their memory is full; empty where this user may not ask."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def client_options(address: RedisAddress, connect_s: float, timeout_s: float, retries: int) -> dict[str, Any]:
    """Return what a client of the library is made with.

    Args:
        address: Where it is.
        connect_s: How long connecting may take.
        timeout_s: How long an answer may take.
        retries: How often it may try again by itself.
    """
    options: dict[str, Any] = {
        "username": address.username or None,
        "password": address.password or None,
        "socket_connect_timeout": connect_s,
        "socket_timeout": timeout_s,
        "retry": redis.retry.Retry(redis.backoff.NoBackoff(), retries),
        "protocol": 2,
        "ssl": address.tls,
    }
    if address.tls and address.ca_file:
        options["ssl_ca_certs"] = address.ca_file
    return options


def slices(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the names in pieces that one `MGET` takes."""
    for start in range(0, len(names), MGET_KEYS):
        yield names[start : start + MGET_KEYS]
