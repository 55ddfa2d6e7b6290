"""Who has the project whose metadata is on a server: a lock that the server lets go when its holder is gone."""

import contextlib
from collections.abc import Callable
from typing import Any

from falaj.kernel.errors import FalajError, Locked
from falaj.storage.metadata.postgres_errors import name_error

_WAIT_MS = 2_000
"""A process that was killed a moment ago may have the lock until the server notices."""

_HOLDER = """
    SELECT coalesce(nullif(application_name, ''), 'process ' || pid), coalesce(host(client_addr), 'its own machine')
    FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND granted AND classid = {kind} AND objid::bigint = ({which})::bigint & 4294967295
        AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Hold:
    """One project's lock, on a connection of its own.

    Args:
        connect: Opens a connection.
        name: The database, for messages.
        key: The lock: its kind, and SQL for which of that kind.
        psycopg: The client library.
    """

    def __init__(self, connect: Callable[[], Any], name: str, key: tuple[int, str], psycopg: Any) -> None:
        self._connect = connect
        self._name = name
        self._kind, self._which = key
        self._psycopg = psycopg
        self._connection: Any = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            Locked: Another process has it; the message names it.
            StorageError: The server does not answer.
        """
        try:
            with contextlib.ExitStack() as closing:
                connection = self._connect()
                closing.callback(connection.close)
                self._lock(connection)
                closing.pop_all()
        except self._psycopg.Error as error:
            raise name_error(self._name, error, disconnected=True) or error from None
        self._connection = connection

    def lost(self) -> FalajError | None:
        """Look whether the lock is still held, and take it again after the server was away.

        Returns:
            Why it is lost: another process took it meanwhile. None while it is held, or the server does not answer.
        """
        if self._connection is None:
            return None
        try:
            self._connection.execute("SELECT 1")
        except self._psycopg.Error:
            self._connection.close()
            try:
                self.take()
            except Locked as error:
                return error
            except FalajError:
                pass  # asked again at the next look
        return None

    def close(self) -> None:
        """Let the lock go; twice is harmless."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(self._psycopg.Error):
                connection.close()

    def _lock(self, connection: Any) -> None:
        connection.autocommit = True
        connection.execute(f"SET lock_timeout = {_WAIT_MS}")
        try:
            connection.execute(f"SELECT pg_advisory_lock({self._kind}, {self._which})")
        except self._psycopg.errors.LockNotAvailable:
            found = connection.execute(_HOLDER.format(kind=self._kind, which=self._which)).fetchone()
            holder = "another process" if found is None else f"{found[0]} on {found[1]}"
            raise Locked(
                f"the project's database {self._name} is held by {holder}",
                hint="end it there; the lock frees itself when that process ends",
            ) from None
