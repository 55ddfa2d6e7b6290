"""Part: test rows, all or one slice of them, and what was measured of a version on them beside production."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.cost import Cost
from falaj.definitions.slices import value_text
from falaj.definitions.task import Task
from falaj.models.bootstrap import Interval, bootstrap, interval_of
from falaj.models.few_errors import relative_to, with_few_changes, with_few_errors
from falaj.models.metrics import OF_DECISIONS, Floats, Scored
from falaj.models.predicted import Predicted

MINIMUM_PER_CLASS = 10
"""With fewer rows of a class the interval of every metric is wider than any bound worth declaring."""

MINIMUM_ROWS = 20
"""The same of a regression, whose rows have no class."""

MOST_SLICES = 50
MISSING = "(missing)"
"""The slice, or the group, of rows whose value is not known."""


class Part(msgspec.Struct, frozen=True):
    """What was measured on some test rows.

    Attributes:
        rows: How many.
        positives: Those of class 1; None of a regression.
        metrics: Metric name to the version's value; None where it is not a number.
        intervals: Metric name to the 95 % interval of the value.
        baseline: Metric name to production's value; empty when nothing is in production.
        changes: Metric name to the 95 % interval of the version's value less production's, on the same resamples.
        relative: The same as a share of the size of production's value.
        value: Of the column that slices them; empty for all rows.
    """

    rows: int
    positives: int | None
    metrics: dict[str, float | None] = {}
    intervals: dict[str, Interval] = {}
    baseline: dict[str, float | None] = {}
    changes: dict[str, Interval] = {}
    relative: dict[str, Interval] = {}
    value: str = ""

    @property
    def negatives(self) -> int:
        """Those of class 0; none of a regression."""
        return 0 if self.positives is None else self.rows - self.positives

    @property
    def lead(self) -> str:
        """The metric that tables of parts show."""
        return "rmse" if self.positives is None else "auc"

    @property
    def too_few(self) -> str:
        """Why nothing can be said of these rows; empty when it can."""
        if self.positives is None:
            enough = self.rows >= MINIMUM_ROWS
            return "" if enough else f"{self.rows} rows are too few to judge; {MINIMUM_ROWS} are needed"
        if min(self.positives, self.negatives) >= MINIMUM_PER_CLASS:
            return ""
        return (
            f"{self.positives} positives and {self.negatives} negatives are too few to judge; "
            f"{MINIMUM_PER_CLASS} of each are needed"
        )


class Sliced(msgspec.Struct, frozen=True):
    """The parts that a column's values make of the test rows.

    Attributes:
        column: The column.
        parts: One for each value, the one of most rows first.
        left_out: How many values are not among them, because there are too many.
    """

    column: str
    parts: tuple[Part, ...]
    left_out: int = 0


class Sides(msgspec.Struct, frozen=True):
    """The candidate's scores of some rows, and production's.

    Attributes:
        labels: 0 and 1, of a regression any numbers, (rows,).
        candidate: Its scores, (rows,).
        threshold: Its threshold; of a regression it counts for nothing.
        production: Production's scores, (rows,); None when nothing is in production.
        production_threshold: Production's threshold.
        cost: What decisions cost.
        task: What was predicted.
        same: Whether production answers by the same file and features: then only another threshold can change what
            is decided, and nothing the scores themselves.
    """

    labels: NDArray[Any]
    candidate: Floats
    threshold: float
    production: Floats | None = None
    production_threshold: float = 0.5
    cost: Cost | None = None
    task: Task = "classification"
    same: bool = False

    @property
    def classes(self) -> NDArray[np.int64]:
        """What resamples are drawn within, (rows,): all rows of a regression are of one class."""
        return np.zeros(len(self.labels), np.int64) if self.task == "regression" else self.labels

    @property
    def positives(self) -> int | None:
        """Rows of class 1; None of a regression."""
        return None if self.task == "regression" else int(self.labels.sum())

    def may_change(self, metric: str) -> bool:
        """Return whether production's value of a metric could be another than the candidate's on any rows."""
        return not self.same or (metric in OF_DECISIONS and self.threshold != self.production_threshold)

    def scored(self, scores: Floats, threshold: float) -> Scored | Predicted:
        """Return what measures one side's scores."""
        if self.task == "regression":
            return Predicted(scores, self.labels)
        return Scored(scores, self.labels, threshold, self.cost)

    def at(self, rows: NDArray[Any]) -> "Sides":
        """Return the sides of some of the rows."""
        taken = None if self.production is None else self.production[rows]
        return msgspec.structs.replace(
            self, labels=self.labels[rows], candidate=self.candidate[rows], production=taken
        )  # fmt: skip


def measure_part(
    sides: Sides, *, seed: int, names: Sequence[str] | None = None, value: str = "", bare: bool = False
) -> Part:
    """Measure a version, and production, and the difference, on the same rows and the same resamples of them.

    Args:
        sides: The scores.
        seed: Of the resampling.
        names: Which metrics; all by default.
        value: Of the column that slices the rows.
        bare: Leave the intervals out.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = (rng.random(400) < 0.5).astype(np.int64)
        >>> good, bad = labels + rng.normal(size=400), labels + 5 * rng.normal(size=400)
        >>> part = measure_part(Sides(labels, good, 0.5, bad), seed=1, names=["auc"])
        >>> part.changes["auc"].low > 0
        True
    """
    candidate = sides.scored(sides.candidate, sides.threshold)
    production = None
    if sides.production is not None:
        production = sides.scored(sides.production, sides.production_threshold)
    wanted = candidate.metrics if names is None else tuple(name for name in names if name in candidate.metrics)
    once = np.ones((1, len(sides.labels)))
    values = {name: float(found[0]) for name, found in candidate.measure(once, wanted).items()}
    part = Part(
        len(sides.labels),
        sides.positives,
        numbers(values),
        baseline=numbers({n: float(v[0]) for n, v in production.measure(once, wanted).items()} if production else {}),
        value=value,
    )
    if bare or part.too_few:
        return part

    def measure(weights: Floats) -> dict[str, Floats]:
        found = candidate.measure(weights, wanted)
        if production is None:
            return found
        before = production.measure(weights, wanted)
        with np.errstate(invalid="ignore", divide="ignore"):
            changes = {f"change {name}": found[name] - before[name] for name in wanted}
            # By the size of production's value: an r2 or a cost below zero would turn losses into gains.
            relative = {f"relative {name}": (found[name] - before[name]) / np.abs(before[name]) for name in wanted}
        return found | changes | relative

    drawn = bootstrap(sides.classes, measure, seed=seed)
    named: dict[str, dict[str, Interval]] = {"": {}, "change": {}, "relative": {}}
    for key, resampled in drawn.items():
        kind, _, name = key.rpartition(" ")
        interval = interval_of(resampled, estimate=values["ece"] if key == "ece" else None)
        if interval is not None and np.isfinite([interval.low, interval.high]).all():
            named[kind][name] = interval
    intervals, changes = named[""], named["change"]
    if isinstance(candidate, Scored):  # how far off a predicted number can be has no bound
        intervals = with_few_errors(candidate, intervals)
        if isinstance(production, Scored):
            free = {name: one for name, one in changes.items() if sides.may_change(name)}
            changes = changes | with_few_changes(candidate, production, free)
    relative = relative_to(changes, part.baseline, named["relative"])
    return msgspec.structs.replace(part, intervals=intervals, changes=changes, relative=relative)


def measure_slices(
    sides: Sides,
    columns: Mapping[str, Sequence[str]],
    required: Mapping[str, Sequence[str]],
    *,
    seed: int,
    names: Sequence[str],
) -> tuple[Sliced, ...]:
    """Measure each value of each column alone.

    Args:
        sides: The scores.
        columns: Column to its values as text, (rows,).
        required: Column to the values that are measured however rare they are.
        seed: Of the resampling.
        names: Which metrics.
    """
    found = []
    for column, texts in columns.items():
        values, positions, counts = np.unique(np.asarray(texts, object), return_inverse=True, return_counts=True)
        ranked = np.argsort(-counts, kind="stable")  # of equally many rows, by name
        named = {*required.get(column, ())}
        kept = [i for place, i in enumerate(ranked.tolist()) if place < MOST_SLICES or values[i] in named]
        parts = tuple(
            measure_part(sides.at(np.flatnonzero(positions == i)), seed=seed, names=names, value=str(values[i]))
            for i in kept
        )
        found.append(Sliced(column, parts, len(values) - len(kept)))
    return tuple(found)


def texts_of(values: Sequence[Any]) -> list[str]:
    """Return a column's values as the texts that name slices and groups.

    Example:
        >>> texts_of(["OM", None, 3, 2.0, True, float("nan")])
        ['OM', '(missing)', '3', '2', 'true', '(missing)']
    """
    return [MISSING if value is None or value != value else value_text(value) for value in values]


def numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return values with None for what is not a number: JSON knows no NaN.

    Example:
        >>> numbers({"auc": float("nan"), "f1": 0.5})
        {'auc': None, 'f1': 0.5}
    """
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
