"""One SQL database: snapshots to read, and one writer at a time."""

import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from falaj.kernel.errors import Conflict, CorruptionError, FalajError, Overloaded
from falaj.storage.disk import refuse_network
from falaj.storage.metadata.backend import BUSY_TIMEOUT_S, Backend, busy
from falaj.storage.metadata.schema import metadata
from falaj.storage.metadata.sqlite import SqliteBackend


class Database:
    """The metadata database, safe for threads and for several processes.

    Args:
        backend: Where it is kept.

    Example:
        >>> from sqlalchemy import text
        >>> database = Database.memory()
        >>> with database.write() as connection:
        ...     _ = connection.execute(text("create table note (body text)"))
        ...     _ = connection.execute(text("insert into note values ('kept')"))
        >>> with database.read() as connection:
        ...     connection.execute(text("select body from note")).scalar_one()
        'kept'
        >>> database.close()
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._end = weakref.finalize(self, backend.close)  # also when nobody closed it
        self._turn = threading.Lock()
        self._writing = threading.local()

    @classmethod
    def sqlite(cls, path: Path) -> Self:
        """Open the database file, or make it.

        Raises:
            Unsupported: The file is on a network file system.
            CorruptionError: The file is not a database.
            StorageError: It cannot be opened.
        """
        refuse_network(path)
        return cls._open(SqliteBackend(path, durable=True))

    @classmethod
    def memory(cls) -> Self:
        """Return an empty database that is gone when closed.

        It lives in a temporary folder and not in SQLite's own memory mode, where readers would block the writer:
        tests see the isolation of the real one.
        """
        folder = Path(tempfile.mkdtemp(prefix="falaj-db-"))
        return cls._open(SqliteBackend(folder / "falaj.db", durable=False, scratch=folder))

    @classmethod
    def postgres(cls, url: str, password: str = "") -> Self:
        """Open a database on a PostgreSQL server.

        Args:
            url: As in `postgresql://user@host:5432/database`.
            password: The user's; where it is empty, the URL's own or the one that libpq finds.

        Raises:
            ExtraMissing: The client is not installed.
            ProjectError: The URL is not one.
            Unsupported: The server is older than version 14, or the database is not in UTF-8.
            StorageError: The server does not answer, or refuses.
        """
        from falaj.storage.metadata.postgres import PostgresBackend

        return cls._open(PostgresBackend(url, password))

    @classmethod
    def _open(cls, backend: Backend) -> Self:
        database = cls(backend)
        try:
            with database.write():  # shows that it can; a file is switched to write-ahead logging before it is read
                pass
        except FalajError:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one consistent snapshot, waits for nobody and refuses writes."""
        with self._named_errors(), self._backend.readers.begin() as connection:
            yield connection

    @contextmanager
    def write(self, *, flush: bool = True) -> Iterator[Connection]:
        """Give a connection inside the only write transaction; commits at the end, rolls back on any error.

        Keep it short: everybody else who writes waits.

        Args:
            flush: Whether the commit waits until a power cut cannot undo it. Without, one may, until something else is
                committed with it; the death of processes undoes nothing either way.

        Raises:
            Conflict: This thread is already inside `write`; it would wait for itself.
            Timeout: Others held the write lock for 30 s.
            DiskFull: No space is left; nothing of the transaction was kept.
            StorageError: The disk or the server failed. Of a server that went away while it committed nobody knows
                whether the transaction was kept.
        """
        name = self._backend.name
        if getattr(self._writing, "now", False):
            raise Conflict(
                f"database {name} is already being written by this thread", hint="pass the connection on instead"
            )
        if not self._turn.acquire(timeout=BUSY_TIMEOUT_S):  # threads queue here: SQLite's own waiting is unfair
            raise busy(name)
        self._writing.now = True
        try:
            writers = self._backend.writers if flush else self._backend.hasty_writers
            with self._named_errors(), writers.begin() as connection:
                yield connection
        finally:
            self._writing.now = False
            self._turn.release()

    def create_all(self, tables: MetaData = metadata) -> None:
        """Make every declared table that is absent, without migrations."""
        with self.write() as connection:
            tables.create_all(connection)

    def check(self) -> None:
        """Look whether what is kept is sound; of a file all of it is read, a server looks after its own.

        Raises:
            CorruptionError: It is damaged; the message names the database and the first finding.
        """
        with self.read() as connection:
            finding = self._backend.finding(connection)
        if finding is not None:
            raise CorruptionError(
                f"database {self._backend.name} is damaged: {finding}",
                hint="restore it from a backup; it is not used as it is",
            )

    def hold(self) -> None:
        """Take the project until the database is closed: one process at a time changes it.

        Raises:
            Locked: Another process has it; the message names it.
        """
        self._backend.hold()

    def lost(self) -> FalajError | None:
        """Return why this process has the project no more; None while it has, or cannot know for the moment."""
        return self._backend.lost()

    def close(self) -> None:
        """Close all connections; the database can be used again only by opening it anew."""
        self._end()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout as error:
            raise Overloaded(
                f"database {self._backend.name}: too many ask it at the same time", hint="try again in a moment"
            ) from error
        except DBAPIError as error:
            named = self._backend.named(error)
            if named is None:
                raise
            raise named from error
