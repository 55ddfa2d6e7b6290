"""Operations on alerts: list, silence, and how each way to tell people fares."""

from falaj.app.values.alert import AlertsQuery, EndSilence, RoutesQuery, RouteStatus, SilenceAlerts, SilencesQuery
from falaj.app.values.bounds import MOST_ROWS
from falaj.app.values.status import AlertStatus
from falaj.governance.access import Actor
from falaj.governance.audit import audited
from falaj.kernel.clock import to_us
from falaj.kernel.duration import positive_duration_us
from falaj.kernel.errors import DefinitionError, InputError
from falaj.lifecycle.alert_rules import check_rule
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring.alert_message import count_after
from falaj.monitoring.alerts import AlertRecord
from falaj.monitoring.alerts import list_alerts as find_alerts
from falaj.monitoring.delivery import route_state
from falaj.monitoring.routes import LOG
from falaj.monitoring.silence import Silence
from falaj.monitoring.silences import begin_silence, end_silence, is_silenced
from falaj.monitoring.silences import list_silences as find_silences
from falaj.monitoring.triage import ruled_records

_LONGEST_US = 366 * 86_400 * 1_000_000


def list_alerts(rooms: Rooms, actor: Actor, params: AlertsQuery) -> list[AlertStatus]:
    """Return alerts, the newest first."""
    del actor
    now_us = to_us(rooms.clock.now())
    with rooms.db.read() as connection:
        found = find_alerts(connection, only_open=params.only_open, limit=params.limit)
        silences = find_silences(connection, after_us=now_us)
    return [alert_status(one, silences, now_us) for one in ruled_records(rooms.settings.alerts, found)]


def silence(rooms: Rooms, actor: Actor, params: SilenceAlerts) -> Silence:
    """Tell nobody of some alerts for a while; they are found and listed as ever."""
    with rooms.db.read() as connection:
        opened = [one.alert.rule for one in find_alerts(connection, limit=MOST_ROWS)]
    check_rule(params.rule, [*opened, *(one.rule for one in rooms.settings.alerts.rules)])
    now_us = to_us(rooms.clock.now())
    ends_us = now_us + _length_us(params.lasts)
    detail = {"rule": params.rule, "for": params.lasts, "comment": params.comment}
    with audited(rooms.db, rooms.clock, actor, "alert.silence", params.subject, detail) as connection:
        made = begin_silence(
            connection,
            rule=params.rule,
            subject=params.subject,
            comment=params.comment,
            actor=actor.name,
            now_us=now_us,
            ends_us=ends_us,
        )
        detail["silence"] = str(made.id)
    return made


def list_silences(rooms: Rooms, actor: Actor, params: SilencesQuery) -> list[Silence]:
    """Return silences, the newest first."""
    del actor
    after_us = to_us(rooms.clock.now()) if params.only_in_force else None
    with rooms.db.read() as connection:
        return find_silences(connection, after_us=after_us, limit=params.limit)


def unsilence(rooms: Rooms, actor: Actor, params: EndSilence) -> Silence:
    """End a silence now; what it held back and still holds is told."""
    resource = f"silence/{params.silence}"
    with audited(rooms.db, rooms.clock, actor, "alert.unsilence", resource) as connection:
        return end_silence(connection, params.silence, to_us(rooms.clock.now()))


def list_routes(rooms: Rooms, actor: Actor, params: RoutesQuery) -> list[RouteStatus]:
    """Return how each way to tell people fares, the alert log first."""
    del actor, params
    named = [RouteStatus(LOG, LOG)]
    named += [
        RouteStatus(name, one.kind, one.severity, one.subjects, rules=one.rules)
        for name, one in rooms.settings.alerts.routes.items()
    ]
    lacks = {name: one.lacks for name, one in rooms.settings.alerts.routes.items()}
    found = []
    with rooms.db.read() as connection:
        for one in named:
            state = route_state(connection, one.route)
            waiting = count_after(connection, state.cursor)
            error = state.error or lacks.get(one.route, "")
            found.append(
                RouteStatus(
                    one.route, one.kind, one.severity, one.subjects, waiting, state.failures, error,
                    state.not_before_us, one.rules,
                )
            )  # fmt: skip
    return found


def alert_status(one: AlertRecord, silences: list[Silence], now_us: int) -> AlertStatus:
    """Return an alert as commands, the API and the page show it."""
    alert = one.alert
    held = one.resolved_us is None
    return AlertStatus(
        id=str(one.id),
        severity=alert.severity,
        subject=f"{alert.rule} of {alert.subject}",
        message=alert.message,
        opened_us=one.opened_us,
        open=held,
        incident=one.incident,
        silenced=held and is_silenced(silences, alert, now_us),
    )


def _length_us(text: str) -> int:
    try:
        length_us = positive_duration_us(text, field="for")
    except DefinitionError as error:
        raise InputError(error.message, hint=error.hint) from None
    if length_us > _LONGEST_US:
        raise InputError(f"for = {text!r} is longer than a year", hint="change the severity of the rule instead")
    return length_us
