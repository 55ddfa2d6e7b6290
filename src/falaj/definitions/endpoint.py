"""Endpoint: a served name."""

import msgspec

from falaj.definitions.model import Model
from falaj.definitions.monitor import Monitor
from falaj.definitions.retrain import Retrain
from falaj.definitions.rollout import Canary, canary
from falaj.kernel.names import check_name


class Endpoint(msgspec.Struct, frozen=True):
    """A served name, the model behind it, and how new versions reach it.

    Args:
        name: The endpoint's name, in its URL.
        model: The model whose versions serve.
        rollout: How a new version takes over.
        retrain: What starts a new training run; None for nothing.
        monitor: How traffic is watched.
        defaults: Feature name (`view__feature`) to the value used when the feature store fails.
    """

    name: str
    model: Model
    rollout: Canary = canary()
    retrain: Retrain | None = None
    monitor: Monitor = Monitor()
    defaults: dict[str, float] = {}

    def __post_init__(self) -> None:
        check_name("endpoint", self.name)
