"""Naive: the meaning of every aggregation, in plain Python, for tests and for `falaj features verify`.

Nothing here is fast, and nothing here is shared with the engines that it is held against.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from falaj.definitions.service_spec import FeatureSpec, ViewSpec


class Event(NamedTuple):
    """One row of a source, or one version of it.

    Attributes:
        ts_us: When it happened, in microseconds; 0 in a timeless source.
        created_us: When it became known; None when that is not.
        seq: Its `ingest_seq`.
        values: Its columns.
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


def feature_value(view: ViewSpec, feature: FeatureSpec, events: Sequence[Event], at_us: int) -> Any:
    """Return one feature of one entity at T.

    Args:
        view: The view.
        feature: One of its features.
        events: The entity's events, one version each, in total order.
        at_us: T, in microseconds.

    Returns:
        The value; None for null.
    """
    if feature.function in ("column", "last"):
        return _latest(view, feature, events, at_us)
    assert feature.window_us is not None
    inside = [e for e in events if at_us - feature.window_us <= e.ts_us < at_us]
    if feature.column is None:
        return len(inside)
    values = [v for e in inside if (v := e.values[feature.column]) is not None]
    if feature.function == "count":
        return len(values)
    return aggregate(feature.function, values)


def _latest(view: ViewSpec, feature: FeatureSpec, events: Sequence[Event], at_us: int) -> Any:
    assert feature.column is not None
    visible = [e for e in events if view.timeless or e.ts_us <= at_us]
    if feature.function == "last":
        visible = [e for e in visible if e.ts_us < at_us]
    age_us = view.ttl_us if feature.window_us is None else feature.window_us
    if age_us is not None and not view.timeless:
        visible = [e for e in visible if e.ts_us >= at_us - age_us]
    return visible[-1].values[feature.column] if visible else None


def aggregate(function: str, values: Sequence[Any]) -> Any:
    """Return sum, mean, min, max or std of values that are not null; None where it is not defined.

    Example:
        >>> aggregate("mean", [1.0, 2.0]), aggregate("std", [1.0]), aggregate("min", [1.0, math.nan])
        (1.5, None, nan)
    """
    if not values or (function == "std" and len(values) < 2):
        return None
    if function == "sum":
        return _sum(values)
    if function == "mean":
        total = math.fsum(values) if _finite(values) else sum(values)
        return total / len(values)
    if any(v != v for v in values):
        return math.nan
    if function == "min":
        return min(values)
    if function == "max":
        return max(values)
    return float(statistics.stdev(values)) if _finite(values) else math.nan


def _sum(values: Sequence[Any]) -> Any:
    if isinstance(values[0], int):  # booleans too
        total = sum(values)
        return total if -(1 << 63) <= total < 1 << 63 else None
    return math.fsum(values) if _finite(values) else sum(values)


def _finite(values: Sequence[Any]) -> bool:
    return all(math.isfinite(v) for v in values)
