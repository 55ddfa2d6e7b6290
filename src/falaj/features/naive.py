"""Naive: the meaning of every aggregation, in plain Python, for tests and for `falaj features verify`.

Nothing here is fast, and nothing here is shared with the engines that it is held against.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from falaj.definitions.service_spec import FeatureSpec, ViewSpec

ALWAYS = -(1 << 63), (1 << 63) - 1
"""All of time, in microseconds."""


class Event(NamedTuple):
    """One row of a source, or one version of it.

    Attributes:
        ts_us: When it happened, in microseconds; 0 in a timeless source.
        created_us: When it became known; None when that is not.
        seq: Its `ingest_seq`.
        values: Its columns, derived ones among them.
        id: Its identity; None never de-duplicates.
    """

    ts_us: int
    created_us: int | None
    seq: int
    values: dict[str, Any]
    id: Any = None


def total_order(event: Event) -> tuple[int, float, int]:
    """Return what events are ordered by: event time, created (null lowest), ingest_seq."""
    return event.ts_us, -math.inf if event.created_us is None else event.created_us, event.seq


def winners(versions: Iterable[Event]) -> list[Event]:
    """Return the version that counts of every event, in total order.

    Of one id the version with the greatest `created` counts; among equals the first that arrived.

    Example:
        >>> first, again = Event(5, 1, 1, {"x": 1}, "a"), Event(5, 1, 2, {"x": 2}, "a")
        >>> [e.seq for e in winners([first, again])], [e.seq for e in winners([first, again._replace(created_us=2)])]
        ([1], [2])
    """
    best: dict[Any, Event] = {}
    for event in sorted(versions, key=lambda e: e.seq):
        identity = ("seq", event.seq) if event.id is None else ("id", event.id)
        known = best.get(identity)
        if known is None or total_order(event)[1] > total_order(known)[1]:
            best[identity] = event
    return sorted(best.values(), key=total_order)


def known(versions: Iterable[Event], at_us: int) -> list[Event]:
    """Return the events as they were known at an instant, in total order.

    What has no `created` is never known. Of one id the version counts that was known last, and among equals the first
    that arrived. A view's delay comes off the instant before.

    Example:
        >>> first, again = Event(5, 1, 1, {}, "a"), Event(5, 9, 2, {}, "a")
        >>> [[e.seq for e in known([first, again], at)] for at in (0, 1, 8, 9)]
        [[], [1], [1], [2]]
    """
    return winners(v for v in versions if v.created_us is not None and v.created_us <= at_us)


def feature_value(view: ViewSpec, feature: FeatureSpec, events: Sequence[Event], at_us: int) -> Any:
    """Return one feature of one entity at T.

    Args:
        view: The view.
        feature: One of its features.
        events: The entity's events, one version each, in total order; their values hold derived columns too.
        at_us: T, in microseconds.

    Returns:
        The value; None for null.
    """
    rows = visible(view, feature, events, at_us)
    function, column = feature.function, feature.column
    if feature.rows is not None:
        rows = [e for e in rows if e.values[feature.rows] is not None]
    if column is None:
        return len(rows)
    values = [e.values[column] for e in rows]
    if function in ("column", "last"):
        return values[-1] if values else None
    if function == "first":
        return values[0] if values else None
    if function == "last_n":
        return values[-(feature.n or 0) :] if values else None
    known = [value for value in values if value is not None]
    if function == "last_non_null":
        return known[-1] if known else None
    if function == "count":
        return len(known)
    return aggregate(function, known, feature.q)


def visible(view: ViewSpec, feature: FeatureSpec, events: Sequence[Event], at_us: int) -> list[Event]:
    """Return the events of the feature's window, or those whose age its view's ttl admits, in total order."""
    if view.timeless:
        return list(events)
    at_us -= view.delay_us
    if feature.window_us is not None:
        start_us = feature.start_us(at_us)
    else:
        start_us = -(1 << 63) if view.ttl_us is None else at_us - view.ttl_us
    end_us = at_us + (feature.function == "column")  # a plain column is that of the latest row not after T
    return [e for e in events if start_us <= e.ts_us < end_us]


def reach(view: ViewSpec, at_us: int) -> tuple[int, int]:
    """Return from when on, and before when, events can be visible to any of a view's features at T."""
    if view.timeless:
        return ALWAYS
    at_us -= view.delay_us
    oldest_us = ALWAYS[0] if view.ttl_us is None else at_us - view.ttl_us
    starts = (oldest_us if feature.window_us is None else feature.start_us(at_us) for feature in view.features)
    return min(starts, default=oldest_us), at_us + 1


def aggregate(function: str, values: Sequence[Any], q: float | None = None) -> Any:
    """Return an aggregate of values that are not null; None where it is not defined.

    Example:
        >>> aggregate("mean", [1.0, 2.0]), aggregate("std", [1.0]), aggregate("min", [1.0, math.nan])
        (1.5, None, nan)
        >>> aggregate("quantile", [4, 1, 2], 0.75), aggregate("count_distinct", [1, 1, 2])
        (3.0, 2)
        >>> aggregate("sum", [1e308, 1e308]), aggregate("sum", [1e308, 1e308, -1e308])
        (inf, 1e+308)
    """
    if function == "count_distinct":
        return len({"NaN" if v != v else v for v in values})
    if not values or (function in ("std", "var") and len(values) < 2):
        return None
    if function == "sum":
        return _sum(values)
    if function == "mean":
        return _total(values) / len(values)
    if any(v != v for v in values):
        return math.nan
    if function == "quantile":
        assert q is not None
        return _quantile(sorted(map(float, values)), q)
    if function in ("min", "max"):
        return min(values) if function == "min" else max(values)
    if not _finite(values):
        return math.nan
    return float(statistics.stdev(values) if function == "std" else _variance(values))


def _variance(values: Sequence[Any]) -> float:
    try:
        return float(statistics.variance(map(Fraction, values)))
    except OverflowError:
        return math.inf


def _quantile(values: Sequence[float], q: float) -> float:
    place = q * (len(values) - 1)
    low, high = values[math.floor(place)], values[math.ceil(place)]
    share = place - math.floor(place)
    if low == high:
        return low
    return low * (1 - share) + high * share if math.isinf(low) or math.isinf(high) else low + (high - low) * share


def _sum(values: Sequence[Any]) -> Any:
    if isinstance(values[0], int):  # booleans too
        total = sum(values)
        return total if -(1 << 63) <= total < 1 << 63 else None
    return _total(values)


def _total(values: Sequence[Any]) -> Any:
    if not _finite(values):
        return sum(values)
    try:
        return math.fsum(values)
    except OverflowError:  # it gives up on the way, though what follows may bring the sum back
        exact = sum(map(Fraction, values))
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _finite(values: Sequence[Any]) -> bool:
    return all(math.isfinite(v) for v in values)
