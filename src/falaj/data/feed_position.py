"""Feed positions: up to where each partition of a source's feed was taken, by what was taken.

Each event that came by a feed says in its frame where to go on after it. So one append keeps events and position, and
nothing can come between them. Landing moves both on: the events into the table, the positions here.
"""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from falaj.data.event_frame import EventFrame
from falaj.storage.metadata.schema import metadata

FEED_POSITION = sa.Table(
    "feed_position",
    metadata,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("partition", sa.String, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
)

FROM = "taken from "
"""How the last reason of a refused event begins that came by a feed."""


def latest_positions(frames: Iterable[EventFrame]) -> dict[str, int]:
    """Return partition to where to go on after these events.

    Example:
        >>> taken = [EventFrame(0, 0, None, {}, partition="a", following=end) for end in (10, 25)]
        >>> latest_positions([*taken, EventFrame(0, 0, None, {})])
        {'a': 25}
    """
    return {frame.partition: frame.following for frame in frames if frame.partition}


def positions(connection: sa.Connection, source: str) -> dict[str, int]:
    """Return partition to where to go on after the events that have landed."""
    query = sa.select(FEED_POSITION.c.partition, FEED_POSITION.c.position).where(FEED_POSITION.c.source == source)
    return {row.partition: row.position for row in connection.execute(query.order_by(FEED_POSITION.c.partition))}


def set_positions(connection: sa.Connection, source: str, found: Mapping[str, int]) -> None:
    """Note where to go on after events that land in this transaction; a repeat is harmless."""
    table = FEED_POSITION
    for partition, position in found.items():
        connection.execute(table.delete().where(table.c.source == source, table.c.partition == partition))
        connection.execute(table.insert().values(source=source, partition=partition, position=position))


def came_from(place: str, position: int) -> str:
    """Return where a refused event was taken from, as the last of its reasons."""
    return f"{FROM}{place} at {position}"
