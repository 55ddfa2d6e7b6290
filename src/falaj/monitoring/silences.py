"""Silences as rows: who wanted which, why, and until when."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.kernel.errors import Conflict, NotFound
from falaj.monitoring.alerts import Alert
from falaj.monitoring.silence import Silence
from falaj.storage.metadata.schema import metadata

SILENCE = sa.Table(
    "alert_silence",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rule", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("began_at", sa.BigInteger, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
    sqlite_autoincrement=True,
)


def begin_silence(
    connection: sa.Connection, *, rule: str, subject: str, comment: str, actor: str, now_us: int, ends_us: int
) -> Silence:
    """Add a silence in a transaction that is already open."""
    values = {
        "rule": rule,
        "subject": subject,
        "comment": comment,
        "actor": actor,
        "began_at": now_us,
        "ends_at": ends_us,
    }
    new = connection.execute(SILENCE.insert().values(**values).returning(SILENCE.c.id)).one()
    return Silence(new.id, rule, subject, comment, actor, now_us, ends_us)


def end_silence(connection: sa.Connection, number: int, now_us: int) -> Silence:
    """End a silence now.

    Raises:
        NotFound: There is none of that number.
        Conflict: It is over already.
    """
    row = connection.execute(sa.select(SILENCE).where(SILENCE.c.id == number)).one_or_none()
    if row is None:
        raise NotFound(f"silence {number} does not exist", hint="'falaj alerts silences' lists them")
    if row.ends_at <= now_us:
        raise Conflict(f"silence {number} is over already")
    connection.execute(SILENCE.update().where(SILENCE.c.id == number).values(ends_at=now_us))
    return msgspec.structs.replace(_silence(row), ends_us=now_us)


def list_silences(connection: sa.Connection, *, after_us: int | None = None, limit: int = 1_000) -> list[Silence]:
    """Return silences, the newest first; with `after_us`, only those that end after that instant."""
    query = sa.select(SILENCE).order_by(SILENCE.c.id.desc()).limit(limit)
    if after_us is not None:
        query = query.where(SILENCE.c.ends_at > after_us)
    return [_silence(row) for row in connection.execute(query)]


def is_silenced(silences: Sequence[Silence], alert: Alert, at_us: int) -> bool:
    """Return whether any of the silences covers an alert at an instant, in microseconds."""
    return any(silence.covers(alert.rule, alert.subject, at_us) for silence in silences)


def _silence(row: sa.Row[Any]) -> Silence:
    return Silence(row.id, row.rule, row.subject, row.comment, row.actor, row.began_at, row.ends_at)
