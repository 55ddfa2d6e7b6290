"""Timeline: what happened around an incident, in order, from what was recorded when it happened."""

from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa

from falaj.governance.audit import records_between
from falaj.governance.audit_record import AuditRecord
from falaj.monitoring.alert_message import MESSAGE
from falaj.monitoring.alerts import Notice, notices_of
from falaj.monitoring.incidents import Incident, entries
from falaj.monitoring.timeline_entry import TimelineEntry

LEAD_US = 3_600_000_000
"""What changed in the hour before an incident belongs to its timeline: there the cause is looked for first."""

_CHANGES = ("endpoint.", "rollout.", "project.apply", "model.", "run.submit", "alert.")
_MOST_SAID = 300


def timeline(
    connection: sa.Connection, incident: Incident, subjects: Collection[str], models: Collection[str], now_us: int
) -> list[TimelineEntry]:
    """Return what happened around an incident, the oldest first.

    Args:
        connection: To read with.
        incident: Which.
        subjects: What changes are looked for: the endpoints that its alerts are about.
        models: The models that serve there.
        now_us: The present, in microseconds; the end for an incident that is not resolved.
    """
    until_us = now_us if incident.resolved_us is None else incident.resolved_us
    found = [
        TimelineEntry(record.at, record.action, record.actor, _said(record))
        for record in records_between(connection, incident.opened_us - LEAD_US, until_us, _CHANGES)
        if _concerns(record, subjects, models)
    ]
    found += [
        TimelineEntry(notice.alert.at_us, "alert", "system", _alert_said(notice))
        for notice in notices_of(connection, incident.id)
    ]
    found += [
        TimelineEntry(one.at_us, one.kind, one.actor, one.comment)
        for one in entries(connection, incident.id)
        if one.kind != "opened"  # its first alert says the same
    ]
    found += _told(connection, incident.id)
    return sorted(found, key=lambda one: one.at_us)  # at one instant: what changed, was found, was done, was told


def _alert_said(notice: Notice) -> str:
    alert = notice.alert
    became = {"opened": "opened", "escalated": f"became {alert.severity}", "resolved": "is over"}[notice.event]
    return f"{alert.rule} of {alert.subject} {became}: {alert.message}"


def _told(connection: sa.Connection, incident: int) -> Iterator[TimelineEntry]:
    query = sa.select(MESSAGE).where(MESSAGE.c.incident_id == incident).order_by(MESSAGE.c.id)
    for row in connection.execute(query):
        yield TimelineEntry(row.at, "message", "system", f"message {row.id} to people: {row.event}")


def _concerns(record: AuditRecord, subjects: Collection[str], models: Collection[str]) -> bool:
    if record.action == "project.apply":
        return True
    if record.action == "run.submit":
        pipeline = str(record.detail.get("pipeline", ""))
        return pipeline in subjects or pipeline.partition(":")[2] in models
    if record.action.startswith("model."):
        return record.resource.rpartition("/")[0] in models
    return record.resource in subjects


def _said(record: AuditRecord) -> str:
    told = [f"{name} {value}" for name, value in record.detail.items() if _is_plain(value)]
    text = f"{record.resource}{': ' if told else ''}{', '.join(told)}"
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}…"


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ""
