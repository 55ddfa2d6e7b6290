"""Values of the operation on triggers."""

from typing import Literal

import msgspec

from falaj.app.values.bounds import Limit
from falaj.lifecycle.brakes import Brake
from falaj.lifecycle.retrainings import Retraining


class TriggersQuery(msgspec.Struct, frozen=True):
    """Which endpoint's triggers.

    Attributes:
        endpoint: Which endpoint.
        limit: Most past runs.
    """

    endpoint: str
    limit: Limit = 10


class TriggerStatus(msgspec.Struct, frozen=True):
    """One trigger.

    Attributes:
        trigger: What it waits for.
        state: "quiet"; "calling" for a run; "early" while it has not called for as long as the debounce says;
            "answered" when a run was started for what it calls for.
        sentence: What it found; empty while it is quiet.
        since_us: Since when it calls, in microseconds since 1970; None where there is no debounce.
    """

    trigger: str
    state: Literal["quiet", "early", "calling", "answered"]
    sentence: str = ""
    since_us: int | None = None


class TriggersStatus(msgspec.Struct, frozen=True):
    """Why an endpoint's model is or is not trained again.

    Attributes:
        endpoint: The endpoint.
        model: Its model.
        watched: Whether its triggers were looked at: not before something serves and control has run.
        triggers: Each trigger.
        brakes: What holds a run back now.
        runs: Past training runs of the model, the newest first.
        spent: What the model's trainings of the last 24 hours cost.
        max_cost_per_day: From where on no run starts; None for no limit.
        currency: Of both.
    """

    endpoint: str
    model: str
    watched: bool
    triggers: tuple[TriggerStatus, ...]
    brakes: tuple[Brake, ...]
    runs: tuple[Retraining, ...]
    spent: float = 0.0
    max_cost_per_day: float | None = None
    currency: str = ""
