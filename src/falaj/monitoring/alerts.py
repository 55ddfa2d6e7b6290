"""Alerts: one open alert per rule and subject, told when it opens, when it becomes more severe and when it is over.

Opening an alert and owing its notice are one transaction. What notices come to, an incident and messages about it, is
the work of `triage`, and sending the messages that of `delivery`: a webhook that is slow or away costs nothing where
the alert was found.
"""

from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from falaj.definitions.verdict import Verdict
from falaj.kernel.alert_settings import Severity
from falaj.kernel.codec import from_json, to_json
from falaj.monitoring.incidents import more_severe
from falaj.monitoring.verdicts import keep, latest_verdicts
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

Event = Literal["opened", "escalated", "resolved"]

ALERT = sa.Table(
    "alert",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rule", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False, index=True),
    sa.Column("severity", sa.String, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("resolved_at", sa.BigInteger),
    sa.Column("occurrences", sa.Integer, nullable=False),
    sa.Column("incident_id", sa.Integer, index=True),
    sqlite_autoincrement=True,
)
sa.Index(
    "alert_one_open",
    ALERT.c.rule,
    ALERT.c.subject,
    unique=True,
    sqlite_where=ALERT.c.resolved_at.is_(None),
    postgresql_where=ALERT.c.resolved_at.is_(None),
)

NOTICE = sa.Table(
    "alert_notice",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("alert_id", sa.Integer, sa.ForeignKey("alert.id"), nullable=False),
    sa.Column("event", sa.String, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("message_id", sa.Integer, index=True),
    sqlite_autoincrement=True,
)
"""What alerts owe to people; `message_id` is None while it waits, and 0 when a silence kept it from being told."""


class Alert(msgspec.Struct, frozen=True):
    """Something that a person should know.

    Attributes:
        rule: What was broken, such as "drift".
        severity: "info", "warning" or "critical".
        subject: What it is about, such as the endpoint.
        message: One sentence.
        evidence: The numbers it rests on.
        at_us: When it was found, in microseconds.
    """

    rule: str
    severity: Severity
    subject: str
    message: str
    evidence: dict[str, Any]
    at_us: int


class AlertRecord(msgspec.Struct, frozen=True):
    """An alert as it stands.

    Attributes:
        id: Its number.
        alert: As it was last found.
        opened_us: When it opened.
        resolved_us: When it was over; None while it is open.
        occurrences: How often it was found while open.
        incident: The incident that it belongs to; None until it has been looked at.
    """

    id: int
    alert: Alert
    opened_us: int
    resolved_us: int | None
    occurrences: int
    incident: int | None = None


class Notice(msgspec.Struct, frozen=True):
    """What is owed to people about an alert.

    Attributes:
        id: Its number.
        alert_id: The alert's number.
        event: "opened", "escalated" or "resolved".
        alert: The alert as it was then.
    """

    id: int
    alert_id: int
    event: Event
    alert: Alert


def open_alert(connection: sa.Connection, alert: Alert) -> bool:
    """Open an alert, or count one more occurrence of the open one, whose severity only grows: each is told once.

    Args:
        connection: Of a transaction that is already open.
        alert: What was found.

    Returns:
        Whether it is new. A notice is owed then, and when the open one becomes more severe.
    """
    row = _open_row(connection, alert.rule, alert.subject)
    if row is not None:
        grown = more_severe(row.severity, alert.severity)
        connection.execute(
            ALERT.update()
            .where(ALERT.c.id == row.id)
            .values(
                severity=grown,
                message=alert.message,
                evidence=to_json(alert.evidence),
                last_at=alert.at_us,
                occurrences=row.occurrences + 1,
            )
        )
        if grown != row.severity:
            _owe(connection, row.id, "escalated", alert)
        return False
    values = {
        "rule": alert.rule,
        "subject": alert.subject,
        "severity": alert.severity,
        "message": alert.message,
        "evidence": to_json(alert.evidence),
        "opened_at": alert.at_us,
        "last_at": alert.at_us,
        "occurrences": 1,
    }
    new = connection.execute(ALERT.insert().values(**values).returning(ALERT.c.id)).one()
    _owe(connection, new.id, "opened", alert)
    return True


def tell(connection: sa.Connection, alert: Alert) -> None:
    """Tell people of something that is over at once, such as a run that succeeded."""
    values = {
        "rule": alert.rule,
        "subject": alert.subject,
        "severity": alert.severity,
        "message": alert.message,
        "evidence": to_json(alert.evidence),
        "opened_at": alert.at_us,
        "last_at": alert.at_us,
        "resolved_at": alert.at_us,
        "occurrences": 1,
    }
    new = connection.execute(ALERT.insert().values(**values).returning(ALERT.c.id)).one()
    _owe(connection, new.id, "opened", alert)


def resolve_alert(connection: sa.Connection, rule: str, subject: str, message: str, at_us: int) -> bool:
    """Close the open alert of a rule and subject, if there is one.

    Returns:
        Whether there was.
    """
    row = _open_row(connection, rule, subject)
    if row is None:
        return False
    connection.execute(ALERT.update().where(ALERT.c.id == row.id).values(resolved_at=at_us, last_at=at_us))
    alert = msgspec.structs.replace(_record(row).alert, message=message, at_us=at_us)
    _owe(connection, row.id, "resolved", alert)
    return True


def follow_verdict(connection: sa.Connection, verdict: Verdict, severity: Severity = "warning") -> None:
    """Open an alert on FAIL and resolve it on PASS; INCONCLUSIVE changes nothing: no news is not good news."""
    if verdict.outcome == "FAIL":
        alert = Alert(verdict.kind, severity, verdict.subject, verdict.reason, verdict.evidence, verdict.at_us)
        open_alert(connection, alert)
    elif verdict.outcome == "PASS":
        resolve_alert(connection, verdict.kind, verdict.subject, verdict.reason, verdict.at_us)


def report(db: Database, verdict: Verdict, severity: Severity = "warning") -> bool:
    """Keep a verdict and let its alert follow, in one transaction, unless it says what the one before it said.

    Returns:
        Whether it was kept.
    """
    with db.write() as connection:
        last = latest_verdicts(connection, kind=verdict.kind, subject=verdict.subject)
        if last and _says_the_same(last[0].verdict, verdict) and not _changes_alert(connection, verdict, severity):
            return False
        keep(connection, verdict)
        follow_verdict(connection, verdict, severity)
    return True


def list_alerts(connection: sa.Connection, *, only_open: bool = False, limit: int = 100) -> list[AlertRecord]:
    """Return alerts, the newest first."""
    query = sa.select(ALERT).order_by(ALERT.c.id.desc()).limit(limit)
    if only_open:
        query = query.where(ALERT.c.resolved_at.is_(None))
    return [_record(row) for row in connection.execute(query)]


def alerts_of(connection: sa.Connection, incident: int) -> list[AlertRecord]:
    """Return the alerts of an incident, the oldest first."""
    query = sa.select(ALERT).where(ALERT.c.incident_id == incident).order_by(ALERT.c.id)
    return [_record(row) for row in connection.execute(query)]


def open_subjects(connection: sa.Connection, rule: str) -> list[str]:
    """Return the subjects of which an alert of a rule is open."""
    query = sa.select(ALERT.c.subject).where(ALERT.c.rule == rule, ALERT.c.resolved_at.is_(None))
    return list(connection.execute(query.order_by(ALERT.c.id)).scalars())


def attach(connection: sa.Connection, alert_id: int, incident: int) -> None:
    """Make an alert part of an incident."""
    connection.execute(ALERT.update().where(ALERT.c.id == alert_id).values(incident_id=incident))


def notices_waiting(connection: sa.Connection) -> list[tuple[Notice, AlertRecord]]:
    """Return what is owed and not told yet, each with its alert as it stands, the oldest first."""
    waiting = sa.select(NOTICE).where(NOTICE.c.message_id.is_(None)).order_by(NOTICE.c.id)
    rows = connection.execute(waiting).all()
    owing = sa.select(ALERT).where(ALERT.c.id.in_({row.alert_id for row in rows}))
    alerts = {row.id: _record(row) for row in connection.execute(owing)} if rows else {}
    return [(_notice(row), alerts[row.alert_id]) for row in rows]


def notices_of(connection: sa.Connection, incident: int) -> list[Notice]:
    """Return what the alerts of an incident owed, told or not, the oldest first."""
    query = sa.select(NOTICE).join(ALERT, ALERT.c.id == NOTICE.c.alert_id).where(ALERT.c.incident_id == incident)
    return [_notice(row) for row in connection.execute(query.order_by(NOTICE.c.id))]


def settle(connection: sa.Connection, notices: list[int], message: int) -> None:
    """Note that notices are told by a message; 0 for by none."""
    connection.execute(NOTICE.update().where(NOTICE.c.id.in_(notices)).values(message_id=message))


def _changes_alert(connection: sa.Connection, verdict: Verdict, severity: Severity) -> bool:
    """Return whether what still fails opens its alert again, which a person closed, or matters more than before."""
    if verdict.outcome != "FAIL":
        return False
    row = _open_row(connection, verdict.kind, verdict.subject)
    return row is None or more_severe(row.severity, severity) != row.severity


def _says_the_same(before: Verdict, now: Verdict) -> bool:
    return before == msgspec.structs.replace(now, at_us=before.at_us)


def _owe(connection: sa.Connection, alert_id: int, event: Event, alert: Alert) -> None:
    connection.execute(NOTICE.insert().values(alert_id=alert_id, event=event, body=to_json(alert), at=alert.at_us))


def _open_row(connection: sa.Connection, rule: str, subject: str) -> sa.Row[Any] | None:
    return connection.execute(
        sa.select(ALERT).where(ALERT.c.rule == rule, ALERT.c.subject == subject, ALERT.c.resolved_at.is_(None))
    ).one_or_none()


def _record(row: sa.Row[Any]) -> AlertRecord:
    evidence = from_json(row.evidence, dict[str, Any], what="stored alert")
    alert = Alert(row.rule, row.severity, row.subject, row.message, evidence, row.last_at)
    return AlertRecord(row.id, alert, row.opened_at, row.resolved_at, row.occurrences, row.incident_id)


def _notice(row: sa.Row[Any]) -> Notice:
    return Notice(row.id, row.alert_id, row.event, from_json(row.body, Alert, what="stored notice"))
