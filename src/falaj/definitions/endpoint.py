"""Endpoint: a served name."""

import msgspec

from falaj.definitions.model import Model
from falaj.definitions.monitor import Monitor
from falaj.definitions.prediction_policy import CLIENT_ID, PredictionPolicy
from falaj.definitions.retrain import Retrain
from falaj.definitions.rollout import Canary, canary
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name, did_you_mean


class Endpoint(msgspec.Struct, frozen=True):
    """A served name, the model behind it, and how new versions reach it.

    Args:
        name: The endpoint's name, in its URL.
        model: The model whose versions serve.
        rollout: How a new version takes over.
        retrain: What starts a new training run; None for nothing.
        monitor: How traffic is watched.
        defaults: Feature name (`view__feature`) to the value used when the feature store fails.
        prediction_log: Which decisions are written down, and what of them; everything of all by default.

    Raises:
        DefinitionError: What is to be redacted is no field of the model: a misspelt name would redact nothing.
    """

    name: str
    model: Model
    rollout: Canary = canary()
    retrain: Retrain | None = None
    monitor: Monitor = Monitor()
    defaults: dict[str, float] = {}
    prediction_log: PredictionPolicy = PredictionPolicy()

    def __post_init__(self) -> None:
        check_name("endpoint", self.name)
        known = self._fields()
        for name in self.prediction_log.redact:
            if name not in known:
                raise DefinitionError(
                    f"endpoint {self.name!r}: prediction_log redacts {name!r}, which its model does not take",
                    hint=did_you_mean(name, known),
                )

    def _fields(self) -> set[str]:
        service = self.model.features
        names = {key for view in service.views for key, _ in view.keys}
        names |= {f"{view.name}__{feature}" for view in service.views for feature in view.features}
        names |= {field.name for field in service.request_fields} | {view.name for view in service.on_demand}
        return names | {CLIENT_ID}
