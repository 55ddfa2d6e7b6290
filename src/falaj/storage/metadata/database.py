"""One SQL database: snapshots to read, and one writer at a time."""

import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import DBAPIError

from falaj.kernel.errors import Conflict, CorruptionError, DiskFull, FalajError, StorageError, Timeout
from falaj.storage.disk import lacks_room, refuse_network
from falaj.storage.metadata.schema import metadata

BUSY_TIMEOUT_S = 30.0
_IN_USE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_DISK = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})


class Database:
    """The metadata database, safe for threads and for several processes.

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

    def __init__(self, readers: Engine, writers: Engine, name: str, *, scratch: Path | None = None) -> None:
        self._readers = readers
        self._writers = writers
        self._name = name
        self._end = weakref.finalize(self, _end, readers, writers, scratch)  # also when nobody closed it
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
        return cls._open(path, durable=True)

    @classmethod
    def memory(cls) -> Self:
        """Return an empty database that is gone when closed.

        It lives in a temporary folder and not in SQLite's own memory mode, where readers would block the writer:
        tests see the isolation of the real one.
        """
        folder = Path(tempfile.mkdtemp(prefix="falaj-db-"))
        return cls._open(folder / "falaj.db", durable=False, scratch=folder)

    @classmethod
    def _open(cls, path: Path, *, durable: bool, scratch: Path | None = None) -> Self:
        readers = _engine(path, "BEGIN", durable=durable, query_only=True)
        writers = _engine(path, "BEGIN IMMEDIATE", durable=durable, query_only=False)
        database = cls(readers, writers, str(path), scratch=scratch)
        try:
            with database.write():  # switches the file to write-ahead logging before the first reader comes
                pass
        except FalajError:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one consistent snapshot, waits for nobody and refuses writes."""
        with self._named_errors(), self._readers.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection inside the only write transaction; commits at the end, rolls back on any error.

        Keep it short: everybody else who writes waits.

        Raises:
            Conflict: This thread is already inside `write`; it would wait for itself.
            Timeout: Others held the write lock for 30 s.
            DiskFull: No space is left; nothing of the transaction was kept.
        """
        if getattr(self._writing, "now", False):
            raise Conflict(
                f"database {self._name} is already being written by this thread", hint="pass the connection on instead"
            )
        if not self._turn.acquire(timeout=BUSY_TIMEOUT_S):  # threads queue here: SQLite's own waiting is unfair
            raise self._busy()
        self._writing.now = True
        try:
            with self._named_errors(), self._writers.begin() as connection:
                yield connection
        finally:
            self._writing.now = False
            self._turn.release()

    def create_all(self, tables: MetaData = metadata) -> None:
        """Make every declared table that is absent, without migrations."""
        with self.write() as connection:
            tables.create_all(connection)

    def check(self) -> None:
        """Read the whole file and compare it with its own indexes.

        Raises:
            CorruptionError: It is damaged; the message names the file and the first finding.
        """
        with self.read() as connection:
            findings = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalars().all()
        if findings != ["ok"]:
            raise self._corrupt(str(findings[0]) if findings else "no answer")

    def close(self) -> None:
        """Close all connections; the database can be used again only by opening it anew."""
        self._end()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            named = self._name_error(error)
            if named is None:
                raise
            raise named from error

    def _name_error(self, error: DBAPIError) -> FalajError | None:
        extended = getattr(error.orig, "sqlite_errorcode", None)
        if extended is None:
            return None
        code = extended & 0xFF
        # Where it cannot make the index of its log for want of room, SQLite calls that an I/O error.
        if code == sqlite3.SQLITE_FULL or (code in _DISK and lacks_room(Path(self._name).parent)):
            return DiskFull(
                f"database {self._name}: the disk is full", hint="free some space; nothing acknowledged was lost"
            )
        if code in _IN_USE:
            return self._busy()
        if code in _BROKEN:
            return self._corrupt(str(error.orig))
        if code in _DISK:
            return StorageError(
                f"database {self._name}: {error.orig}", hint="look at the disk and the folder's permissions"
            )
        return None

    def _busy(self) -> Timeout:
        return Timeout(
            f"database {self._name} was held by another writer for {BUSY_TIMEOUT_S:g} s",
            hint="try again; if it stays so, look for a stuck falaj process",
        )

    def _corrupt(self, finding: str) -> CorruptionError:
        return CorruptionError(
            f"database {self._name} is damaged: {finding}",
            hint="restore the file from a backup; it is not used as it is",
        )


def _end(readers: Engine, writers: Engine, scratch: Path | None) -> None:
    readers.dispose()
    writers.dispose()
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


def _engine(path: Path, begin: str, *, durable: bool, query_only: bool) -> Engine:
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, pool_size=8, max_overflow=-1
    )
    pragmas = [
        "PRAGMA journal_mode=WAL",
        f"PRAGMA synchronous={'FULL' if durable else 'OFF'}",
        "PRAGMA foreign_keys=ON",
        f"PRAGMA query_only={'ON' if query_only else 'OFF'}",
    ]

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # otherwise the driver begins transactions by its own rules
        for pragma in pragmas:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
