"""Lineage: what was made from what, as edges between digests and names."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import sqlalchemy as sa

from falaj.storage.metadata.schema import metadata

LINEAGE_EDGE = sa.Table(
    "lineage_edge",
    metadata,
    sa.Column("upstream", sa.String, primary_key=True),
    sa.Column("downstream", sa.String, primary_key=True, index=True),
    sa.Column("upstream_kind", sa.String, nullable=False),
    sa.Column("downstream_kind", sa.String, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)


class Node(msgspec.Struct, frozen=True):
    """Something that was made or used.

    Attributes:
        kind: What it is: `file`, `view`, `dataset`, `model`, …
        id: Its digest, or its name where it has none.
    """

    kind: str
    id: str


class Edge(msgspec.Struct, frozen=True):
    """`downstream` was made from `upstream`, noted at `at` (microseconds since 1970)."""

    upstream: Node
    downstream: Node
    at: int


def add_edges(connection: sa.Connection, downstream: Node, upstream: Sequence[Node], at: int) -> None:
    """Note what something was made from, in the transaction that makes it; an edge that is known stays as it was."""
    known = sa.select(LINEAGE_EDGE.c.upstream).where(LINEAGE_EDGE.c.downstream == downstream.id)
    seen = set(connection.execute(known).scalars())
    for node in dict.fromkeys(upstream):
        if node.id not in seen:
            seen.add(node.id)
            connection.execute(
                LINEAGE_EDGE.insert().values(
                    upstream=node.id,
                    upstream_kind=node.kind,
                    downstream=downstream.id,
                    downstream_kind=downstream.kind,
                    at=at,
                )
            )


def upstream(connection: sa.Connection, id: str) -> list[Edge]:
    """Return every edge that leads to the digest or name, over any number of steps."""
    return _walk(connection, id, "upstream")


def downstream(connection: sa.Connection, id: str) -> list[Edge]:
    """Return every edge that leads from the digest or name, over any number of steps."""
    return _walk(connection, id, "downstream")


def _walk(connection: sa.Connection, id: str, direction: Literal["upstream", "downstream"]) -> list[Edge]:
    here, there = ("downstream", "upstream") if direction == "upstream" else ("upstream", "downstream")
    edge = LINEAGE_EDGE.c
    reached = sa.select(edge[here], edge[there]).where(edge[here] == id).cte("reached", recursive=True)
    step = sa.select(edge[here], edge[there]).where(edge[here] == reached.c[there])
    reached = reached.union(step)  # `union` drops what was seen, so that a circle ends
    joined = LINEAGE_EDGE.join(
        reached, (edge.upstream == reached.c.upstream) & (edge.downstream == reached.c.downstream)
    )
    rows = connection.execute(sa.select(LINEAGE_EDGE).select_from(joined).order_by(edge.at, edge.upstream))
    return [
        Edge(Node(row.upstream_kind, row.upstream), Node(row.downstream_kind, row.downstream), row.at) for row in rows
    ]
