"""States: what is kept of a span of events so that spans can be put together later; the heart of a tile.

A state is a plain value that msgpack can hold; None stands for nothing. Two states are put together without changing
either of them. No state is ever subtracted.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features.windows import add_up, whole

HLL_BITS = 12
"""4,096 registers: a relative standard error of 1.04 / 64 = 1.6 %."""
KLL_K = 200
"""A rank error of 1.33 % for one quantile."""
_HALF = 62
_EMPTY = "\0"


class StateSpec(NamedTuple):
    """One thing that is kept.

    Attributes:
        kind: rows, count, sum, moments, min, max, first, last, distinct, hll or kll.
        column: Of which column; None for rows.
        rows: Of first and last: only rows in which this column is not null.
    """

    kind: str
    column: str | None = None
    rows: str | None = None


class Row(NamedTuple):
    """A row in the total order, with one column's value."""

    ts_us: int
    created_us: int
    seq: int
    value: Any


def states_of(feature: FeatureSpec) -> tuple[StateSpec, ...]:
    """Return the states that a feature is made of.

    Example:
        >>> [spec.kind for spec in states_of(FeatureSpec("m", "mean", "x", 60, "float64", hop_us=10))]
        ['sum', 'count']
    """
    column, function = feature.column, feature.function
    if column is None:
        return (StateSpec("rows"),)
    if function in ("sum", "mean"):
        return StateSpec("sum", column), StateSpec("count", column)
    if function in ("std", "var"):
        return (StateSpec("moments", column),)
    if function in ("first", "last"):
        return (StateSpec(function, column, feature.rows),)
    if function == "last_non_null":
        return (StateSpec("last", column, column),)
    if function == "count_distinct":
        return (StateSpec(feature.sketch or "distinct", column),)
    return (StateSpec(feature.sketch or function, column),)


def tile_states(view: ViewSpec) -> tuple[StateSpec, ...]:
    """Return all that the tiles of a view keep; features share what they have in common."""
    specs = (spec for feature in view.features if feature.hop_us is not None for spec in states_of(feature))
    return tuple(dict.fromkeys(specs))


def make(kind: str, values: Sequence[Any]) -> Any:
    """Return the state of values.

    Args:
        kind: Which state.
        values: Those that are not null, for first and last `Row`s, and for rows one entry per event.
    """
    return _MAKE[kind](values) if len(values) else None


def combine(kind: str, states: Sequence[Any]) -> Any:
    """Return the state of all that several states stand for.

    Args:
        kind: Which state.
        states: In the order of time; None for nothing.

    Example:
        >>> combine("sum", [make("sum", [1, 2]), None, make("sum", [3])])
        [0, 6]
    """
    known = [state for state in states if state is not None]
    return _COMBINE[kind](known) if len(known) > 1 else known[0] if known else None


def finish(feature: FeatureSpec, states: Sequence[Any]) -> Any:
    """Return a feature's value.

    Args:
        feature: The feature.
        states: One for each of `states_of`.
    """
    function, state = feature.function, states[0]
    if state is None:
        return 0 if function in ("count", "count_distinct") else None
    if function in ("sum", "mean"):
        total = _joined(state) if isinstance(state, list) else state
        if function == "mean":
            return total / states[1]
        return whole(total) if isinstance(total, int) else total
    if function in ("std", "var"):
        n, _, distance = state
        deviation = None if n < 2 else distance / math.sqrt(n - 1)
        return deviation if function == "std" or deviation is None else deviation * deviation
    if function in ("first", "last", "last_non_null"):
        return state[3]
    if function == "count_distinct":
        return len(state) if feature.sketch is None else round(_hll([state]).get_estimate())
    if function == "quantile":
        nans, raw = state
        return math.nan if nans else _kll([raw]).get_quantile(feature.q, True)  # noqa: FBT003 - inclusive
    return state


def _split(total: int) -> list[int]:
    """Return a whole number of up to 125 bits as two that msgpack can hold."""
    return [total >> _HALF, total & ((1 << _HALF) - 1)]


def _joined(parts: list[int]) -> int:
    return (parts[0] << _HALF) + parts[1]


def _sum(values: Sequence[Any]) -> Any:
    return add_up(values) if isinstance(values[0], float) else _split(sum(values))


def _sums(states: Sequence[Any]) -> Any:
    return add_up(states) if isinstance(states[0], float) else _split(sum(map(_joined, states)))


def _moments(values: Sequence[float]) -> list[float]:
    """Return count, mean and the distance from the mean, which is the root of the sum of squared deviations.

    The root neither overflows nor vanishes where the squares would.
    """
    n, base = len(values), values[-1]
    moved = [value - base for value in values]
    mean = add_up(moved) / n
    return [n, base + mean, math.dist(moved, (mean,) * n) if math.isfinite(mean) else math.nan]


def _all_moments(states: Sequence[Any]) -> list[float]:
    """Put moments together as Chan, Golub and LeVeque do (1979), in roots."""
    n, mean, distance = states[0]
    for more, other, apart in states[1:]:
        shift = other - mean
        distance = math.hypot(distance, apart, shift * math.sqrt(n * more / (n + more)))
        mean += shift * more / (n + more)
        n += more
    return [n, mean, distance if math.isfinite(mean) else math.nan]


def _extreme(choose: Callable[[Sequence[Any]], Any]) -> Callable[[Sequence[Any]], Any]:
    def of(values: Sequence[Any]) -> Any:
        return next((value for value in values if value != value), None) or choose(values)

    return of


def _order(row: Any) -> Any:
    return row[:3]


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list({"NaN" if value != value else value: value for value in values}.values())


def _hll(raws: Sequence[bytes], values: Sequence[Any] = ()) -> Any:
    from datasketches import hll_sketch, hll_union  # here: only where a feature names a sketch

    union = hll_union(HLL_BITS)
    for raw in raws:
        union.update(hll_sketch.deserialize(raw))
    for value in values:
        # the sketch passes over an empty text, which is a value like any other
        union.update(int(value) if isinstance(value, bool) else _EMPTY if value == "" else value)
    return union.get_result()


def _kll(raws: Sequence[bytes], values: Sequence[Any] = ()) -> Any:
    from datasketches import kll_doubles_sketch  # here: only where a feature names a sketch

    sketch = kll_doubles_sketch(KLL_K)
    for raw in raws:
        sketch.merge(kll_doubles_sketch.deserialize(raw))
    for value in values:
        sketch.update(float(value))
    return sketch


def _kll_state(values: Sequence[Any]) -> list[Any]:
    known = [value for value in values if value == value]
    return [len(values) - len(known), _kll([], known).serialize()]


_MAKE: dict[str, Callable[[Any], Any]] = {
    "rows": len,
    "count": len,
    "sum": _sum,
    "moments": _moments,
    "min": _extreme(min),
    "max": _extreme(max),
    "first": lambda rows: list(min(rows, key=_order)),
    "last": lambda rows: list(max(rows, key=_order)),
    "distinct": _distinct,
    "hll": lambda values: _hll([], values).serialize_compact(),
    "kll": _kll_state,
}
_COMBINE: dict[str, Callable[[Any], Any]] = {
    **_MAKE,  # of first, last, min and max: what is taken of values is taken of states too
    "rows": sum,
    "count": sum,
    "sum": _sums,
    "moments": _all_moments,
    "distinct": lambda states: _distinct(value for state in states for value in state),
    "hll": lambda states: _hll(states).serialize_compact(),
    "kll": lambda states: [sum(nans for nans, _ in states), _kll([raw for _, raw in states]).serialize()],
}
