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
from falaj.features.on_demand import OnDemand, plain_values
from falaj.kernel.errors import InputError
from falaj.kernel.names import did_you_mean

TIME_COLUMN = "event_timestamp"


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
    frame = _checked(spec, frame)
    engine = DuckDbEngine() if engine is None else engine
    engine.check(spec.views)
    stored = engine.answer(spec.views, _questions(spec, frame), tables, known_time=known_time)
    computed = _on_demand_features(spec, frame, stored)
    for name, dtype in spec.outputs:
        if name not in frame.column_names:
            column = stored[name] if name in stored else computed[name]
            frame = frame.append_column(pa.field(name, ARROW_TYPES[dtype]), column)
    return frame


def _checked(spec: ServiceSpec, frame: pa.Table) -> pa.Table:
    request = {field.name for field in spec.request}
    for name, _ in spec.outputs:
        if name in frame.column_names and name not in request:
            raise InputError(f"the training frame has a column {name!r}, as a feature is called", hint="rename it")
    if any(not view.timeless for view in spec.views):
        frame = _set(frame, TIME_COLUMN, _instants(frame))
    for column, dtype in [*spec.entity_keys, *((field.name, field.dtype) for field in spec.request)]:
        frame = _set(frame, column, _cast(frame, column, dtype))
    return frame


def _instants(frame: pa.Table) -> Any:
    column = _column(frame, TIME_COLUMN)
    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        raise InputError(
            f"column {TIME_COLUMN!r} of the training frame is {column.type}", hint="give aware UTC timestamps"
        )
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise InputError(f"row {row} of the training frame has no {TIME_COLUMN}", hint="remove the row, or fill it in")
    return column.cast(pa.timestamp("us", "UTC"), safe=False)


def _column(frame: pa.Table, name: str) -> Any:
    if name not in frame.column_names:
        raise InputError(
            f"the training frame has no column {name!r}, which the features need",
            hint=did_you_mean(name, frame.column_names),
        )
    return frame[name]


def _cast(frame: pa.Table, name: str, dtype: str) -> Any:
    column = _column(frame, name)
    wanted = ARROW_TYPES[dtype]
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if text == (dtype == "string") or pa.types.is_null(column.type) or pa.types.is_dictionary(column.type):
        try:
            return column.cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    raise InputError(
        f"column {name!r} of the training frame is {column.type}, and its type is {dtype}",
        hint=f"convert it to {wanted}",
    )


def _set(frame: pa.Table, name: str, column: Any) -> pa.Table:
    return frame.set_column(frame.column_names.index(name), name, column)


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
