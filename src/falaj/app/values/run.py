"""Values of the operations on run."""

import msgspec

from falaj.app.values.bounds import Limit
from falaj.app.values.status import RunStatus


class RunsQuery(msgspec.Struct, frozen=True):
    """Which runs to list.

    Attributes:
        pipeline: Only of this one; empty for all.
        limit: Most runs.
    """

    pipeline: str = ""
    limit: Limit = 20


class RunQuery(msgspec.Struct, frozen=True):
    """Which run."""

    run_id: str


class StepStatus(msgspec.Struct, frozen=True):
    """One step of a run.

    Attributes:
        name: The step.
        state: Where it stands.
        seconds: How long its last try took, or has taken; None before it starts.
        progress: 0 to 1.
        text: What it is doing.
        cached: Whether its outputs were taken from an earlier run.
        tries: How often it was started.
        error: Why it did not succeed.
        log: Path of its log.
    """

    name: str
    state: str
    seconds: float | None
    progress: float
    text: str
    cached: bool
    tries: int
    error: str
    log: str


class RunDetail(msgspec.Struct, frozen=True):
    """One run and its steps.

    Attributes:
        run: The run.
        steps: Its steps, in order.
        result: Plain outputs of the steps that succeeded.
    """

    run: RunStatus
    steps: tuple[StepStatus, ...]
    result: dict[str, dict[str, object]]
