"""KnownRows: features of one row as they were known at each instant, of a view without an entity.

A join would look at every earlier row for every question, because such a feature may be of any age. Instead questions
are taken in the order of time: rows come in when they are known, and those of which another version is known go.
"""

from heapq import heappop, heappush
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features.point_in_time import ONE_ROW

Int64s = NDArray[np.int64]
_EVER = np.iinfo(np.int64)


def known_rows(view: ViewSpec, events: pa.Table, times: Int64s) -> dict[str, Any]:
    """Return every feature that is one row's value; others are left out.

    Args:
        view: A view without an entity.
        events: `_ts`, `_created`, `_until` and `c0`, `c1`, ..., one row per version, in the total order.
        times: Per question its instant in microseconds, less the view's delay.

    Returns:
        The features by name, each as long as `times`.
    """
    places = {name: f"c{i}" for i, (name, _) in enumerate(view.columns)}
    found: dict[tuple[Any, ...], Int64s] = {}
    columns = {}
    for feature in view.features:
        if feature.function not in ONE_ROW:
            continue
        earliest = feature.function == "first"
        starts = _starts(view, feature, times)
        chosen = feature.column if feature.function == "last_non_null" else feature.rows
        group = (earliest, feature.function == "column", chosen, *((feature.window_us, feature.hop_us) * earliest))
        if group not in found:
            visible = _Visible(view, events, upto=feature.function == "column")
            given = None if chosen is None else events[places[chosen]].is_valid().to_numpy()
            found[group] = visible.earliest(times, starts, given) if earliest else visible.latest(times, given)
        place = found[group]
        there = place >= 0
        if events.num_rows:
            there &= events["_ts"].to_numpy()[np.maximum(place, 0)] >= starts
        columns[feature.name] = events[places[feature.column or ""]].take(pa.array(place, mask=~there))
    return columns


class _Visible:
    """When each row is seen: from when it happened and was known, until another version of it was."""

    def __init__(self, view: ViewSpec, events: pa.Table, *, upto: bool) -> None:
        self._ts = events["_ts"].to_numpy()
        created = events["_created"].to_numpy()
        self._appears = created if view.timeless else np.maximum(created, self._ts + (0 if upto else 1))
        self._until = pc.fill_null(events["_until"].cast(pa.int64()), _EVER.max).to_numpy()

    def latest(self, times: Int64s, given: NDArray[np.bool_] | None) -> Int64s:
        """Return per question the greatest row that it sees; -1 for none."""
        return self._sweep(times, np.full(len(times), _EVER.min), given, sign=-1)

    def earliest(self, times: Int64s, starts: Int64s, given: NDArray[np.bool_] | None) -> Int64s:
        """Return per question the least row that it sees and that is not before the question's start; -1 for none."""
        return self._sweep(times, starts, given, sign=1)

    def _sweep(self, times: Int64s, starts: Int64s, given: NDArray[np.bool_] | None, *, sign: int) -> Int64s:
        order = np.argsort(self._appears, kind="stable")
        coming = (order if given is None else order[given[order]]).tolist()
        appears, until, ts = self._appears.tolist(), self._until.tolist(), self._ts.tolist()
        place = np.full(len(times), -1, np.int64)
        heap: list[int] = []
        taken = 0
        for question in np.argsort(times, kind="stable").tolist():
            at, start = int(times[question]), int(starts[question])
            while taken < len(coming) and appears[coming[taken]] <= at:
                heappush(heap, sign * coming[taken])
                taken += 1
            # What is over for one question is over for all later ones: starts never go back.
            while heap and (until[sign * heap[0]] <= at or ts[sign * heap[0]] < start):
                heappop(heap)
            if heap:
                place[question] = sign * heap[0]
        return place


def _starts(view: ViewSpec, feature: FeatureSpec, times: Int64s) -> Int64s:
    """Return from when on a row may be taken, per question."""
    if view.timeless or (feature.window_us is None and view.ttl_us is None):
        return np.full(len(times), _EVER.min)
    if feature.window_us is None:
        return times - (view.ttl_us or 0)
    starts = times - feature.window_us
    return starts if feature.hop_us is None else starts // feature.hop_us * feature.hop_us
