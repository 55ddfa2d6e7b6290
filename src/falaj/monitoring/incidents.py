"""Incidents: alerts of one cause as one thing that people attend to, from the first alert until all are over."""

from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from falaj.kernel.alert_settings import Severity
from falaj.kernel.errors import Conflict, NotFound
from falaj.storage.metadata.schema import metadata

IncidentState = Literal["open", "acknowledged", "resolved"]
EntryKind = Literal["opened", "acknowledged", "commented", "resolved"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
"""The least first."""

INCIDENT = sa.Table(
    "incident",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("cause", sa.String, nullable=False),
    sa.Column("severity", sa.String, nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("acknowledged_at", sa.BigInteger),
    sa.Column("acknowledged_by", sa.String, nullable=False),
    sa.Column("resolved_at", sa.BigInteger),
    sa.Column("resolved_by", sa.String, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index(
    "incident_one_open",
    INCIDENT.c.cause,
    unique=True,
    sqlite_where=INCIDENT.c.resolved_at.is_(None),
    postgresql_where=INCIDENT.c.resolved_at.is_(None),
)

ENTRY = sa.Table(
    "incident_entry",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("incident_id", sa.Integer, sa.ForeignKey("incident.id"), nullable=False, index=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)


class Incident(msgspec.Struct, frozen=True):
    """Alerts of one cause, as one thing that people attend to.

    Attributes:
        id: Its number.
        cause: What its alerts share: their subject, unless `alerts.group_by` says otherwise.
        severity: The greatest that any of its alerts had.
        opened_us: When its first alert opened, in microseconds.
        acknowledged_us: When a person took it; None while nobody has.
        acknowledged_by: Who.
        resolved_us: When it was over; None while it is not.
        resolved_by: Who said so; "system" when its alerts were over.
    """

    id: int
    cause: str
    severity: Severity
    opened_us: int
    acknowledged_us: int | None = None
    acknowledged_by: str = ""
    resolved_us: int | None = None
    resolved_by: str = ""

    @property
    def state(self) -> IncidentState:
        """Whether it is open, acknowledged or resolved."""
        if self.resolved_us is not None:
            return "resolved"
        return "open" if self.acknowledged_us is None else "acknowledged"


class IncidentEntry(msgspec.Struct, frozen=True):
    """What was done about an incident.

    Attributes:
        at_us: When, in microseconds.
        kind: "opened", "acknowledged", "commented" or "resolved".
        actor: Who did it.
        comment: What they said.
    """

    at_us: int
    kind: EntryKind
    actor: str
    comment: str


def more_severe(a: Severity, b: Severity) -> Severity:
    """Return the more severe of the two.

    Example:
        >>> more_severe("warning", "critical")
        'critical'
    """
    return max(a, b, key=SEVERITIES.index)


def open_incident(connection: sa.Connection, cause: str, severity: Severity, at_us: int) -> Incident:
    """Return the open incident of a cause, made if there is none; its severity only grows."""
    row = connection.execute(
        sa.select(INCIDENT).where(INCIDENT.c.cause == cause, INCIDENT.c.resolved_at.is_(None))
    ).one_or_none()
    if row is not None:
        found = _incident(row)
        return msgspec.structs.replace(found, severity=_raise(connection, found, severity))
    values = {"cause": cause, "severity": severity, "opened_at": at_us, "acknowledged_by": "", "resolved_by": ""}
    new = connection.execute(INCIDENT.insert().values(**values).returning(INCIDENT.c.id)).one()
    note(connection, new.id, "opened", "system", "", at_us)
    return Incident(new.id, cause, severity, at_us)


def escalate(connection: sa.Connection, number: int, severity: Severity) -> Incident:
    """Return an incident with a severity that is at least this one."""
    found = get_incident(connection, number)
    return msgspec.structs.replace(found, severity=_raise(connection, found, severity))


def acknowledge(connection: sa.Connection, number: int, actor: str, comment: str, at_us: int) -> Incident:
    """Note that somebody attends to an incident.

    Raises:
        NotFound: There is none of that number.
        Conflict: It is resolved, or somebody else attends to it already.
    """
    found = get_incident(connection, number)
    if found.state == "resolved":
        raise Conflict(f"incident {number} is resolved", hint="comment on it instead")
    if found.state == "acknowledged":
        raise Conflict(f"incident {number} was acknowledged by {found.acknowledged_by}", hint="comment on it instead")
    values = {"acknowledged_at": at_us, "acknowledged_by": actor}
    connection.execute(INCIDENT.update().where(INCIDENT.c.id == number).values(**values))
    note(connection, number, "acknowledged", actor, comment, at_us)
    return msgspec.structs.replace(found, acknowledged_us=at_us, acknowledged_by=actor)


def resolve(connection: sa.Connection, number: int, actor: str, comment: str, at_us: int) -> Incident:
    """Note that an incident is over.

    Raises:
        NotFound: There is none of that number.
        Conflict: It is resolved already.
    """
    found = get_incident(connection, number)
    if found.state == "resolved":
        raise Conflict(f"incident {number} was resolved by {found.resolved_by} already", hint="comment on it instead")
    values = {"resolved_at": at_us, "resolved_by": actor}
    connection.execute(INCIDENT.update().where(INCIDENT.c.id == number).values(**values))
    note(connection, number, "resolved", actor, comment, at_us)
    return msgspec.structs.replace(found, resolved_us=at_us, resolved_by=actor)


def note(connection: sa.Connection, number: int, kind: EntryKind, actor: str, comment: str, at_us: int) -> None:
    """Add to what was done about an incident."""
    values = {"incident_id": number, "at": at_us, "kind": kind, "actor": actor, "comment": comment}
    connection.execute(ENTRY.insert().values(**values))


def get_incident(connection: sa.Connection, number: int) -> Incident:
    """Return an incident.

    Raises:
        NotFound: There is none of that number.
    """
    row = connection.execute(sa.select(INCIDENT).where(INCIDENT.c.id == number)).one_or_none()
    if row is None:
        raise NotFound(f"incident {number} does not exist", hint="'falaj incidents list' lists them")
    return _incident(row)


def list_incidents(
    connection: sa.Connection, *, only_open: bool = False, limit: int = 100, severity: Severity = "info"
) -> list[Incident]:
    """Return incidents of a severity and above, the newest first."""
    query = sa.select(INCIDENT).order_by(INCIDENT.c.id.desc()).limit(limit)
    if severity != SEVERITIES[0]:
        query = query.where(INCIDENT.c.severity.in_(SEVERITIES[SEVERITIES.index(severity) :]))
    if only_open:
        query = query.where(INCIDENT.c.resolved_at.is_(None))
    return [_incident(row) for row in connection.execute(query)]


def entries(connection: sa.Connection, number: int) -> list[IncidentEntry]:
    """Return what was done about an incident, in order."""
    query = sa.select(ENTRY).where(ENTRY.c.incident_id == number).order_by(ENTRY.c.id)
    return [IncidentEntry(row.at, row.kind, row.actor, row.comment) for row in connection.execute(query)]


def _raise(connection: sa.Connection, incident: Incident, severity: Severity) -> Severity:
    raised = more_severe(incident.severity, severity)
    if raised != incident.severity:
        connection.execute(INCIDENT.update().where(INCIDENT.c.id == incident.id).values(severity=raised))
    return raised


def _incident(row: sa.Row[Any]) -> Incident:
    return Incident(
        row.id,
        row.cause,
        row.severity,
        row.opened_at,
        row.acknowledged_at,
        row.acknowledged_by,
        row.resolved_at,
        row.resolved_by,
    )
