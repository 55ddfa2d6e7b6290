"""Examples: the label source's rows that a model may learn from, each with its instant, keys and request fields."""

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from falaj.data.duckdb_rows import quoted
from falaj.definitions.model import Model
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.entity_frame import TIME_COLUMN
from falaj.kernel.errors import DataError
from falaj.kernel.names import did_you_mean
from falaj.storage.tables.port import TableStore

LABEL = "label"


def examples(
    model: Model,
    spec: ServiceSpec,
    tables: TableStore,
    *,
    version: int | None = None,
    beside: Sequence[str] = (),
) -> pa.Table:
    """Return one row per known, mature label, in order of time.

    A label is mature when its event is older than the label's delay, seen from the source's latest event: younger
    events whose label is already known would make late labels look rarer than they are. What a correction replaced
    counts for neither.

    Args:
        model: The definition.
        spec: Its compiled features: whose keys and request fields are needed.
        tables: The tables.
        version: The label source's table version; the present one by default.
        beside: Further columns of the source, to carry along.

    Returns:
        Table of `event_timestamp`, entity keys, request fields, the source's id column if it has one, those beside,
        and `label` (int64 of 0 and 1, of a regression float64).

    Raises:
        DataError: There is no row with a known label, a label is not of the model's task, or the source has no such
            column.
    """
    source = model.label.source
    rows = tables.read(f"source/{source.name}", version=version)
    named = [key for key, _ in spec.entity_keys] + [field.name for field in spec.request]
    if source.id is not None:
        named.append(source.id)
    for column in beside:
        if column not in rows.schema.names:
            raise DataError(
                f"model {model.name!r} slices its rows by {column!r}, and source {source.name!r} has no such column",
                hint=did_you_mean(column, rows.schema.names),
            )
    columns = [c for c in dict.fromkeys([*named, *beside]) if c != LABEL]
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as engine:
        engine.register("rows", rows)
        found: pa.Table = engine.sql(_query(model, columns)).to_arrow_table()
    instants = found.column(TIME_COLUMN).cast(pa.timestamp("us", "UTC"))
    found = found.set_column(found.schema.get_field_index(TIME_COLUMN), TIME_COLUMN, instants)
    labels = _checked_labels(model, found)
    return found.set_column(found.schema.get_field_index(LABEL), LABEL, labels)


def _query(model: Model, columns: list[str]) -> str:
    source, label = model.label.source, model.label
    shown = "".join(f"{quoted(c)}, " for c in columns)
    winners = "SELECT * FROM rows"
    if source.id is not None:
        # The same id counts once: the latest `created` wins, and among equals the first that came. A row without an id
        # is like no other.
        order = "epoch_us(_created) DESC NULLS LAST, _ingest_seq"
        identity = quoted(source.id)
        rank = f"row_number() OVER (PARTITION BY {identity} ORDER BY {order})"
        winners += f" QUALIFY {identity} IS NULL OR {rank} = 1"
    newest = "SELECT epoch_us(max(_event_ts)) FROM winners"
    return (
        f"WITH winners AS ({winners}) "  # noqa: S608 - names are quoted
        f"SELECT _event_ts AS {TIME_COLUMN}, {shown}{quoted(label.column)} AS {LABEL} FROM winners "
        f"WHERE {quoted(label.column)} IS NOT NULL AND epoch_us(_event_ts) <= ({newest}) - {label.delay_us} "
        "ORDER BY _event_ts, _ingest_seq"
    )


def _checked_labels(model: Model, found: pa.Table) -> pa.ChunkedArray:
    where = f"model {model.name!r}: label column {model.label.column!r} of source {model.label.source.name!r}"
    if found.num_rows == 0:
        raise DataError(
            f"{where} holds no label older than its delay of {model.label.delay}",
            hint="ingest more history, or shorten the delay if labels really arrive sooner",
        )
    if model.task == "regression":
        return _numbers(found.column(LABEL), where)
    odd: list[Any] = [value for value in found.column(LABEL).unique().to_pylist() if value not in (0, 1)]
    if odd:
        raise DataError(f"{where} holds {odd[0]!r}, and a label is 0 or 1", hint="correct the file or the column")
    return found.column(LABEL).cast(pa.int64())


def _numbers(labels: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    kind = labels.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"{where} holds {kind}, and a regression's label is a number", hint="choose another column")
    numbers = labels.cast(pa.int8() if pa.types.is_boolean(kind) else kind).cast(pa.float64(), safe=False)
    if not pc.all(pc.is_finite(numbers)).as_py():
        raise DataError(f"{where} holds what is not a finite number", hint="correct the file, or leave the value out")
    return numbers
