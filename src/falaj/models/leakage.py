"""Leakage: features that know the label too well, or from after its event."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.gate import LEAST_SUSPECT_AUC
from falaj.models.bootstrap import bootstrap, interval_of
from falaj.models.metrics import Floats, Scored
from falaj.models.runtimes.port import Matrix

_BINS = 64
"""From this AUC on a feature's interval is worth drawing resamples for."""

_SAME = 0.999
_PRIOR_ROWS = 1.0


class Alone(msgspec.Struct, frozen=True):
    """What one feature alone knows of the label.

    Attributes:
        feature: Its name.
        auc: What it reaches on test rows when each of its values is scored by the share of positives among training
            rows; None where it is not defined.
        low: Lower end of the 95 % interval; None below 0.95, where nothing hangs on it.
        high: Upper end.
        is_label: Whether it has two values, missing among them, that say the label in 999 of 1,000 rows.
    """

    feature: str
    auc: float | None
    low: float | None = None
    high: float | None = None
    is_label: bool = False


class Leaks(msgspec.Struct, frozen=True):
    """What was found of leaks.

    Attributes:
        alone: Each input alone, the best first.
        late: Feature that is an instant to the rows in which it is after its event; those without one are absent.
        compared: How many test rows were computed again of what was known at their instants; 0 for none.
        unknown: Feature to those of them in which it is another value then.
    """

    alone: tuple[Alone, ...]
    late: dict[str, int] = {}
    compared: int = 0
    unknown: dict[str, int] = {}


def measure_alone(
    names: Sequence[str],
    training: tuple[Matrix, NDArray[np.int64]],
    test: tuple[Matrix, NDArray[np.int64]],
    *,
    categorical: Sequence[str] = (),
    seed: int,
) -> tuple[Alone, ...]:
    """Measure what each input alone knows of the label, whichever way it knows it.

    A score by bins finds what rises, falls, or is odd in the middle; missing values are a bin of their own.

    Args:
        names: The matrices' columns.
        training: Rows that the bins are made of, (rows, features), and their labels.
        test: Rows that are ranked, and their labels.
        categorical: Columns whose numbers are codes.
        seed: Of the resampling.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = (rng.random(1_000) < 0.2).astype(np.int64)
        >>> rows = np.column_stack([rng.random(1_000), labels * 3.0]).astype(np.float32)
        >>> found = measure_alone(["noise", "leak"], (rows, labels), (rows, labels), seed=0)
        >>> [(one.feature, one.is_label) for one in found]
        [('leak', True), ('noise', False)]
    """
    found = [
        _one(name, (training[0][:, i], training[1]), (test[0][:, i], test[1]), name in categorical, seed)
        for i, name in enumerate(names)
    ]
    return tuple(sorted(found, key=lambda one: (-(one.auc or 0.0), one.feature)))


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


def _rates(past: Matrix, labels: NDArray[np.int64], values: Matrix, *, categorical: bool) -> Floats:
    """Return the share of positives among training rows in each test row's bin."""
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
