"""The transactional outbox: a change of what gateways must know is announced in the transaction that makes it.

Publishing is a separate, idempotent act. If the process dies between the two, the row is still there and the next
pass publishes; if it dies after publishing and before saying so, the next pass publishes the same bytes again.
"""

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from falaj.storage.keyvalue.port import KeyValueStore
from falaj.storage.keyvalue.snapshots import has_snapshots, read_epoch, write_snapshots
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


def publish(
    db: Database, store: KeyValueStore, build: Mapping[str, Build], now_us: int, *, force: bool = False
) -> bool:
    """Bring the key-value store up to what the database says, all topics at once.

    All topics share one epoch, so one publisher must know them all: two publishers with half the topics each could
    give one epoch to two different contents, and a worker would miss the second.

    Args:
        db: The metadata database.
        store: Where gateways read.
        build: Topic to the builder of its snapshot.
        now_us: The present, in microseconds.
        force: Build and compare even where nothing was announced: at the start, when another release may have
            written what the store holds.

    Returns:
        Whether the store changed.
    """
    if not force and not _stale(db, store, build):
        return False
    # The write transaction is the queue of publishers: one that read earlier must not overwrite one that read later.
    with db.write() as connection:
        seq = last_announced(connection)
        snapshots = {topic: make(connection) for topic, make in build.items()}
        changed = write_snapshots(store, snapshots, seq)
        connection.execute(OUTBOX.update().where(OUTBOX.c.published_at.is_(None)).values(published_at=now_us))
    return changed


def _stale(db: Database, store: KeyValueStore, build: Mapping[str, Build]) -> bool:
    with db.read() as connection:
        seq = last_announced(connection)
        waiting = connection.execute(sa.select(OUTBOX.c.seq).where(OUTBOX.c.published_at.is_(None)).limit(1)).first()
    # The store may be empty or older although all was published: it was lost, or restored from a backup.
    return waiting is not None or read_epoch(store) != seq or (seq > 0 and not has_snapshots(store, build))
