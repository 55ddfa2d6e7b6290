"""Events: pushed rows, checked, numbered and durable before they are acknowledged; and their way into the table."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from falaj.data.reader import Logs
from falaj.definitions.source import Source
from falaj.kernel.clock import Clock
from falaj.storage.metadata.database import Database
from falaj.storage.tables.port import TableStore


class Accepted(msgspec.Struct, frozen=True):
    """What became of pushed events; all of it is durable.

    Attributes:
        first_seq: The number of the first accepted event; the others follow without gaps. 0 when none was accepted.
        count: How many were accepted.
        rejected: Index within the push and reasons of each event that went to quarantine.
        warnings: Reason to number of events that a warning check found.
    """

    first_seq: int
    count: int
    rejected: list[tuple[int, list[str]]]
    warnings: dict[str, int] = {}

    @property
    def last_seq(self) -> int:
        """The number of the last accepted event: a view that applied it shows the push. 0 when none was accepted."""
        return self.first_seq + self.count - 1 if self.count else 0


class Events:
    """The pushed events of all sources.

    Args:
        tables: The tables.
        logs: Gives a source's event log.
        db: The metadata database.
        clock: Says when an event came.
    """

    def __init__(self, tables: TableStore, logs: Logs, db: Database, clock: Clock) -> None:
        self._tables = tables
        self._logs = logs
        self._db = db
        self._clock = clock

    def accept(self, source: Source, schema: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Accepted:
        """Check events and log them; returns when they are durable. The caller has authorised `source.push`.

        Timestamps are RFC 3339 text with a zone, aware datetimes, or whole microseconds since 1970.

        Raises:
            InputError: The source takes no events; an event has an unknown field, a value of another type, or no
                timestamp. The message has the event's index and the field, and no event of the push was kept.
            DiskFull: No space is left; no event was kept.
        """
        raise NotImplementedError

    def land(self, source: str, schema: Mapping[str, str], *, limit: int = 100_000) -> int:
        """Move logged events to the source's tables, each exactly once, and return the last number landed.

        One pass moves at most `limit` events; call it until the number stays.
        """
        raise NotImplementedError

    def landed(self, source: str) -> int:
        """Return the number up to which every event of the log is in the tables."""
        raise NotImplementedError

    def truncate(self, source: str, applied_seq: int) -> None:
        """Let the log forget events that have landed and that every view has applied.

        Args:
            source: The source's name.
            applied_seq: The least last-applied number over the source's views.
        """
        raise NotImplementedError
