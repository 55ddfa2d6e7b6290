"""Values of the operations on incidents."""

from typing import Annotated

import msgspec

from falaj.app.values.alert import Comment
from falaj.app.values.bounds import Limit
from falaj.app.values.status import AlertStatus
from falaj.kernel.alert_settings import Severity
from falaj.monitoring.timeline_entry import TimelineEntry

Number = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
"""An incident's; they begin at 1."""


class IncidentsQuery(msgspec.Struct, frozen=True):
    """Which incidents to list.

    Attributes:
        only_open: Leave out those that are resolved.
        limit: Most incidents.
        severity: The least to list; what waits for a person's approval is of severity info.
    """

    only_open: bool = False
    limit: Limit = 50
    severity: Severity = "warning"


class IncidentQuery(msgspec.Struct, frozen=True):
    """Which incident.

    Attributes:
        incident: Its number.
    """

    incident: Number


class Acknowledge(msgspec.Struct, frozen=True):
    """Say that one attends to an incident.

    Attributes:
        incident: Its number.
        comment: What one has to say to it; may be empty.
    """

    incident: Number
    comment: Annotated[str, msgspec.Meta(max_length=4_000)] = ""


class CommentOn(msgspec.Struct, frozen=True):
    """Add to the timeline of an incident, resolved or not.

    Attributes:
        incident: Its number.
        comment: What.
    """

    incident: Number
    comment: Comment


class ResolveIncident(msgspec.Struct, frozen=True):
    """Say that an incident is over. Alerts that are still open are closed; what is found again opens new ones.

    Attributes:
        incident: Its number.
        comment: How it ended.
    """

    incident: Number
    comment: Comment


class IncidentStatus(msgspec.Struct, frozen=True):
    """One incident.

    Attributes:
        id: Its number.
        cause: What its alerts share.
        state: open, acknowledged or resolved.
        severity: The greatest of its alerts.
        alerts: How many it has.
        open_alerts: How many of them hold.
        opened_us: When its first alert opened, in microseconds.
        acknowledged_us: When somebody took it; None while nobody has.
        acknowledged_by: Who.
        resolved_us: When it was over; None while it is not.
        resolved_by: Who said so; "system" when its alerts were over.
    """

    id: int
    cause: str
    state: str
    severity: str
    alerts: int
    open_alerts: int
    opened_us: int
    acknowledged_us: int | None = None
    acknowledged_by: str = ""
    resolved_us: int | None = None
    resolved_by: str = ""


class IncidentDetail(msgspec.Struct, frozen=True):
    """One incident with what happened.

    Attributes:
        incident: It.
        alerts: Its alerts, the oldest first.
        timeline: What happened, in order, from an hour before.
    """

    incident: IncidentStatus
    alerts: tuple[AlertStatus, ...]
    timeline: tuple[TimelineEntry, ...]


class PostMortem(msgspec.Struct, frozen=True):
    """The document about an incident.

    Attributes:
        incident: Its number.
        text: Markdown.
    """

    incident: int
    text: str
