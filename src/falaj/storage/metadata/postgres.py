"""PostgreSQL: the metadata in a database of a server, with the meaning that it has in a file.

Writers queue at an advisory lock before their first statement, so each sees all that was committed before it, and no
transaction fails because another one ran beside it: there is nothing to repeat. Readers have one snapshot each.
"""

import importlib
from contextlib import ExitStack
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from falaj.kernel.errors import ExtraMissing, FalajError
from falaj.storage.metadata.backend import BUSY_TIMEOUT_S
from falaj.storage.metadata.postgres_address import PostgresAddress
from falaj.storage.metadata.postgres_errors import name_error
from falaj.storage.metadata.postgres_hold import Hold

_KINDS_OF_LOCK = 0x46414C00  # "FAL": apart from the advisory locks of other programs
WRITER_LOCK, PROJECT_LOCK = _KINDS_OF_LOCK + 1, _KINDS_OF_LOCK + 2
_OF_THIS_SCHEMA = "hashtext(current_schema())"
"""Projects may share a database under schemas of their own; the locks of one are not those of another."""

_MOST_READERS = 16
_WAIT_FOR_READER_S = 30
_CONNECT_S = 10
_SESSION = {
    "lock_timeout": f"{int(BUSY_TIMEOUT_S * 1000)}",
    # A machine that vanished, or a process that was frozen, must not keep the others waiting for ever.
    "idle_in_transaction_session_timeout": "120000",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class PostgresBackend:
    """A database of a server of version 14 or later.

    Args:
        url: As in `postgresql://user@host:5432/database`.
        password: The user's; empty for the URL's own.

    Raises:
        ExtraMissing: The client is not installed.
        ProjectError: The URL is not one.
    """

    def __init__(self, url: str, password: str = "") -> None:
        psycopg = _library()
        address = PostgresAddress.parse(psycopg, url, password)
        self.name = address.name
        self.readers = _readers(psycopg, address)
        self.writers = _writers(psycopg, address)
        self.hasty_writers = _writers(psycopg, address, hasty=True)
        self._hold = Hold(
            lambda: _connect(psycopg, address, _CONNECT_S), self.name, (PROJECT_LOCK, _OF_THIS_SCHEMA), psycopg
        )

    def named(self, error: DBAPIError) -> FalajError | None:
        """Return what the server's or the client's error means."""
        return name_error(self.name, error.orig, disconnected=error.connection_invalidated)

    def finding(self, connection: Connection) -> str | None:
        """Ask one thing: a server looks after its own files."""
        connection.exec_driver_sql("SELECT 1")
        return None

    def hold(self) -> None:
        """Take the project, by a lock that the server lets go when this process ends."""
        self._hold.take()

    def lost(self) -> FalajError | None:
        """Return why this process has the project no more."""
        return self._hold.lost()

    def close(self) -> None:
        """Close all connections."""
        self._hold.close()
        self.readers.dispose()
        self.writers.dispose()
        self.hasty_writers.dispose()


def _library() -> ModuleType:
    try:
        return importlib.import_module("psycopg")
    except ImportError:
        raise ExtraMissing("the client of PostgreSQL is not installed", hint="pip install 'falaj[postgres]'") from None


def _connect(psycopg: Any, address: PostgresAddress, timeout_s: int) -> Any:
    connection = psycopg.connect(address.conninfo(_SESSION), connect_timeout=timeout_s, autocommit=True)
    with ExitStack() as closing:
        closing.callback(connection.close)
        address.check(connection)
        # Where the server answers before its disk has it, what Falaj acknowledges could be lost.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        connection.autocommit = False
        closing.pop_all()
    return connection


def _readers(psycopg: Any, address: PostgresAddress) -> Engine:
    def connect() -> Any:
        connection = _connect(psycopg, address, _CONNECT_S)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # one snapshot for all statements
        connection.read_only = True
        return connection

    return _engine(connect, kept=4, more=_MOST_READERS - 4)


def _writers(psycopg: Any, address: PostgresAddress, *, hasty: bool = False) -> Engine:
    def connect() -> Any:
        connection = _connect(psycopg, address, _CONNECT_S)
        # Each statement sees what is committed when it begins. A snapshot of the whole transaction would be taken by
        # the statement that waits for the lock, and so be older than what the writer before has done.
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return connection

    engine = _engine(connect, kept=1, more=0)  # threads of one process queue before they come here

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK}, {_OF_THIS_SCHEMA})")
        if hasty:
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")

    return engine


def _engine(connect: Any, *, kept: int, more: int) -> Engine:
    return create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_size=kept,
        max_overflow=more,
        pool_timeout=_WAIT_FOR_READER_S,
        pool_pre_ping=True,  # a server that was restarted is met by new connections, and no work is lost on old ones
        use_native_hstore=False,
    )
