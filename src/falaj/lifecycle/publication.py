"""Publication: what gateways must know, brought from the database to the online store."""

from datetime import datetime

import sqlalchemy as sa

from falaj.kernel.clock import to_us
from falaj.kernel.codec import to_msgpack
from falaj.kernel.rate import Rate
from falaj.lifecycle.rooms import TOKENS_TOPIC, Rooms
from falaj.rollout.table import TOPIC as ROUTING_TOPIC
from falaj.rollout.table import routing_snapshot
from falaj.storage.metadata import outbox


def publish_snapshots(rooms: Rooms, *, force: bool = False) -> bool:
    """Publish routing and tokens, and return whether anything changed; harmless to repeat.

    Args:
        rooms: The project.
        force: Publish even what the database says was published: at a start, since the store may have been lost.
    """

    def tokens(connection: sa.Connection) -> bytes:
        del connection
        tenants = {name: Rate.parse(text) for name, text in rooms.settings.limits.tenants.items()}
        return to_msgpack(rooms.actors.snapshot(tenants))

    build = {ROUTING_TOPIC: routing_snapshot, TOKENS_TOPIC: tokens}
    return outbox.publish(rooms.db, rooms.online, build, to_us(rooms.clock.now()), force=force)


def publish_waiting(rooms: Rooms) -> bool:
    """Publish what is announced and not published, as a killed command leaves it; return whether anything changed."""
    with rooms.db.read() as connection:
        waiting = connection.execute(
            sa.select(outbox.OUTBOX.c.seq).where(outbox.OUTBOX.c.published_at.is_(None)).limit(1)
        ).first()
    return waiting is not None and publish_snapshots(rooms)


class Publication:
    """Reconciler: publishes what a crash left between a write and its publication, and what a server has lost.

    Args:
        rooms: The project.
    """

    name = "publication"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Publish if a change is announced and not published, or the store does not hold what was published."""
        del now
        return publish_snapshots(self._rooms)
