"""The audit trail: one record in the transaction of every write, chained by digests, never changed."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.governance.access import Actor
from falaj.governance.audit_record import AuditRecord, ChainHead
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.codec import canonical_json
from falaj.kernel.digest import digest_value
from falaj.kernel.errors import CorruptionError
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

FIRST_HASH = "0" * 64
"""What the first record follows."""

AUDIT_RECORD = sa.Table(
    "audit_record",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("resource", sa.String, nullable=False, index=True),
    sa.Column("detail", sa.Text, nullable=False),
    # Unique, so that two writers can never both follow the same record: the chain cannot fork on any backend.
    sa.Column("prev_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("hash", sa.String(64), nullable=False),
)

SEALS = {
    "sqlite": tuple(
        f"CREATE TRIGGER IF NOT EXISTS audit_record_no_{verb.lower()} BEFORE {verb} ON audit_record "
        "BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION audit_record_sealed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'audit records are never changed' USING ERRCODE = 'integrity_constraint_violation'; END $$",
        "CREATE OR REPLACE TRIGGER audit_record_sealed BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_record "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_record_sealed()",
    ),
}
"""Triggers that refuse to change or remove a record; a migration that makes the table runs them too."""

for _dialect, _statements in SEALS.items():
    for _statement in _statements:
        sa.event.listen(AUDIT_RECORD, "after_create", sa.DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def audited(
    db: Database,
    clock: Clock,
    actor: Actor,
    action: str,
    resource: str,
    detail: dict[str, Any] | None = None,
) -> Iterator[sa.Connection]:
    """Open one write transaction that ends with its own audit record.

    The detail is read when the block ends, so the block may add to it. A block that raises leaves neither its
    writes nor a record.

    Args:
        db: The metadata database.
        clock: Gives the record's time.
        actor: Who acts; already authorised.
        action: `noun.verb`.
        resource: What is acted on.
        detail: Plain values that say what changes.

    Yields:
        The connection to write with.
    """
    with db.write() as connection:
        yield connection
        record(connection, clock, actor.name, action, resource, detail)


def record(
    connection: sa.Connection,
    clock: Clock,
    actor: str,
    action: str,
    resource: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add a record in a transaction that is already open."""
    last = connection.execute(
        sa.select(AUDIT_RECORD.c.seq, AUDIT_RECORD.c.hash).order_by(AUDIT_RECORD.c.seq.desc()).limit(1)
    ).first()
    seq, prev_hash = (last.seq + 1, last.hash) if last else (1, FIRST_HASH)
    row = {
        "seq": seq,
        "at": to_us(clock.now()),
        "actor": actor,
        "action": action,
        "resource": resource,
        "detail": canonical_json(dict(detail or {})).decode(),
        "prev_hash": prev_hash,
    }
    connection.execute(AUDIT_RECORD.insert().values(**row, hash=digest_value(row)))


def list_records(
    db: Database,
    *,
    actor: str | None = None,
    action: str | None = None,
    resource: str | None = None,
    before_seq: int | None = None,
    limit: int = 100,
) -> list[AuditRecord]:
    """Return records, the newest first.

    Args:
        db: The metadata database.
        actor: Only this actor's.
        action: Only this action; a trailing `*` stands for any ending.
        resource: Only about this.
        before_seq: Only older ones: the last `seq` of the page before.
        limit: Most records returned.
    """
    query = sa.select(AUDIT_RECORD).order_by(AUDIT_RECORD.c.seq.desc()).limit(limit)
    if actor is not None:
        query = query.where(AUDIT_RECORD.c.actor == actor)
    if action is not None and action.endswith("*"):
        query = query.where(AUDIT_RECORD.c.action.startswith(action[:-1], autoescape=True))
    elif action is not None:
        query = query.where(AUDIT_RECORD.c.action == action)
    if resource is not None:
        query = query.where(AUDIT_RECORD.c.resource == resource)
    if before_seq is not None:
        query = query.where(AUDIT_RECORD.c.seq < before_seq)
    with db.read() as connection:
        return [_record_of(row) for row in connection.execute(query)]


def records_between(
    connection: sa.Connection, since_us: int, until_us: int, actions: Sequence[str], *, limit: int = 1_000
) -> list[AuditRecord]:
    """Return records of a stretch of time, the oldest first; of more than `limit` the newest.

    Args:
        connection: To read with.
        since_us: From when, in microseconds.
        until_us: Until when, that instant included.
        actions: What the action begins with, any of them.
        limit: Most records returned.
    """
    begins = [AUDIT_RECORD.c.action.startswith(action, autoescape=True) for action in actions]
    query = sa.select(AUDIT_RECORD).where(AUDIT_RECORD.c.at.between(since_us, until_us), sa.or_(*begins))
    rows = connection.execute(query.order_by(AUDIT_RECORD.c.seq.desc()).limit(limit)).all()
    return [_record_of(row) for row in reversed(rows)]


def verify(db: Database, head: ChainHead | None = None) -> ChainHead:
    """Recompute every hash from the first record on.

    Args:
        db: The metadata database.
        head: An earlier result; the chain must still hold that record.

    Returns:
        The chain's present head.

    Raises:
        CorruptionError: A record was changed, removed or put in; the message names the first bad one.
    """
    count, prev_hash = 0, FIRST_HASH
    with db.read() as connection:
        for row in connection.execute(sa.select(AUDIT_RECORD).order_by(AUDIT_RECORD.c.seq)):
            fields = dict(row._mapping)
            stored = fields.pop("hash")
            if row.seq != count + 1 or row.prev_hash != prev_hash or digest_value(fields) != stored:
                raise _broken(count + 1)
            count, prev_hash = row.seq, stored
            if head is not None and count == head.records and prev_hash != head.hash:
                raise _broken(count)
    if head is not None and count < head.records:
        raise _broken(count + 1)
    return ChainHead(count, prev_hash)


def _broken(seq: int) -> CorruptionError:
    return CorruptionError(
        f"the audit trail is broken at record {seq}: it was changed, removed or put in from outside",
        hint="restore the metadata database from a backup and compare the records",
    )


def _record_of(row: sa.Row[Any]) -> AuditRecord:
    fields = dict(row._mapping)
    fields["detail"] = msgspec.json.decode(fields["detail"])
    return AuditRecord(**fields)
