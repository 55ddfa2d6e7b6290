"""Endpoint: a served name."""

import msgspec

from falaj.definitions.cache import Cache
from falaj.definitions.challenger import Challenger
from falaj.definitions.declared import Declared
from falaj.definitions.endpoint_options import EndpointOptions
from falaj.definitions.gate import REGRESSION
from falaj.definitions.model import Model
from falaj.definitions.monitor import Monitor
from falaj.definitions.prediction_policy import CLIENT_ID, PredictionPolicy
from falaj.definitions.retrain import Retrain
from falaj.definitions.rollout import Canary, canary
from falaj.kernel.duration import duration_us, positive_duration_us
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name, did_you_mean


class Endpoint(msgspec.Struct, metaclass=Declared, frozen=True):
    """A served name, the model behind it, and how new versions reach it.

    Args:
        name: The endpoint's name, in its URL.
        model: The model whose versions serve.
        rollout: How a new version takes over.
        retrain: What starts a new training run; None for nothing.
        monitor: How traffic is watched.
        defaults: Feature name (`view__feature`) to the value used when the feature store fails.
        prediction_log: Which decisions are written down, and what of them; everything of all by default.
        deadline: What still waits after it is not computed and answers 504, such as "50ms"; None for no bound.
        max_rows: Most rows of one request; None for the gateway's bound.
        cache: Give the model's answer again to the same inputs; None for a model that is asked each time.
        features_max_age: How old a feature may be that a gateway gives again without asking Redis, such as "500ms", or
            "0ms" for never; None for what the settings say.
        challenger: When the endpoint's shadow is proposed in place of what decides; None for never.

    Raises:
        DefinitionError: What is to be redacted is no field of the model: a misspelt name would redact nothing. Or a
            trigger or a challenger looks at what the model does not have.
    """

    name: str
    model: Model
    rollout: Canary = canary()
    retrain: Retrain | None = None
    monitor: Monitor = Monitor()
    defaults: dict[str, float] = {}
    prediction_log: PredictionPolicy = PredictionPolicy()
    deadline: str | None = None
    max_rows: int | None = None
    cache: Cache | None = None
    features_max_age: str | None = None
    challenger: Challenger | None = None

    def __post_init__(self) -> None:
        check_name("endpoint", self.name)
        known = self._fields()
        for name in self.prediction_log.redact:
            if name not in known:
                raise DefinitionError(
                    f"endpoint {self.name!r}: prediction_log redacts {name!r}, which its model does not take",
                    hint=did_you_mean(name, known),
                )
        if self.cache is not None and self.model.trainer.kind == "python":
            raise DefinitionError(
                f"endpoint {self.name!r}: answers of a Python class are not cached",
                hint="leave cache out; its own code may keep what it computed",
            )
        if self.max_rows is not None and self.max_rows < 1:
            raise DefinitionError(f"endpoint {self.name!r}: max_rows = {self.max_rows}", hint="give at least 1")
        self._check_triggers()
        self._check_challenger()
        self.options  # noqa: B018 - the durations are checked where they are read

    def _check_challenger(self) -> None:
        if self.challenger is None:
            return
        if self.model.task != "classification":
            raise DefinitionError(
                f"endpoint {self.name!r}: a challenger is judged by losses that have a bound, and errors have none",
                hint=f"leave challenger out, and look at: falaj shadow {self.name}",
            )
        if self.challenger.by == "cost" and self.model.cost is None:
            raise DefinitionError(
                f"endpoint {self.name!r}: its challenger is judged by cost, and nothing says what decisions cost",
                hint="write cost=fj.Cost(false_positive=5, false_negative=200) in the model",
            )

    def _check_triggers(self) -> None:
        for trigger in () if self.retrain is None else self.retrain.on:
            of_numbers = trigger.metric in REGRESSION
            if trigger.kind == "performance" and of_numbers != (self.model.task == "regression"):
                raise DefinitionError(
                    f"endpoint {self.name!r}: {trigger.metric} is not measured of a {self.model.task}",
                    hint="fj.on.performance('rmse', at_most=50) for a regression, 'auc', at_least=0.9 for the other",
                )

    @property
    def options(self) -> EndpointOptions:
        """How its requests are treated, as its route says it."""
        return EndpointOptions(
            None if self.deadline is None else positive_duration_us(self.deadline, field="deadline") / 1000,
            self.max_rows,
            self.cache,
            None
            if self.features_max_age is None
            else duration_us(self.features_max_age, field="features_max_age") / 1000,
        )

    def _fields(self) -> set[str]:
        service = self.model.features
        names = {key for view in service.views for key, _ in view.keys}
        names |= {f"{view.name}__{feature}" for view in service.views for feature in view.features}
        names |= {field.name for field in service.request_fields} | {view.name for view in service.on_demand}
        return names | {CLIENT_ID}
