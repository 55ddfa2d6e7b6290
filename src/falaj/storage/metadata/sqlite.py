"""SQLite: the metadata in one file of the state folder."""

import random
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from falaj.kernel.errors import CorruptionError, DiskFull, FalajError, StorageError
from falaj.storage.disk import lacks_room
from falaj.storage.metadata.backend import BUSY_TIMEOUT_S, busy

_IN_USE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_DISK = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})

_FIRST_PAUSE_S = 0.000_2
_LONGEST_PAUSE_S = 0.002


class SqliteBackend:
    """A database file.

    Args:
        path: The file.
        durable: Whether what is committed survives a power cut.
        scratch: A folder that goes when the database is closed.
    """

    def __init__(self, path: Path, *, durable: bool, scratch: Path | None = None) -> None:
        self.name = str(path)
        flush = "FULL" if durable else "OFF"
        self.readers = _engine(path, "BEGIN", flush, query_only=True)
        self.writers = _engine(path, "BEGIN IMMEDIATE", flush, query_only=False)
        # NORMAL writes the log in order, and flushes it with the next FULL commit or before it goes into the file.
        self.hasty_writers = _engine(path, "BEGIN IMMEDIATE", "NORMAL" if durable else "OFF", query_only=False)
        self._scratch = scratch

    def named(self, error: DBAPIError) -> FalajError | None:
        """Return what SQLite's error means."""
        extended = getattr(error.orig, "sqlite_errorcode", None)
        if extended is None:
            return None
        code = extended & 0xFF
        # Where it cannot make the index of its log for want of room, SQLite calls that an I/O error.
        if code == sqlite3.SQLITE_FULL or (code in _DISK and lacks_room(Path(self.name).parent)):
            return DiskFull(
                f"database {self.name}: the disk is full", hint="free some space; nothing acknowledged was lost"
            )
        if code in _IN_USE:
            return busy(self.name)
        if code in _BROKEN:
            return CorruptionError(
                f"database {self.name} is damaged: {error.orig}",
                hint="restore the file from a backup; it is not used as it is",
            )
        if code in _DISK:
            return StorageError(
                f"database {self.name}: {error.orig}", hint="look at the disk and the folder's permissions"
            )
        return None

    def finding(self, connection: Connection) -> str | None:
        """Read the whole file and compare it with its own indexes."""
        findings = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalars().all()
        if findings == ["ok"]:
            return None
        return str(findings[0]) if findings else "no answer"

    def hold(self) -> None:
        """Do nothing: the file lies in the state folder, whose lock holds it."""

    def lost(self) -> FalajError | None:
        """Return None: what lies in the locked folder is not lost to another."""
        return None

    def close(self) -> None:
        """Close all connections."""
        self.readers.dispose()
        self.writers.dispose()
        self.hasty_writers.dispose()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _begin_writing(connection: Any, begin: str) -> bool:
    """Begin a transaction as soon as the writer before has ended; False where that took too long or went wrong.

    SQLite's own way of waiting sleeps for up to 100 ms between two looks. Another writer is gone after some
    milliseconds: with several processes at work the database would do nothing most of the time.
    """
    give_up, pause_s = time.monotonic() + BUSY_TIMEOUT_S, _FIRST_PAUSE_S
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute(begin)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _IN_USE or time.monotonic() >= give_up:
                    return False
            else:
                return True
            # Two that wait must not look at the same instants.
            time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")


def _engine(path: Path, begin: str, flush: str, *, query_only: bool) -> Engine:
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, pool_size=8, max_overflow=-1
    )
    pragmas = [
        "PRAGMA journal_mode=WAL",
        f"PRAGMA synchronous={flush}",
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
        if query_only:
            connection.exec_driver_sql(begin)
        elif not _begin_writing(connection.connection.driver_connection, begin):
            connection.exec_driver_sql("PRAGMA busy_timeout=0")  # it has waited, and now the error is to be seen
            connection.exec_driver_sql(begin)

    return engine
