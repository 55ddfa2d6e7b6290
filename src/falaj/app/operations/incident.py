"""Operations on incidents: list, show, acknowledge, comment, resolve, post-mortem."""

import sqlalchemy as sa

from falaj.app.operations.alert import alert_status
from falaj.app.values.incident import (
    Acknowledge,
    CommentOn,
    IncidentDetail,
    IncidentQuery,
    IncidentsQuery,
    IncidentStatus,
    PostMortem,
    ResolveIncident,
)
from falaj.governance.access import Actor
from falaj.governance.audit import audited
from falaj.kernel.clock import to_us
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring import incidents
from falaj.monitoring.alert_message import add_message, messages_of
from falaj.monitoring.alerts import AlertRecord, alerts_of, resolve_alert
from falaj.monitoring.incidents import Incident, get_incident
from falaj.monitoring.post_mortem import post_mortem as write_post_mortem
from falaj.monitoring.silences import list_silences
from falaj.monitoring.timeline import timeline
from falaj.monitoring.timeline_entry import TimelineEntry
from falaj.monitoring.triage import ruled_records


def list_incidents(rooms: Rooms, actor: Actor, params: IncidentsQuery) -> list[IncidentStatus]:
    """Return incidents, the newest first."""
    del actor
    with rooms.db.read() as connection:
        found = incidents.list_incidents(
            connection, only_open=params.only_open, limit=params.limit, severity=params.severity
        )
        return [_status(one, alerts_of(connection, one.id)) for one in found]


def show(rooms: Rooms, actor: Actor, params: IncidentQuery) -> IncidentDetail:
    """Return an incident with its alerts and what happened."""
    del actor
    now_us = to_us(rooms.clock.now())
    with rooms.db.read() as connection:
        incident, alerts, happened = _known(rooms, connection, params.incident)
        silences = list_silences(connection, after_us=now_us)
    told = tuple(alert_status(one, silences, now_us) for one in alerts)
    return IncidentDetail(_status(incident, alerts), told, tuple(happened))


def acknowledge(rooms: Rooms, actor: Actor, params: Acknowledge) -> IncidentStatus:
    """Say that one attends to an incident; those who were told of it are told this too."""
    now_us = to_us(rooms.clock.now())
    with audited(rooms.db, rooms.clock, actor, "incident.acknowledge", _name(params.incident)) as connection:
        incident = incidents.acknowledge(connection, params.incident, actor.name, params.comment, now_us)
        alerts = ruled_records(rooms.settings.alerts, alerts_of(connection, incident.id))
        if messages_of(connection, incident.id):
            project = rooms.settings.project.name
            add_message(connection, project, incident, "acknowledged", alerts, actor=actor.name, at_us=now_us)
    return _status(incident, alerts)


def comment(rooms: Rooms, actor: Actor, params: CommentOn) -> IncidentStatus:
    """Add to the timeline of an incident, resolved or not."""
    now_us = to_us(rooms.clock.now())
    with audited(rooms.db, rooms.clock, actor, "incident.comment", _name(params.incident)) as connection:
        incident = get_incident(connection, params.incident)
        incidents.note(connection, incident.id, "commented", actor.name, params.comment, now_us)
        return _status(incident, alerts_of(connection, incident.id))


def resolve(rooms: Rooms, actor: Actor, params: ResolveIncident) -> IncidentStatus:
    """Say that an incident is over, and close its alerts; what is found again opens new ones."""
    now_us = to_us(rooms.clock.now())
    with audited(rooms.db, rooms.clock, actor, "incident.resolve", _name(params.incident)) as connection:
        incident = incidents.resolve(connection, params.incident, actor.name, params.comment, now_us)
        for one in alerts_of(connection, incident.id):
            if one.resolved_us is None:
                said = f"closed by {actor.name}: {params.comment}"
                resolve_alert(connection, one.alert.rule, one.alert.subject, said, now_us)
        return _status(incident, alerts_of(connection, incident.id))


def post_mortem(rooms: Rooms, actor: Actor, params: IncidentQuery) -> PostMortem:
    """Return a Markdown document with an incident's figures and timeline."""
    del actor
    with rooms.db.read() as connection:
        incident, alerts, happened = _known(rooms, connection, params.incident)
    return PostMortem(incident.id, write_post_mortem(incident, alerts, happened, to_us(rooms.clock.now())))


def _known(
    rooms: Rooms, connection: sa.Connection, number: int
) -> tuple[Incident, list[AlertRecord], list[TimelineEntry]]:
    incident = get_incident(connection, number)
    alerts = ruled_records(rooms.settings.alerts, alerts_of(connection, number))
    endpoints = rooms.definitions.endpoints
    named = {one.alert.subject for one in alerts}
    subjects = named if named <= set(endpoints) else {*named, *endpoints}  # what is about no endpoint may be about any
    models = {endpoints[name].model.name for name in subjects if name in endpoints}
    return incident, alerts, timeline(connection, incident, subjects, models, to_us(rooms.clock.now()))


def _status(one: Incident, alerts: list[AlertRecord]) -> IncidentStatus:
    return IncidentStatus(
        id=one.id,
        cause=one.cause,
        state=one.state,
        severity=one.severity,
        alerts=len(alerts),
        open_alerts=sum(alert.resolved_us is None for alert in alerts),
        opened_us=one.opened_us,
        acknowledged_us=one.acknowledged_us,
        acknowledged_by=one.acknowledged_by,
        resolved_us=one.resolved_us,
        resolved_by=one.resolved_by,
    )


def _name(number: int) -> str:
    return f"incident/{number}"
