"""The port of the metadata database: what each kind of server or file does in its own way."""

from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from falaj.kernel.errors import FalajError, Timeout

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for the one before it."""


class Backend(Protocol):
    """One SQL database as `Database` uses it.

    Attributes:
        name: The file or the server, without passwords, for messages.
        readers: Gives connections that see one snapshot per transaction and refuse writes.
        writers: Gives connections whose transaction is the only one that writes, from its beginning on.
        hasty_writers: The same, and their commits do not wait for the disk: a power cut may undo them. What a writer
            commits later keeps them.
    """

    name: str
    readers: Engine
    writers: Engine
    hasty_writers: Engine

    def named(self, error: DBAPIError) -> FalajError | None:
        """Return what the driver's error means; None where it is the caller's to see."""
        ...

    def finding(self, connection: Connection) -> str | None:
        """Look whether what is kept is sound, as far as this can be asked; return the first thing that is not."""
        ...

    def hold(self) -> None:
        """Take the project: one process at a time changes it.

        Raises:
            Locked: Another process has it; the message names it.
        """
        ...

    def lost(self) -> FalajError | None:
        """Return why this process has the project no more; None while it has, or cannot know for the moment."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


def busy(name: str) -> Timeout:
    """Return the error for a writer that waited in vain."""
    return Timeout(
        f"database {name} was held by another writer for {BUSY_TIMEOUT_S:g} s",
        hint="try again; if it stays so, look for a stuck falaj process",
    )
