"""Triage: what alerts owe becomes incidents, and one message for what came together; silences hold it back.

One pass is one transaction. Of a silenced alert nothing is told while it is open, also not that it became more severe;
when the silence ends first, it is told then. What was told is also told to be over, silence or not: a pager that rang
must be able to stop.
"""

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

import msgspec
import sqlalchemy as sa

from falaj.kernel.alert_settings import AlertRule, AlertSettings
from falaj.monitoring.alert_message import MESSAGE, MessageEvent, add_message
from falaj.monitoring.alerts import Alert, AlertRecord, Notice, alerts_of, attach, notices_waiting, settle
from falaj.monitoring.delivery import keep_routes, routes_differ
from falaj.monitoring.incidents import (
    SEVERITIES,
    Incident,
    escalate,
    get_incident,
    list_incidents,
    open_incident,
    resolve,
)
from falaj.monitoring.silences import is_silenced, list_silences
from falaj.storage.metadata.database import Database

_EVERY = 1_000_000
_Waiting = tuple[Notice, AlertRecord]


def triage(db: Database, settings: AlertSettings, project: str, routes: Collection[str], now_us: int) -> bool:
    """Do one pass.

    Args:
        db: The metadata database.
        settings: What belongs together, and how much it matters.
        project: The project's name.
        routes: Names of all routes; one that is new is told what comes from now on.
        now_us: The present, in microseconds.

    Returns:
        Whether anything changed.
    """
    with db.read() as connection:
        if not notices_waiting(connection) and not routes_differ(connection, routes):
            return False
    with db.write() as connection:
        keep_routes(connection, routes)
        changed = _open_incidents(connection, settings, notices_waiting(connection))
        changed |= _close_incidents(connection, now_us)
        return _tell(connection, settings, project, now_us) or changed


def ruled(settings: AlertSettings, alert: Alert) -> Alert:
    """Return an alert with the severity that the settings give it.

    Example:
        >>> from falaj.kernel.alert_settings import AlertRule
        >>> settings = AlertSettings(rules=(AlertRule("critical", rule="drift", subject="fraud"),))
        >>> ruled(settings, Alert("drift", "warning", "fraud", "amount drifted", {}, 0)).severity
        'critical'
    """
    rule = _rule_of(settings, alert)
    return alert if rule is None else msgspec.structs.replace(alert, severity=rule.severity)


def ruled_records(settings: AlertSettings, records: Sequence[AlertRecord]) -> list[AlertRecord]:
    """Return alerts with the severities that the settings give them."""
    return [msgspec.structs.replace(one, alert=ruled(settings, one.alert)) for one in records]


def _rule_of(settings: AlertSettings, alert: Alert) -> AlertRule | None:
    covering = (r for r in settings.rules if fnmatchcase(alert.rule, r.rule) and fnmatchcase(alert.subject, r.subject))
    return next(covering, None)


def _open_incidents(connection: sa.Connection, settings: AlertSettings, waiting: list[_Waiting]) -> bool:
    new = {record.id: record for _, record in waiting if record.incident is None}
    for record in new.values():
        alert = ruled(settings, record.alert)
        cause = {"subject": alert.subject, "rule": alert.rule, "project": "project"}[settings.group_by]
        attach(connection, record.id, open_incident(connection, cause, alert.severity, record.opened_us).id)
    return bool(new)


def _close_incidents(connection: sa.Connection, now_us: int) -> bool:
    closed = False
    for incident in list_incidents(connection, only_open=True, limit=_EVERY):
        ended = [one.resolved_us for one in alerts_of(connection, incident.id)]
        if ended and None not in ended:
            resolve(connection, incident.id, "system", "its alerts are over", now_us)
            closed = True
    return closed


def _tell(connection: sa.Connection, settings: AlertSettings, project: str, now_us: int) -> bool:
    """Make a message for each incident whose news have waited long enough."""
    waiting = notices_waiting(connection)
    silent = _silenced(connection, [one for one in waiting if one[0].event == "opened"], now_us)
    unheard = _silenced(connection, [one for one in waiting if one[0].event == "escalated"], now_us)
    by_incident: dict[int, list[_Waiting]] = {}
    dropped: list[int] = []
    for notice, record in waiting:
        if record.incident is None:
            continue
        growth = notice.event == "escalated"
        if growth and _rule_of(settings, record.alert) is not None:  # it has the severity of the rule, as before
            dropped.append(notice.id)
        elif not (record.id in silent or (growth and record.id in unheard)) or _owes_an_end(
            connection, record.incident
        ):
            by_incident.setdefault(record.incident, []).append((notice, record))
        elif record.resolved_us is not None:
            dropped.append(notice.id)
    if dropped:
        settle(connection, dropped, 0)
    due_us = now_us - round(settings.group_s * 1e6)
    due = {one: news for one, news in by_incident.items() if min(n.alert.at_us for n, _ in news) <= due_us}
    for number, news in due.items():
        grown = [notice.alert.severity for notice, _ in news if notice.event == "escalated"]
        incident = (
            escalate(connection, number, max(grown, key=SEVERITIES.index))
            if grown
            else get_incident(connection, number)
        )
        alerts = ruled_records(settings, [one for one in alerts_of(connection, number) if one.id not in silent])
        event = _event(connection, incident, grown=bool(grown))
        ended = {record.id: notice.alert.message for notice, record in news if notice.event == "resolved"}
        message = add_message(
            connection, project, incident, event, alerts, actor=incident.resolved_by, at_us=now_us, endings=ended
        )
        settle(connection, [notice.id for notice, _ in news], message)
    return bool(due or dropped)


def _owes_an_end(connection: sa.Connection, incident: int) -> bool:
    """Return whether people were told of an incident and not that it is over: its last alert may end in silence."""
    query = sa.select(MESSAGE.c.event).where(MESSAGE.c.incident_id == incident).order_by(MESSAGE.c.id.desc()).limit(1)
    last = connection.execute(query).scalar()
    return last not in (None, "resolved") and get_incident(connection, incident).state == "resolved"


def _silenced(connection: sa.Connection, waiting: list[_Waiting], now_us: int) -> set[int]:
    """Return the alerts of these notices that a silence covers now, or did when they were over."""
    untold = {
        record.id: (record.alert, now_us if record.resolved_us is None else record.resolved_us) for _, record in waiting
    }
    since_us = min((at_us for _, at_us in untold.values()), default=now_us)
    silences = list_silences(connection, after_us=since_us)
    return {number for number, (alert, at_us) in untold.items() if is_silenced(silences, alert, at_us)}


def _event(connection: sa.Connection, incident: Incident, *, grown: bool) -> MessageEvent:
    if incident.state == "resolved":
        return "resolved"
    told = connection.execute(sa.select(MESSAGE.c.id).where(MESSAGE.c.incident_id == incident.id).limit(1)).first()
    if told is None:
        return "opened"
    return "escalated" if grown else "changed"
