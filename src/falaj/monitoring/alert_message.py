"""AlertMessage: what people are told of an incident, in one piece; the rows wait until every route has had them."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from falaj.kernel.alert_settings import Severity
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.codec import from_json, to_json
from falaj.monitoring.alerts import AlertRecord
from falaj.monitoring.incidents import Incident
from falaj.storage.metadata.schema import metadata

MessageEvent = Literal["opened", "changed", "escalated", "acknowledged", "resolved"]
MOST_ALERTS = 20
"""Alerts that one message tells of; of more it says how many."""

MESSAGE = sa.Table(
    "alert_message",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("incident_id", sa.Integer, sa.ForeignKey("incident.id"), nullable=False, index=True),
    sa.Column("event", sa.String, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)


class ToldAlert(msgspec.Struct, frozen=True):
    """An alert as a message tells it.

    Attributes:
        id: Its number.
        rule: What was broken.
        severity: As the rules of the settings say.
        subject: What it is about.
        message: One sentence.
        opened: When it opened, RFC 3339.
        open: Whether it still holds.
        evidence: The numbers it rests on.
        ending: What ended it, where this message is the one that says so.
    """

    id: int
    rule: str
    severity: Severity
    subject: str
    message: str
    opened: str
    open: bool
    evidence: dict[str, Any] = {}
    ending: str = ""


class AlertMessage(msgspec.Struct, frozen=True):
    """What is told of an incident.

    Attributes:
        id: Grows with every message; one that arrives twice has the same.
        key: The same for all messages of an incident and for no other's, in any project.
        event: "opened" for the first, "changed", "escalated" where an alert became more severe, "acknowledged", or
            "resolved".
        incident: The incident's number.
        severity: The greatest so far.
        cause: What its alerts share.
        summary: One line.
        actor: Who acknowledged or resolved it; empty where nobody did.
        at: When, RFC 3339.
        alerts: Its newest alerts, the oldest of them first.
        more: How many older ones there are.
    """

    id: int
    key: str
    event: MessageEvent
    incident: int
    severity: Severity
    cause: str
    summary: str
    actor: str
    at: str
    alerts: tuple[ToldAlert, ...]
    more: int = 0


def add_message(
    connection: sa.Connection,
    project: str,
    incident: Incident,
    event: MessageEvent,
    alerts: list[AlertRecord],
    *,
    actor: str,
    at_us: int,
    endings: Mapping[int, str] | None = None,
) -> int:
    """Add what every route is to be told, in a transaction that is already open.

    Args:
        connection: Of the transaction.
        project: The project's name.
        incident: As it stands.
        event: What became of it.
        alerts: All its alerts, with the severities that the settings give them.
        actor: Who did it; empty where nobody did.
        at_us: When, in microseconds.
        endings: What ended those alerts of which this message is to say so, by their numbers.

    Returns:
        The message's number.
    """
    ended = endings or {}
    told = [
        ToldAlert(
            one.id, one.alert.rule, one.alert.severity, one.alert.subject, one.alert.message,
            rfc3339(from_us(one.opened_us)), one.resolved_us is None, one.alert.evidence,
            "" if one.resolved_us is None else ended.get(one.id, ""),
        )
        for one in alerts[-MOST_ALERTS:]
    ]  # fmt: skip
    message = AlertMessage(
        id=0,
        key=f"falaj/{project}/{incident.id}/{incident.opened_us}",
        event=event,
        incident=incident.id,
        severity=incident.severity,
        cause=incident.cause,
        summary=summary_of(event, incident, alerts, actor, ended),
        actor=actor,
        at=rfc3339(from_us(at_us)),
        alerts=tuple(told),
        more=max(0, len(alerts) - MOST_ALERTS),
    )
    values = {"incident_id": incident.id, "event": event, "body": to_json(message), "at": at_us}
    new = connection.execute(MESSAGE.insert().values(**values).returning(MESSAGE.c.id)).one()
    return int(new.id)


def summary_of(
    event: MessageEvent, incident: Incident, alerts: list[AlertRecord], actor: str, endings: Mapping[int, str]
) -> str:
    """Return one line that says what is the matter."""
    held = [one for one in alerts if one.resolved_us is None] or alerts
    rules = list(dict.fromkeys(one.alert.rule for one in held))
    what = f"{incident.cause}: {', '.join(rules)}"
    if event == "acknowledged":
        return f"{what}: {actor} attends to it"
    if event == "escalated":
        what = f"{what} (now {incident.severity})"
    if event == "resolved":
        if actor not in ("", "system"):
            return f"{what}: resolved by {actor}"
        ending = endings.get(held[0].id) if len(held) == 1 else None
        return f"{what}: {ending or 'over'}"
    return what if len(held) != 1 else f"{what}: {held[0].alert.message}"


def last_message(connection: sa.Connection) -> int:
    """Return the number of the newest message; 0 before any."""
    return int(connection.execute(sa.select(sa.func.max(MESSAGE.c.id))).scalar() or 0)


def messages_after(connection: sa.Connection, number: int, *, limit: int = 100) -> list[AlertMessage]:
    """Return messages with greater numbers, the oldest first."""
    query = sa.select(MESSAGE.c.id, MESSAGE.c.body).where(MESSAGE.c.id > number).order_by(MESSAGE.c.id).limit(limit)
    return [_message(number, body) for number, body in connection.execute(query)]


def count_after(connection: sa.Connection, number: int) -> int:
    """Return how many messages have greater numbers."""
    query = sa.select(sa.func.count()).select_from(MESSAGE).where(MESSAGE.c.id > number)
    return int(connection.execute(query).scalar_one())


def messages_of(connection: sa.Connection, incident: int) -> list[AlertMessage]:
    """Return the messages about an incident, the oldest first."""
    query = sa.select(MESSAGE.c.id, MESSAGE.c.body).where(MESSAGE.c.incident_id == incident).order_by(MESSAGE.c.id)
    return [_message(number, body) for number, body in connection.execute(query)]


def _message(number: int, body: str) -> AlertMessage:
    return msgspec.structs.replace(from_json(body, AlertMessage, what="stored message"), id=number)
