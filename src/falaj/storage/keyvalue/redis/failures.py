"""Failures: what Redis says, as errors of Falaj; without the commands, which hold entity keys."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis.exceptions as said

from falaj.kernel.errors import FalajError, StorageError
from falaj.storage.keyvalue.redis.address import RedisAddress

_LONGEST = 160
FAILURES = (said.RedisError, said.RedisClusterException, OSError)
"""What the client raises when a server fails; that of a cluster without a node that answers is not a RedisError."""


@contextmanager
def named_failures(address: RedisAddress) -> Iterator[None]:
    """Raise a StorageError for what a Redis answered, or that it did not."""
    try:
        yield
    except FAILURES as error:
        raise named(address, error) from None


def named(address: RedisAddress, error: Exception) -> FalajError:
    """Return the error of Falaj for one of Redis.

    Args:
        address: Which Redis.
        error: What the client raised or the server answered.
    """
    what = f"online store {address}"
    text = str(error)
    if isinstance(error, said.AuthenticationError | said.AuthorizationError | said.NoPermissionError) or any(
        word in text for word in ("WRONGPASS", "NOAUTH", "NOPERM", "invalid username-password")
    ):
        return StorageError(
            f"{what} refuses the user or the password, or the user may not do this",
            hint="correct storage.online_username and FALAJ_STORAGE_ONLINE_PASSWORD; the user needs "
            "~falaj:* +@read +@write +@scripting +@connection +info, and of a cluster +cluster +command",
        )
    if isinstance(error, said.OutOfMemoryError) or text.startswith("OOM"):
        return StorageError(f"{what} is full", hint="raise maxmemory of Redis, or add nodes to the cluster")
    if isinstance(error, said.BusyLoadingError):
        return StorageError(f"{what} is loading its data", hint="wait")
    if isinstance(error, said.ReadOnlyError):
        return StorageError(f"{what} is a replica, which cannot be written", hint="give the primary's address")
    if isinstance(error, said.TimeoutError | TimeoutError):
        return StorageError(f"{what} did not answer in time", hint="look at the server and the network")
    if isinstance(error, said.ConnectionError | said.RedisClusterException | OSError):
        return StorageError(f"{what} cannot be reached: {text[:_LONGEST]}", hint="start Redis, or correct the address")
    return StorageError(f"{what}: {_answer(error)}", hint="look at the log of Redis")


def _answer(error: Exception) -> str:
    """Return the server's own words, without the command that the client may add to them."""
    text = str(error)
    return "an answer that was not expected" if text.startswith("Command #") else text[:_LONGEST]
