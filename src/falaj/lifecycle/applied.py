"""Applied definitions: what the project last carried out, kept as one document per epoch."""

from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.definitions.project import Definitions
from falaj.definitions.service_spec import ServiceSpec, ViewSpec
from falaj.governance.access import Actor
from falaj.governance.audit import audited
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.codec import canonical_json
from falaj.kernel.digest import digest_bytes
from falaj.kernel.errors import Conflict, CorruptionError
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

APPLIED = sa.Table(
    "applied",
    metadata,
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)


class Document(msgspec.Struct, frozen=True):
    """What one apply carried out.

    Attributes:
        definitions: All definitions.
        schemas: Source name to column to type, as the files and declarations said.
        services: Feature service name to its compiled spec.
        views: Feature view name to its compiled spec.
    """

    definitions: Definitions = Definitions()
    schemas: dict[str, dict[str, str]] = {}
    services: dict[str, ServiceSpec] = {}
    views: dict[str, ViewSpec] = {}


class Applied(msgspec.Struct, frozen=True):
    """The document in force.

    Attributes:
        epoch: Grows by one with every apply; 0 before the first.
        document: What was applied.
        actor: Who applied it.
        at: When, in microseconds since 1970.
    """

    epoch: int = 0
    document: Document = Document()
    actor: str = ""
    at: int = 0


def read_applied(db: Database) -> Applied:
    """Return the document in force, or an empty one before the first apply.

    Raises:
        CorruptionError: The stored document does not match its digest.
    """
    with db.read() as connection:
        row = connection.execute(sa.select(APPLIED).order_by(APPLIED.c.epoch.desc()).limit(1)).first()
    if row is None:
        return Applied()
    if digest_bytes(row.document.encode()) != row.digest:
        raise CorruptionError(f"applied definitions of epoch {row.epoch} do not match their digest", hint="apply again")
    return Applied(row.epoch, msgspec.json.decode(row.document, type=Document), row.actor, row.at)


def applied_epoch(db: Database) -> int:
    """Return the epoch in force; cheap, so that holders of a document know when to read it anew."""
    with db.read() as connection:
        return connection.execute(sa.select(sa.func.max(APPLIED.c.epoch))).scalar() or 0


def write_applied(
    db: Database,
    clock: Clock,
    actor: Actor,
    document: Document,
    *,
    after: int,
    detail: dict[str, Any],
    announce: Callable[[sa.Connection, int], object] = lambda _connection, _at_us: None,
) -> Applied:
    """Put a document in force.

    Args:
        db: The metadata database.
        clock: Gives the time.
        actor: Who applies.
        document: What to put in force.
        after: The epoch that the plan was made against.
        detail: For the audit record: what was added, changed and removed.
        announce: Says in the same transaction what gateways must learn of it; gets the instant in microseconds.

    Raises:
        Conflict: Somebody applied since the plan was made.
    """
    text = canonical_json(document).decode()
    with audited(db, clock, actor, "project.apply", "project", detail) as connection:
        present = connection.execute(sa.select(sa.func.max(APPLIED.c.epoch))).scalar() or 0
        if present != after:
            raise Conflict("somebody else applied definitions meanwhile", hint="look at 'falaj plan' and apply again")
        applied = Applied(after + 1, document, actor.name, to_us(clock.now()))
        row = {
            "epoch": applied.epoch,
            "digest": digest_bytes(text.encode()),
            "document": text,
            "actor": applied.actor,
            "at": applied.at,
        }
        connection.execute(APPLIED.insert().values(**row))
        announce(connection, applied.at)
    return applied
