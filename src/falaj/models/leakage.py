"""Leakage: features that know the label too well, or from after its event."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.gate import LEAST_SUSPECT_AUC, LEAST_SUSPECT_R2
from falaj.definitions.task import Task
from falaj.models.bootstrap import bootstrap, interval_of
from falaj.models.metrics import Floats, Scored
from falaj.models.predicted import Predicted
from falaj.models.runtimes.port import Matrix

_BINS = 64
"""From this AUC on a feature's interval is worth drawing resamples for."""

_SAME = 0.999
_PRIOR_ROWS = 1.0
_OFF = 1e-5
"""How far, as a share of the labels' range, a line through a feature may be from labels that it is."""


class Alone(msgspec.Struct, frozen=True):
    """What one feature alone knows of the label.

    Attributes:
        feature: Its name.
        auc: What it reaches on test rows when each of its values is scored by the share of positives among training
            rows; None where it is not defined, and of a regression.
        low: Lower end of the 95 % interval; None where the value is not suspect and nothing hangs on it.
        high: Upper end.
        is_label: Whether it has two values, missing among them, that say the label in 999 of 1,000 rows; of a
            regression, whether the label is a line through it in as many.
        r2: Of a regression: the share of the labels' variance that it explains when each of its values predicts the
            mean of training rows; None where it is not defined.
    """

    feature: str
    auc: float | None
    low: float | None = None
    high: float | None = None
    is_label: bool = False
    r2: float | None = None

    @property
    def value(self) -> float | None:
        """What it reaches: the auc, or of a regression the r2."""
        return self.auc if self.r2 is None else self.r2


class Leaks(msgspec.Struct, frozen=True):
    """What was found of leaks.

    Attributes:
        alone: Each input alone, the best first.
        late: Feature that is an instant to the rows in which it is after its event; those without one are absent.
        compared: How many test rows were computed again of what was known at their instants; 0 for none.
        unknown: Feature to those of them in which it is another value then.
        instants: Features that are instants and were held against their rows' events; None where rows have no time.
    """

    alone: tuple[Alone, ...]
    late: dict[str, int] = {}
    compared: int = 0
    unknown: dict[str, int] = {}
    instants: tuple[str, ...] | None = None


def measure_alone(
    names: Sequence[str],
    training: tuple[Matrix, NDArray[Any]],
    test: tuple[Matrix, NDArray[Any]],
    *,
    categorical: Sequence[str] = (),
    seed: int,
    task: Task = "classification",
) -> tuple[Alone, ...]:
    """Measure what each input alone knows of the label, whichever way it knows it.

    A score by bins finds what rises, falls, or is odd in the middle; missing values are a bin of their own.

    Args:
        names: The matrices' columns.
        training: Rows that the bins are made of, (rows, features), and their labels.
        test: Rows that are ranked, and their labels.
        categorical: Columns whose numbers are codes.
        seed: Of the resampling.
        task: What the labels are.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = (rng.random(1_000) < 0.2).astype(np.int64)
        >>> rows = np.column_stack([rng.random(1_000), labels * 3.0]).astype(np.float32)
        >>> found = measure_alone(["noise", "leak"], (rows, labels), (rows, labels), seed=0)
        >>> [(one.feature, one.is_label) for one in found]
        [('leak', True), ('noise', False)]
    """
    one = _one_of_numbers if task == "regression" else _one
    found = [
        one(name, (training[0][:, i], training[1]), (test[0][:, i], test[1]), name in categorical, seed)
        for i, name in enumerate(names)
    ]
    return tuple(sorted(found, key=lambda one: (-(one.value or 0.0), one.feature)))


def _one(
    name: str,
    training: tuple[Matrix, NDArray[np.int64]],
    test: tuple[Matrix, NDArray[np.int64]],
    categorical: bool,  # noqa: FBT001 - the caller names it
    seed: int,
) -> Alone:
    (past, past_labels), (values, labels) = training, test
    scores = _rates(past, past_labels, values, categorical=categorical)
    scored = Scored(scores, labels, 0.5)
    auc = float(scored.measure(np.ones((1, len(labels))), ["auc"])["auc"][0])
    if not np.isfinite(auc):
        return Alone(name, None)
    if auc < LEAST_SUSPECT_AUC:
        return Alone(name, auc)
    interval = interval_of(bootstrap(labels, lambda w: scored.measure(w, ["auc"]), seed=seed)["auc"])
    said = (scores >= 0.5) == (labels == 1)
    shares = [float(said[labels == label].mean()) for label in (0, 1)]
    distinct = len(np.unique(np.concatenate([past, values])))  # NaN counts once
    same = distinct == 2 and min(shares) >= _SAME
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return Alone(name, auc, low, high, same)


def _one_of_numbers(
    name: str,
    training: tuple[Matrix, NDArray[Any]],
    test: tuple[Matrix, NDArray[Any]],
    categorical: bool,  # noqa: FBT001 - the caller names it
    seed: int,
) -> Alone:
    (past, past_labels), (values, labels) = training, test
    predicted = Predicted(_rates(past, past_labels, values, categorical=categorical), labels)
    r2 = float(predicted.measure(np.ones((1, len(labels))), ["r2"])["r2"][0])
    if not np.isfinite(r2):
        return Alone(name, None)
    same = not categorical and _is_line(past, past_labels, values, labels)
    if r2 < LEAST_SUSPECT_R2:
        return Alone(name, None, is_label=same, r2=r2)
    everything = np.zeros(len(labels), np.int64)
    interval = interval_of(bootstrap(everything, lambda w: predicted.measure(w, ["r2"]), seed=seed)["r2"])
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return Alone(name, None, low, high, same, r2)


def _is_line(past: Matrix, past_labels: NDArray[Any], values: Matrix, labels: NDArray[Any]) -> bool:
    """Return whether the label is the feature, in whatever units."""
    known, wanted = np.isfinite(past), np.isfinite(values)
    if wanted.mean() < _SAME or known.sum() < 2 or not past[known].std():  # fmt: skip
        return False
    slope, level = np.polyfit(past[known].astype(np.float64), past_labels[known], 1)
    off = np.abs(slope * values[wanted].astype(np.float64) + level - labels[wanted])
    return bool((off <= _OFF * np.ptp(past_labels)).mean() >= _SAME)


def _rates(past: Matrix, labels: NDArray[Any], values: Matrix, *, categorical: bool) -> Floats:
    """Return the share of positives, or the mean label, among training rows in each test row's bin."""
    edges = np.unique(past[np.isfinite(past)])
    if not categorical and len(edges) > _BINS:
        edges = np.unique(np.quantile(past[np.isfinite(past)], np.linspace(0, 1, _BINS + 1)[1:-1]))
    size = len(edges) + 2  # one for missing values, the last

    def bins(of: Matrix) -> NDArray[np.int64]:
        return np.where(np.isnan(of), size - 1, np.searchsorted(edges, of, side="right")).astype(np.int64)

    places = bins(past)
    rows = np.bincount(places, minlength=size)
    positives = np.bincount(places, weights=labels, minlength=size)
    prior = float(labels.mean())
    rates: Floats = (positives + prior * _PRIOR_ROWS) / (rows + _PRIOR_ROWS)
    return rates[bins(values)]


def count_unlike(features: Mapping[str, tuple[Sequence[Any], Sequence[Any]]]) -> dict[str, int]:
    """Count the rows in which a feature has two values that differ by more than sums of floats do.

    Args:
        features: Feature to its values in one table and in another, (rows,).

    Example:
        >>> count_unlike({"n": ([1, 2, None], [1, 3, None]), "x": ([0.1 + 0.2], [0.3])})
        {'n': 1}
    """
    counts = {
        name: sum(not _alike(*pair) for pair in zip(one, other, strict=True)) for name, (one, other) in features.items()
    }
    return {name: count for name, count in counts.items() if count}


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def count_late(instants: Mapping[str, NDArray[np.int64]], event_us: NDArray[np.int64]) -> dict[str, int]:
    """Count the rows in which a feature that is an instant is after the row's event.

    Args:
        instants: Feature to its instants in microseconds, the least int64 where not known, (rows,).
        event_us: The rows' events, (rows,).

    Example:
        >>> count_late({"seen": np.array([5, 15]), "first": np.array([1, 2])}, np.array([10, 10]))
        {'seen': 1}
    """
    counts = {name: int((values > event_us).sum()) for name, values in instants.items()}
    return {name: count for name, count in counts.items() if count}
