"""Publication: what gateways must know, brought from the database to the online store."""

from datetime import datetime

import sqlalchemy as sa

from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.definitions.project import Definitions
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

    def routing(connection: sa.Connection) -> bytes:
        # Of the definitions, and not of what serves: labels of a model that was withdrawn still come.
        numbers = any(model.task == "regression" for model in rooms.definitions.models.values())
        return routing_snapshot(connection, policies_of(rooms.definitions), numbers=numbers)

    build = {ROUTING_TOPIC: routing, TOKENS_TOPIC: tokens}
    return outbox.publish(rooms.db, rooms.online, build, to_us(rooms.clock.now()), force=force)


def publish_waiting(rooms: Rooms) -> bool:
    """Publish what is announced and not published, as a killed command leaves it; return whether anything changed."""
    with rooms.db.read() as connection:
        waiting = connection.execute(
            sa.select(outbox.OUTBOX.c.seq).where(outbox.OUTBOX.c.published_at.is_(None)).limit(1)
        ).first()
    return waiting is not None and publish_snapshots(rooms)


def policies_of(definitions: Definitions) -> dict[str, PredictionPolicy]:
    """Return, by endpoint, what of its decisions is written down, where that is not everything."""
    return {
        name: endpoint.prediction_log
        for name, endpoint in definitions.endpoints.items()
        if endpoint.prediction_log.restricts
    }


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
