"""Offline: training frames, joined point in time by an engine; exactly one row out for each row in, in order."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from falaj.definitions.service_spec import ServiceSpec
from falaj.features.arrow_types import ARROW_TYPES
from falaj.features.engines.duckdb import DuckDbEngine
from falaj.features.engines.port import Engine, Questions
from falaj.features.entity_frame import TIME_COLUMN, EntityFrame
from falaj.features.on_demand import OnDemand, plain_values


def training_frame(
    spec: ServiceSpec,
    frame: pa.Table,
    tables: Mapping[str, Any],
    *,
    engine: Engine | None = None,
    known_time: bool = False,
) -> pa.Table:
    """Return the frame with the service's features beside it, each as it was known at the row's instant.

    Args:
        spec: The service.
        frame: Entity keys, `event_timestamp` (aware; not needed when every view is timeless), the request fields, and
            anything else, which is carried along. Duplicate rows stay.
        tables: Per source its rows, as an Arrow table or dataset with `_event_ts`, `_created` and `_ingest_seq`.
        engine: Computes the stored features; DuckDB by default.
        known_time: Take only what was known at a row's instant: of every event the version with the greatest
            `created` not after it (less a view's delay). What has no `created` never counts.

    Returns:
        The frame's columns in their order, request fields cast to their types, then stored and on-demand features in
        the service's order; as many rows as the frame, in its order.

    Raises:
        InputError: The frame lacks a column or has one of another type, its timestamps are naive or null, or it has a
            column named like a feature.
        DataError: A source's rows cannot be used, or an on-demand function failed.
        Unsupported: The engine cannot compute a feature; nothing was run.
    """
    frame = EntityFrame(spec).fit(frame)
    engine = DuckDbEngine() if engine is None else engine
    engine.check(spec.views)
    stored = engine.answer(spec.views, _questions(spec, frame), tables, known_time=known_time)
    computed = _on_demand_features(spec, frame, stored)
    for name, dtype in spec.outputs:
        if name not in frame.column_names:
            column = stored[name] if name in stored else computed[name]
            frame = frame.append_column(pa.field(name, ARROW_TYPES[dtype]), column)
    return frame


def _questions(spec: ServiceSpec, frame: pa.Table) -> Questions:
    times = pa.array(np.zeros(frame.num_rows, np.int64))
    if TIME_COLUMN in frame.column_names and any(not view.timeless for view in spec.views):
        times = frame[TIME_COLUMN].cast(pa.int64())
    return Questions(times, {name: frame[name] for name, _ in spec.entity_keys})


def _on_demand_features(spec: ServiceSpec, frame: pa.Table, stored: Mapping[str, Any]) -> dict[str, Any]:
    if not spec.on_demand:
        return {}
    request = {field.name: frame[field.name] for field in spec.request}
    columns = {**stored, **request}
    dtypes = dict(spec.outputs)
    arrays = {name: _numpy(column, dtypes[name]) for name, column in columns.items()}
    computed = OnDemand(spec).compute(arrays, frame.num_rows)
    return {
        view.name: pa.array(plain_values(view, computed[view.name]), ARROW_TYPES[view.dtype]) for view in spec.on_demand
    }


def _numpy(column: Any, dtype: str) -> NDArray[Any]:
    if dtype.startswith("list"):
        if dtype == "list[timestamp]":
            column = column.cast(pa.list_(pa.int64()))  # as online
        lists = np.empty(len(column), object)
        for place, value in enumerate(column.to_pylist()):
            lists[place] = value
        return lists
    if dtype == "string":
        strings: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return strings
    whole = column.cast(pa.int64()) if dtype == "timestamp" else column
    numbers: NDArray[Any] = whole.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if column.null_count:
        numbers = np.where(column.is_valid().to_numpy(zero_copy_only=False), numbers, np.nan)
    return numbers
