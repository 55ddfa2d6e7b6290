"""What users name: values in which every name bears a text."""

from typing import TypeVar

import msgspec

from falaj.app.values.consistency import ConsistencyStatus
from falaj.app.values.status import (
    AlertStatus,
    DriftStatus,
    EndpointStatus,
    MonitorStatus,
    RunStatus,
    SourceStatus,
    Status,
    VariantStatus,
    VersionStatus,
)

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>{{7*7}}${7*7}\u202e'\x1b[2J\x07"
"""Markup, a template, and what steers a terminal or turns the reading direction."""
T = TypeVar("T")


FREE = ("project", "reason", "message", "error")
"""Fields that hold a sentence or a title, of whatever characters; names of definitions and actors are checked."""


def made(kind: type[T], text: str, name: str, **given: object) -> T:
    """A value with the text in its free fields, the name in its others, and nothing where nothing may stand."""
    fields: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):  # type: ignore[arg-type]
        if field.type is str:
            fields[field.name] = text if field.name in FREE else name
        elif field.type is int:
            fields[field.name] = 1
        elif field.type is float:
            fields[field.name] = 0.5
        elif field.type is bool:
            fields[field.name] = True
        elif "None" in str(field.type):
            fields[field.name] = None
        elif field.required:
            fields[field.name] = msgspec.convert([] if "tuple" in str(field.type) else {}, field.type)
    return kind(**(fields | given))


def status_of(text: str, name: str) -> Status:
    """A status in which every sentence is the text, and everything that has a name bears the name."""
    drift = made(DriftStatus, text, name, outcome="DRIFT", effect=None, p_value=None)
    monitor = made(MonitorStatus, text, name, outcome="DRIFT", features=(drift,), realised={name: None})
    variant = made(VariantStatus, text, name, role="live")
    endpoint = made(EndpointStatus, text, name, variants=(variant,), monitor=monitor, cost_per_thousand=None)
    return made(
        Status,
        text,
        name,
        endpoints=(endpoint,),
        versions=(made(VersionStatus, text, name, metrics={"auc": None}),),
        alerts=(made(AlertStatus, text, name), made(AlertStatus, text, name, open=False)),
        runs=(made(RunStatus, text, name, seconds=None),),
        sources=(made(SourceStatus, text, name, last_event_us=None),),
        consistency=made(ConsistencyStatus, text, name, outcome="PASS", age_s=1.0, changed_by_view={name: 1}),
        audit=({"at": 1, "actor": name, "action": name, "resource": name},),
    )
