"""The transactional outbox: a change of what gateways must know is announced in the transaction that makes it.

Publishing is a separate, idempotent act. If the process dies between the two, the row is still there and the next
pass publishes; if it dies after publishing and before saying so, the next pass publishes the same bytes again.
"""

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from falaj.storage.keyvalue.port import KeyValueStore
from falaj.storage.keyvalue.snapshots import write_snapshots
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

OUTBOX = sa.Table(
    "outbox",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("topic", sa.String, nullable=False, index=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("published_at", sa.BigInteger, index=True),
    sqlite_autoincrement=True,  # a number is never given twice, or a worker would take a new snapshot for an old one
)

Build = Callable[[sa.Connection], bytes]
"""Makes a topic's snapshot from the rows of one transaction."""


def announce(connection: sa.Connection, topic: str, at_us: int) -> int:
    """Add a row that says the topic's snapshot changed, in a transaction that is already open.

    Args:
        connection: Of the transaction that makes the change.
        topic: Such as "routing" or "tokens".
        at_us: When, in microseconds.

    Returns:
        The row's number, greater than any before.
    """
    row = connection.execute(OUTBOX.insert().values(topic=topic, at=at_us).returning(OUTBOX.c.seq)).one()
    return int(row.seq)


def last_announced(connection: sa.Connection, topic: str | None = None) -> int:
    """Return the number of the last row, of one topic or of all; 0 when there is none."""
    query = sa.select(sa.func.coalesce(sa.func.max(OUTBOX.c.seq), 0))
    if topic is not None:
        query = query.where(OUTBOX.c.topic == topic)
    return int(connection.execute(query).scalar_one())


def publish(db: Database, store: KeyValueStore, build: Mapping[str, Build], now_us: int) -> bool:
    """Bring the key-value store up to what the database says, all topics at once.

    All topics share one epoch, so one publisher must know them all: two publishers with half the topics each could
    give one epoch to two different contents, and a worker would miss the second.

    Args:
        db: The metadata database.
        store: Where gateways read.
        build: Topic to the builder of its snapshot.
        now_us: The present, in microseconds.

    Returns:
        Whether the store changed.
    """
    with db.read() as connection:
        seq = last_announced(connection)
        snapshots = {topic: make(connection) for topic, make in build.items()}
        waiting = connection.execute(
            sa.select(sa.func.count()).where(OUTBOX.c.published_at.is_(None), OUTBOX.c.seq <= seq)
        ).scalar_one()
    changed = write_snapshots(store, snapshots, seq)
    if waiting:
        with db.write() as connection:
            connection.execute(
                OUTBOX.update().where(OUTBOX.c.published_at.is_(None), OUTBOX.c.seq <= seq).values(published_at=now_us)
            )
    return changed
