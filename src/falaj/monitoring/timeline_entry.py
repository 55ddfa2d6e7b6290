"""TimelineEntry: something that happened around an incident."""

import msgspec


class TimelineEntry(msgspec.Struct, frozen=True):
    """Something that happened.

    Attributes:
        at_us: When, in microseconds.
        kind: "alert", "message", "acknowledged", "commented", "resolved", or the action of an audit record.
        actor: Who did it; "system" for Falaj itself.
        text: What, in one line.
    """

    at_us: int
    kind: str
    actor: str
    text: str
