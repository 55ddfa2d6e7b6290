"""Verdicts as rows: what monitors found, for pages to show and for triggers to act on, each exactly once."""

import msgspec
import sqlalchemy as sa

from falaj.definitions.verdict import Verdict
from falaj.kernel.codec import from_json, to_json
from falaj.storage.metadata.schema import metadata

VERDICT = sa.Table(
    "verdict",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("outcome", sa.String, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Index("verdict_kind_subject", "kind", "subject", "seq"),
    sqlite_autoincrement=True,  # a trigger's cursor must never meet a number again
)


class Kept(msgspec.Struct, frozen=True):
    """A verdict and its number.

    Attributes:
        seq: Grows with every verdict; the cursor of whoever acts on them.
        verdict: The verdict.
    """

    seq: int
    verdict: Verdict


def keep(connection: sa.Connection, verdict: Verdict) -> int:
    """Add a verdict in a transaction that is already open, and return its number."""
    row = connection.execute(
        VERDICT.insert()
        .values(
            kind=verdict.kind,
            subject=verdict.subject,
            version=verdict.version,
            outcome=verdict.outcome,
            at=verdict.at_us,
            body=to_json(verdict),
        )
        .returning(VERDICT.c.seq)
    ).one()
    return int(row.seq)


def verdicts_after(connection: sa.Connection, seq: int, *, kind: str | None = None, limit: int = 100) -> list[Kept]:
    """Return verdicts with greater numbers, the oldest first."""
    query = sa.select(VERDICT.c.seq, VERDICT.c.body).where(VERDICT.c.seq > seq).order_by(VERDICT.c.seq).limit(limit)
    if kind is not None:
        query = query.where(VERDICT.c.kind == kind)
    return [_kept(number, body) for number, body in connection.execute(query)]


def latest_verdicts(
    connection: sa.Connection, *, kind: str | None = None, subject: str | None = None, version: str | None = None
) -> list[Kept]:
    """Return the last verdict of every kind and subject, or of those asked for; with `version`, the last about it."""
    newest = sa.select(sa.func.max(VERDICT.c.seq)).group_by(VERDICT.c.kind, VERDICT.c.subject)
    if kind is not None:
        newest = newest.where(VERDICT.c.kind == kind)
    if subject is not None:
        newest = newest.where(VERDICT.c.subject == subject)
    if version is not None:
        newest = newest.where(VERDICT.c.version == version)
    query = sa.select(VERDICT.c.seq, VERDICT.c.body).where(VERDICT.c.seq.in_(newest)).order_by(VERDICT.c.seq)
    return [_kept(number, body) for number, body in connection.execute(query)]


def _kept(seq: int, body: str) -> Kept:
    return Kept(seq, from_json(body, Verdict, what="stored verdict"))
