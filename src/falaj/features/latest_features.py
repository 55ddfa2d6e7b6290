"""LatestFeatures: plain columns and lasts of a view, by sorting and searching instead of a join by time."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features.latest_join import key_codes, latest_rows

Int64s = NDArray[np.int64]
_LEAST = -(1 << 63)


def latest_features(view: ViewSpec, events: pa.Table, asked: pa.Table) -> dict[str, Any]:
    """Return every feature that is a source column's value in the latest row; others are left out.

    Args:
        view: The view.
        events: `_ts`, `_known`, `_seq`, the keys and the source's columns; one row per event, in any order.
        asked: `_question`, `_t`, `_k0`, ...

    Returns:
        The features by name, each as long as what is asked.
    """
    derived = {column.name for column in view.derived}
    features = [f for f in view.features if f.function in ("column", "last") and f.column not in derived]
    if not features:
        return {}
    codes = key_codes([asked[f"_k{i}"] for i in range(len(view.keys))], [events[name] for name, _ in view.keys])
    if not view.keys:
        codes = np.zeros(asked.num_rows, np.int64), np.zeros(events.num_rows, np.int64)
    times, ts = asked["_t"].to_numpy(), events["_ts"].to_numpy()
    if view.timeless:
        times, ts = np.zeros_like(times), np.zeros_like(ts)
    order = (events["_known"].fill_null(_LEAST).to_numpy(), events["_seq"].to_numpy())
    columns: dict[str, Any] = {}
    for function in ("column", "last"):
        chosen = [f for f in features if f.function == function]
        if not chosen:
            continue
        place = latest_rows((codes[0], times), (codes[1], ts), order, before=function == "last")
        for feature in chosen:
            there = place >= 0
            if len(ts) and not view.timeless:
                there &= ts[np.maximum(place, 0)] >= _starts(view, feature, times)
            columns[feature.name] = events[feature.column].combine_chunks().take(pa.array(place, mask=~there))
    return columns


def _starts(view: ViewSpec, feature: FeatureSpec, times: Int64s) -> Int64s | int:
    """Return from when on a row may be taken, per question."""
    if feature.window_us is None:
        return _LEAST if view.ttl_us is None else times - view.ttl_us
    starts = times - feature.window_us
    return starts if feature.hop_us is None else starts // feature.hop_us * feature.hop_us
