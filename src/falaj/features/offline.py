"""Offline: training frames, joined point in time by DuckDB; exactly one row out for each row in, in order."""

import math
from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from falaj.definitions.aggregation import COUNTS
from falaj.definitions.service_spec import ServiceSpec, ViewSpec
from falaj.features.arrow_types import ARROW_TYPES
from falaj.features.on_demand import OnDemand, plain_values
from falaj.features.point_in_time import (
    derived_sql,
    events_sql,
    extremes_sql,
    last_n_sql,
    one_row_sql,
    windowed_sql,
)
from falaj.kernel.errors import DataError, InputError
from falaj.kernel.names import did_you_mean

TIME_COLUMN = "event_timestamp"
_SAFE_SQUARE = 1e100
"""Above this, squares of deviations may overflow in the engine, and the column is scaled down first."""


def training_frame(spec: ServiceSpec, frame: pa.Table, tables: Mapping[str, Any]) -> pa.Table:
    """Return the frame with the service's features beside it, each as it was known at the row's instant.

    Args:
        spec: The service.
        frame: Entity keys, `event_timestamp` (aware; not needed when every view is timeless), the request fields, and
            anything else, which is carried along. Duplicate rows stay.
        tables: Per source its rows, as an Arrow table or dataset with `_event_ts`, `_created` and `_ingest_seq`.

    Returns:
        The frame's columns in their order, request fields cast to their types, then stored and on-demand features in
        the service's order; as many rows as the frame, in its order.

    Raises:
        InputError: The frame lacks a column or has one of another type, its timestamps are naive or null, or it has a
            column named like a feature.
        DataError: A source's rows cannot be used, or an on-demand function failed.
    """
    frame = _checked(spec, frame)
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as engine:
        stored = _stored_features(engine, spec, frame, tables)
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


def _stored_features(engine: Any, spec: ServiceSpec, frame: pa.Table, tables: Mapping[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    rows = frame.num_rows
    until_us = None
    times = pa.array(np.zeros(rows, np.int64))
    if TIME_COLUMN in frame.column_names and any(not view.timeless for view in spec.views):
        times = frame[TIME_COLUMN].cast(pa.int64())
        until_us = pc.max(times).as_py()
    loaded: dict[tuple[str, str | None], str] = {}
    for view in spec.views:
        place = (view.source, view.id_column)
        if place not in loaded:
            loaded[place] = f"events_{len(loaded)}"
            _load_events(engine, spec, view, tables, (loaded[place], None if view.timeless else until_us))
        keys = {f"k{i}": frame[name] for i, (name, _) in enumerate(view.keys)}
        at = pc.subtract(times, view.delay_us)
        engine.register("asked", pa.table({"row": np.arange(rows, dtype=np.int64), "t": at, **keys}))
        columns |= _view_features(engine, view, loaded[place], rows)
        engine.unregister("asked")
    return columns


def _load_events(
    engine: Any, spec: ServiceSpec, view: ViewSpec, tables: Mapping[str, Any], target: tuple[str, int | None]
) -> None:
    if view.source not in tables:
        raise DataError(f"the rows of source {view.source!r} were not given", hint="ingest the source first")
    relation, until_us = target
    wanted: dict[str, str] = {}
    for other in spec.views:
        if other.source == view.source:
            wanted |= dict(other.keys) | dict(other.inputs)
    engine.register("source_rows", tables[view.source])
    try:
        sql = events_sql("source_rows", wanted, view.id_column, until_us)
        engine.execute(f"CREATE TEMP TABLE {relation} AS {sql}").fetchall()
    except duckdb.Error as error:
        raise DataError(f"the rows of source {view.source!r} cannot be used: {error}") from error
    finally:
        engine.unregister("source_rows")


def _view_features(engine: Any, view: ViewSpec, events: str, rows: int) -> dict[str, Any]:
    events = derived_sql(view, events)
    floats = [name for name, dtype in view.columns if dtype == "float64"]
    nonfinite, huge = _extremes(engine, events, floats)
    windowed = windowed_sql(view, events, nonfinite, huge)
    statements = [*([] if windowed is None else [windowed]), *one_row_sql(view, events), *last_n_sql(view, events)]
    columns: dict[str, Any] = {}
    for statement in statements:
        answer = engine.sql(statement).to_arrow_table()
        place = np.full(rows, -1, np.int64)  # a null key matches nothing, and is not in the answer
        place[answer["row"].to_numpy()] = np.arange(answer.num_rows)
        taken = answer.drop_columns(["row"]).take(pa.array(place, mask=place < 0))
        columns |= {name: taken[name] for name in taken.column_names}
    named = {}
    for feature in view.features:
        column = columns[feature.name]
        if feature.function in COUNTS:
            column = column.fill_null(0)
        named[view.column_name(feature.name)] = column.cast(ARROW_TYPES[feature.dtype])
    return named


def _extremes(engine: Any, events: str, floats: list[str]) -> tuple[set[str], dict[str, float]]:
    """Return which float columns hold NaN or infinities, and which need scaling before they are squared."""
    if not floats:
        return set(), {}
    answer = engine.execute(extremes_sql(events, floats)).fetchall()[0]
    nonfinite, huge = set(), {}
    for i, name in enumerate(floats):
        if answer[2 * i]:
            nonfinite.add(name)
        if (answer[2 * i + 1] or 0.0) > _SAFE_SQUARE:
            huge[name] = math.ldexp(1.0, math.frexp(answer[2 * i + 1])[1])
    return nonfinite, huge


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
