"""Model: features, label, trainer, split and gates under one name."""

from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from falaj.definitions.cost import Cost
from falaj.definitions.declared import Declared
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.gate import (
    Bound,
    Change,
    Fairness,
    GateCheck,
    Leakage,
    Robustness,
)
from falaj.definitions.slices import Slices, check_slices, column_of, sliced
from falaj.definitions.source import Source
from falaj.definitions.split import Split, by_time
from falaj.definitions.task import Task, check_gates_of
from falaj.definitions.trainer import Trainer
from falaj.definitions.tuning import check_search_of
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name, did_you_mean

RESERVED = ("event_timestamp", "label", "split", "score")
"""Columns that datasets and references have beside the features."""

CALIBRATIONS = ("", "isotonic", "sigmoid")


class Label(msgspec.Struct, metaclass=Declared, frozen=True):
    """What the model learns to predict.

    Args:
        source: The source whose rows are the examples; its row also gives T, the entity keys and request fields.
        column: A column of 0 and 1 (or booleans), for a regression of any numbers; null means not yet known.
        delay: How long after the event the label becomes known, in event time.
    """

    source: Source
    column: str
    delay: str = "0s"

    def __post_init__(self) -> None:
        check_name("label column", self.column)
        duration_us(self.delay, field=f"label {self.column!r} delay")

    @property
    def delay_us(self) -> int:
        """The delay in microseconds."""
        return duration_us(self.delay)


class Model(msgspec.Struct, metaclass=Declared, frozen=True):
    """A binary classifier, or a regression: what predicts a number.

    Args:
        name: The model's name.
        features: The feature service it reads.
        label: What it learns.
        trainer: How it learns.
        split: Which rows test it.
        gates: What a version must show before it may move; without any, no version is blessed.
        owner: Who answers for it.
        cost: What wrong decisions cost; without it the threshold is the one of the best F1 on training rows.
        slices: Columns by whose values reports show metrics too.
        task: "classification" where the label is 0 or 1, "regression" where it is a number.
        calibrate: How scores become probabilities, on training rows that are kept back for it: "isotonic", "sigmoid",
            or empty for scores as they are.

    Raises:
        DefinitionError: A time split or a label delay stands on a timeless label source, the label is a feature of
            itself, a feature reads the label's column, a field of the request bears a name that the dataset needs, a
            gate asks for a cost that is not declared or for what the task does not have, or rows are sliced by the
            label.
    """

    name: str
    features: FeatureService
    label: Label
    trainer: Trainer
    split: Split = by_time()
    gates: Sequence[GateCheck] = ()
    owner: str = ""
    cost: Cost | None = None
    slices: Slices = ()
    task: Task = "classification"
    calibrate: Literal["", "isotonic", "sigmoid"] = ""

    def __post_init__(self) -> None:
        check_name("model", self.name)
        self._check_task()
        self._check_gates()
        self._check_calibration()
        search = self.trainer.tuning or self.trainer.automl
        if search is not None:
            check_search_of(self.name, self.task, search)
        if self.label.source.timeless and self.split.kind == "time":
            raise DefinitionError(
                f"model {self.name!r}: a split by time needs a timestamp, and source "
                f"{self.label.source.name!r} has none",
                hint="use split=fj.split.random(test='20%')",
            )
        if self.label.source.timeless and self.label.delay_us:
            raise DefinitionError(
                f"model {self.name!r}: a label delay of {self.label.delay!r} needs a timestamp, and source "
                f"{self.label.source.name!r} has none",
                hint="leave the delay out",
            )
        if self.trainer.warm_start is not None and self.split.kind != "time":
            raise DefinitionError(
                f"model {self.name!r}: a version that is continued has learned rows that a random split would test on",
                hint="use split=fj.split.by_time(), or leave warm_start out",
            )
        for name in (*(f.name for f in self.features.request_fields), *(v.name for v in self.features.on_demand)):
            if name in RESERVED:
                raise DefinitionError(
                    f"model {self.name!r}: a feature may not be called {name!r}; datasets have a column of that name",
                    hint=f"rename it; {', '.join(RESERVED)} are taken",
                )
        if self.label.column in {field.name for field in self.features.request_fields}:
            raise DefinitionError(
                f"model {self.name!r}: its label {self.label.column!r} is a field of the request too",
                hint="leave it out of the features: nobody knows it when the request is made",
            )
        for view in self.features.views:
            self._check_leak(view)

    @property
    def sliced_by(self) -> tuple[str, ...]:
        """The columns that slice or group test rows, as they are declared."""
        by: list[Slices] = [self.slices]
        by += [check.slices for check in self.gates if isinstance(check, Bound | Change)]
        columns = [column for slices in by for column, _ in sliced(slices)]
        columns += [check.attribute for check in self.gates if isinstance(check, Fairness)]
        return tuple(dict.fromkeys(columns))

    def _check_task(self) -> None:
        if self.task not in get_args(Task):
            raise DefinitionError(
                f"model {self.name!r}: task {self.task!r} does not exist", hint="write 'classification' or 'regression'"
            )
        if self.task == "regression" and self.trainer.kind == "river":
            raise DefinitionError(
                f"model {self.name!r}: {self.trainer.estimator} learns no regression",
                hint="use fj.lightgbm or fj.xgboost",
            )
        if self.task == "regression" and self.cost is not None:
            raise DefinitionError(
                f"model {self.name!r}: a regression decides nothing, so that no decision of it costs anything",
                hint="leave cost out, and bound an error: fj.gate.at_most('rmse', 50)",
            )
        check_gates_of(self.name, self.task, self.gates)

    def _check_calibration(self) -> None:
        if self.calibrate not in CALIBRATIONS:
            raise DefinitionError(
                f"model {self.name!r}: calibrate = {self.calibrate!r} is no method",
                hint=did_you_mean(self.calibrate, CALIBRATIONS[1:]),
            )
        if self.calibrate and self.task == "regression":
            raise DefinitionError(
                f"model {self.name!r}: a regression gives no probabilities", hint="leave calibrate out"
            )
        if self.calibrate and self.trainer.warm_start is not None:
            raise DefinitionError(
                f"model {self.name!r}: rows that calibrate train nothing, and a version that goes on from another "
                "would never learn them",
                hint="leave calibrate or warm_start out",
            )
        if self.calibrate and self.trainer.kind == "python":
            raise DefinitionError(
                f"model {self.name!r}: a class of your own gives its own probabilities",
                hint="calibrate them in its predict, and leave calibrate out",
            )

    def _check_gates(self) -> None:
        check_slices(f"model {self.name!r}", self.slices)
        for check in self.gates:
            if isinstance(check, Bound | Change | Robustness) and check.metric == "cost" and self.cost is None:
                raise DefinitionError(
                    f"model {self.name!r}: a gate asks for the cost, and nothing says what decisions cost",
                    hint="write cost=fj.Cost(false_positive=5, false_negative=200)",
                )
            if isinstance(check, Leakage | Robustness):
                self._check_inputs(check.allow if isinstance(check, Leakage) else check.mutable)
            if isinstance(check, Leakage) and check.late is not None:
                self._check_created()
        for column in self.sliced_by:
            if column_of(column) in RESERVED or column == self.label.column:
                raise DefinitionError(
                    f"model {self.name!r}: rows cannot be sliced by {column!r}", hint="name another column"
                )

    def _check_created(self) -> None:
        for view in self.features.views:
            if not view.source.timeless and view.source.created is None:
                raise DefinitionError(
                    f"model {self.name!r}: a gate asks what became known late, and source {view.source.name!r} does "
                    "not say when its rows became known",
                    hint="declare its column with created=..., or leave late=... out",
                )

    def _check_inputs(self, names: Sequence[str]) -> None:
        fields = [field.name for field in self.features.request_fields]
        known = [*fields, *(view.name for view in self.features.on_demand)]
        known += [f"{view.name}:{feature}" for view in self.features.views for feature in view.features]
        for name in names:
            if name not in known:
                raise DefinitionError(
                    f"model {self.name!r}: a gate names {name!r}, which is no feature of it",
                    hint=did_you_mean(name, known),
                )

    def _check_leak(self, view: FeatureView) -> None:
        if view.source.name != self.label.source.name or (view.delay_us and view.delay_us >= self.label.delay_us):
            return
        for name in view.features:
            if self.label.column in view.reads(name):
                raise DefinitionError(
                    f"model {self.name!r}: feature '{view.name}:{name}' reads the label {self.label.column!r} from the "
                    "label's own rows, before anybody knows it",
                    hint="leave it out, or give the view a delay, "
                    + (f"{self.label.delay!r} or more" if self.label.delay_us else "as long as outcomes take"),
                )
