"""Values of the operations on pipelines."""

import msgspec

from falaj.app.values.status import RunStatus


class PipelinesQuery(msgspec.Struct, frozen=True):
    """Which pipelines.

    Attributes:
        pipeline: Only this one; empty for all.
    """

    pipeline: str = ""


class PipelineStatus(msgspec.Struct, frozen=True):
    """One pipeline of the project.

    Attributes:
        name: Its name.
        function: Where its function is.
        schedule: When it starts by itself; empty for never.
        time_zone: Of the schedule.
        next_due_us: When it is due next, in microseconds; None without a schedule.
        on: The events that start it, as sentences.
        last: Its newest run; None before the first.
    """

    name: str
    function: str
    schedule: str
    time_zone: str
    next_due_us: int | None
    on: tuple[str, ...]
    last: RunStatus | None
