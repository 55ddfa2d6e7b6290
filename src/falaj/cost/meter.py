"""The meter: what was used, by whom, added up where it happens."""

import msgspec
import sqlalchemy as sa

from falaj.kernel.clock import Clock, to_us
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

USAGE = sa.Table(
    "usage",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("cpu_seconds", sa.Float, nullable=False),
    sa.Column("wall_seconds", sa.Float, nullable=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False, index=True),
)


class Usage(msgspec.Struct, frozen=True):
    """What one subject used.

    Attributes:
        kind: What used it: `run`, `endpoint`, `materialise`, …
        subject: Which one.
        cpu_seconds: Core-seconds.
        wall_seconds: Seconds by the clock.
        requests: Predictions or other requests served.
    """

    kind: str
    subject: str
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    requests: int = 0


class Meter:
    """Records use in the metadata database.

    Args:
        db: The metadata database.
        clock: Gives the time of each record.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def record(self, *used: Usage) -> None:
        """Record use in a transaction of its own."""
        with self._db.write() as connection:
            self.record_in(connection, *used)

    def record_in(self, connection: sa.Connection, *used: Usage) -> None:
        """Record use in an open transaction, so that it counts exactly when the work that caused it does."""
        if used:
            at = to_us(self._clock.now())
            connection.execute(USAGE.insert(), [{**msgspec.structs.asdict(one), "at": at} for one in used])
