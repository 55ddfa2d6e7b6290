"""Reader: a source's rows in the order of their numbers, wherever they lie."""

from collections.abc import Callable, Mapping

import pyarrow as pa

from falaj.storage.eventlog import EventLog
from falaj.storage.metadata.database import Database
from falaj.storage.tables.port import TableStore

Logs = Callable[[str], EventLog]
"""Gives the event log of a source by its name; the same object each time."""


class SourceReader:
    """Reads one sequence from two places: the table, and the tail of the log that has not landed there.

    Args:
        tables: The tables.
        logs: Gives a source's event log.
        db: The metadata database.
    """

    def __init__(self, tables: TableStore, logs: Logs, db: Database) -> None:
        self._tables = tables
        self._logs = logs
        self._db = db

    def head(self, source: str) -> int:
        """Return the greatest number that `read_from` can reach now; 0 for a source without rows."""
        raise NotImplementedError

    def read_from(self, source: str, schema: Mapping[str, str], seq: int, limit: int) -> tuple[pa.Table, int]:
        """Return the accepted rows numbered from `seq` on, and the last number that they account for.

        Read on from `through_seq + 1`. The answer has no rows only when `through_seq` is the head: rejected rows and
        numbers that were never used are passed over. A file that is being ingested is not passed: what comes after
        it waits until the file is whole, so that the order of numbers is the order in which views apply rows.

        Args:
            source: The source's name.
            schema: Column to dtype; columns that a row lacks are null.
            seq: The first number wanted, 1 or more.
            limit: Most rows.

        Returns:
            Table of `stored_schema(schema)`, ascending by `_ingest_seq`; and the last number accounted for, `seq - 1`
            when there is nothing new.
        """
        raise NotImplementedError
