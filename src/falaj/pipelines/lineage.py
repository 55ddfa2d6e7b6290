"""Lineage: what came from what, by digest, across all runs."""

import msgspec
import sqlalchemy as sa

from falaj.pipelines.tables import LINEAGE
from falaj.storage.metadata.database import Database


class Edge(msgspec.Struct, frozen=True):
    """One thing came from another.

    Attributes:
        from_digest: A file, a dataset, or the key of a step.
        to_digest: What was made from it, likewise.
        run_id: The run that did it.
        step: Its step.
    """

    from_digest: str
    to_digest: str
    run_id: str
    step: str


def sources(db: Database, digest: str) -> list[Edge]:
    """Return every edge on the ways that lead to a digest, at any remove."""
    return _walk(db, digest, start=LINEAGE.c.to_digest, onward=LINEAGE.c.from_digest)


def uses(db: Database, digest: str) -> list[Edge]:
    """Return every edge on the ways that lead away from a digest, at any remove."""
    return _walk(db, digest, start=LINEAGE.c.from_digest, onward=LINEAGE.c.to_digest)


def _walk(db: Database, digest: str, *, start: "sa.Column[str]", onward: "sa.Column[str]") -> list[Edge]:
    reached = sa.select(sa.literal(digest).label("digest")).cte("reached", recursive=True)
    # UNION, not UNION ALL: what was reached once is not walked again, so a circle ends.
    reached = reached.union(sa.select(onward).join(reached, start == reached.c.digest))
    query = sa.select(LINEAGE).where(start.in_(sa.select(reached.c.digest)))
    query = query.order_by(LINEAGE.c.run_id, LINEAGE.c.step, LINEAGE.c.from_digest, LINEAGE.c.to_digest)
    with db.read() as connection:
        return [Edge(**row._mapping) for row in connection.execute(query)]
