"""Wishes: which version is to be rolled out to an endpoint as soon as that is allowed; one row per endpoint."""

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from falaj.governance.access import Actor
from falaj.governance.audit import audited
from falaj.kernel.clock import to_us
from falaj.kernel.errors import Conflict
from falaj.lifecycle.rooms import Rooms
from falaj.models.version import ModelVersion
from falaj.storage.metadata.schema import metadata

WISH = sa.Table(
    "promotion_wish",
    metadata,
    sa.Column("endpoint", sa.String, primary_key=True),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)


class Wish(NamedTuple):
    """One row: a version wanted on an endpoint."""

    endpoint: str
    model: str
    version: int


def wish(rooms: Rooms, endpoint: str, version: ModelVersion, actor: Actor) -> None:
    """Note that a version is to be rolled out once it is approved; a newer wish replaces an older one.

    Nobody is asked about an older version any more that is wanted nowhere since.
    """
    row = {"model": version.model, "version": version.version, "actor": actor.name}
    with audited(rooms.db, rooms.clock, actor, "endpoint.wish", endpoint, dict(row)) as connection:
        replaced = [one.version for one in wishes(connection) if (one.endpoint, one.model) == (endpoint, version.model)]
        connection.execute(WISH.delete().where(WISH.c.endpoint == endpoint))
        connection.execute(WISH.insert().values(endpoint=endpoint, at=to_us(rooms.clock.now()), **row))
        close_older(rooms, connection, version.model, version.version, replaced)


def close_older(
    rooms: Rooms, connection: sa.Connection, model: str, version: int, of: Iterable[int] | None = None
) -> None:
    """Close the questions about older versions whose place one took, in the transaction that put it there.

    What is still wanted on an endpoint goes on waiting.

    Args:
        rooms: The project.
        connection: The transaction.
        model: The model.
        version: The one that is wanted, or serves, now.
        of: Versions to look at; all older ones by default.
    """
    wanted = {one.version for one in wishes(connection) if one.model == model}
    given = range(1, version) if of is None else of
    subjects = [f"{model}/{older}" for older in given if older < version and older not in wanted]
    rooms.approvals.supersede(connection, "model", subjects, f"version {version} replaced it")


def wishes(connection: sa.Connection) -> list[Wish]:
    """Return all wishes, the oldest first."""
    return [
        Wish(row.endpoint, row.model, row.version) for row in connection.execute(sa.select(WISH).order_by(WISH.c.at))
    ]


def wanted_by(connection: sa.Connection, endpoint: str) -> str | None:
    """Return who wished for what waits at an endpoint; None where nothing does."""
    return connection.scalar(sa.select(WISH.c.actor).where(WISH.c.endpoint == endpoint))


def forget(rooms: Rooms, unmet: Wish) -> None:
    """Drop a wish that was refused or is met; a newer one of the endpoint stays."""
    with rooms.db.write() as connection:
        _delete(connection, unmet)


def fulfil(connection: sa.Connection, met: Wish) -> None:
    """Drop the wish in the transaction that starts its rollout.

    Raises:
        Conflict: It is gone: somebody rolled back, undeployed, or wished for another version meanwhile, and what they
            wanted last holds.
    """
    if not _delete(connection, met):
        raise Conflict(
            f"version {met.version} is wanted on endpoint {met.endpoint!r} no more",
            hint=f"if it still is: falaj deploy {met.endpoint} --version {met.version}",
        )


def withdraw_wishes(connection: sa.Connection, endpoint: str) -> None:
    """Drop an endpoint's wish in the transaction that rolls it back or ends it: nothing moves there unasked."""
    connection.execute(WISH.delete().where(WISH.c.endpoint == endpoint))


def _delete(connection: sa.Connection, one: Wish) -> bool:
    where = (WISH.c.endpoint == one.endpoint) & (WISH.c.model == one.model) & (WISH.c.version == one.version)
    return bool(connection.execute(WISH.delete().where(where)).rowcount)
