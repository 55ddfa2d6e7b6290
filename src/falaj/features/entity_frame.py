"""Entity frame: the rows that features are asked for, brought to the service's types or refused with the fix."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from falaj.data.content import plain_column
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.arrow_types import ARROW_TYPES
from falaj.kernel.errors import InputError
from falaj.kernel.names import did_you_mean

TIME_COLUMN = "event_timestamp"
_INSTANT = pa.timestamp("us", "UTC")
_AWARE = (
    f"say which zone they are in: pandas df[{TIME_COLUMN!r}].dt.tz_localize('UTC'), Polars "
    f"pl.col({TIME_COLUMN!r}).dt.replace_time_zone('UTC'), SQL {TIME_COLUMN} AT TIME ZONE 'UTC'"
)
_FIXES = {
    "int64": "pandas astype('Int64'), Polars cast(pl.Int64), SQL CAST(... AS BIGINT)",
    "string": "pandas astype(str), Polars cast(pl.String), SQL CAST(... AS VARCHAR)",
    "float64": "pandas astype('float64'), Polars cast(pl.Float64), SQL CAST(... AS DOUBLE)",
    "bool": "pandas astype('boolean'), Polars cast(pl.Boolean), SQL CAST(... AS BOOLEAN)",
    "timestamp": "give aware timestamps",
}


@dataclass(frozen=True)
class EntityFrame:
    """What a service needs of a frame.

    Attributes:
        spec: The service.

    Example:
        >>> from falaj.definitions.service_spec import RequestSpec, ServiceSpec
        >>> spec = ServiceSpec("s", "", (), (), (RequestSpec("amount", "float64"),), (("amount", "float64"),))
        >>> EntityFrame(spec).fit(pa.table({"amount": pa.array([1], pa.int32())}))["amount"].type
        DataType(double)
    """

    spec: ServiceSpec

    def fit(self, frame: pa.Table, first_row: int = 0) -> pa.Table:
        """Return the frame in the service's types; nothing is rounded, and no row is added, lost or moved.

        Keys are widened to 64 bits, never read from floats or from the text of numbers: `1.0` and "01" are no keys.
        Instants finer than a microsecond are cut to the one before, as when events are ingested.

        Args:
            frame: Entity keys, `event_timestamp` where a view has time, request fields, and anything else.
            first_row: The number of its first row, for messages.

        Raises:
            InputError: A column is missing, there twice, of another type, or called like a feature; a time is naive
                or null.
            Unsupported: A column that is carried along has a type that no dataset keeps.
        """
        self._check_names(frame.column_names)
        needed = dict(self._needed(frame, first_row))
        columns = {}
        for name, column in zip(frame.column_names, frame.columns, strict=True):
            columns[name] = needed.get(name)
            if columns[name] is None:
                columns[name] = column.cast(pa.string()) if pa.types.is_null(column.type) else _plain(name, column)
        return pa.table(columns)

    def _check_names(self, names: list[str]) -> None:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"the frame has two columns {twice[0]!r}", hint="rename one")
        request = {field.name for field in self.spec.request}
        for name, _ in self.spec.outputs:
            if name in names and name not in request:
                raise InputError(f"the frame has a column {name!r}, as a feature is called", hint="rename it")

    def _needed(self, frame: pa.Table, first_row: int) -> Iterator[tuple[str, Any]]:
        if any(not view.timeless for view in self.spec.views):
            yield TIME_COLUMN, _instants(_column(frame, TIME_COLUMN), first_row)
        for name, dtype in self.spec.entity_keys:
            yield name, _fitted(name, _column(frame, name), dtype, _KEYS[dtype])
        for field in self.spec.request:
            yield field.name, _fitted(field.name, _column(frame, field.name), field.dtype, _FIELDS[field.dtype])


def _column(frame: pa.Table, name: str) -> Any:
    if name not in frame.column_names:
        raise InputError(
            f"the frame has no column {name!r}, which the features need", hint=did_you_mean(name, frame.column_names)
        )
    return frame[name]


def _plain(name: str, column: Any) -> Any:
    return column if pa.types.is_null(column.type) else plain_column(name, column)


def _instants(column: Any, first_row: int) -> Any:
    kind = column.type
    if not (pa.types.is_timestamp(kind) and kind.tz is not None) and not pa.types.is_null(kind):
        what = "a time without a zone" if pa.types.is_timestamp(kind) else f"{kind}"
        hint = _AWARE if pa.types.is_timestamp(kind) else "give aware timestamps"
        raise InputError(f"column {TIME_COLUMN!r} of the frame is {what}", hint=hint)
    if column.null_count:
        row = first_row + column.is_null().index(pa.scalar(value=True)).as_py()
        raise InputError(f"row {row} of the frame has no {TIME_COLUMN}", hint="remove the row, or fill it in")
    try:
        return _microseconds(column)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"column {TIME_COLUMN!r} of the frame: {error}", hint="times reach to the year 292277"
        ) from None


def _microseconds(column: Any) -> Any:
    if not pa.types.is_timestamp(column.type) or column.type.unit != "ns":
        return column.cast(_INSTANT)
    numbers = column.cast(pa.int64())
    cut = pc.divide(numbers, 1000)  # towards zero: 1 ns before 1970 would become 1970
    cut = pc.if_else(pc.less(pc.subtract(numbers, pc.multiply(cut, 1000)), 0), pc.subtract(cut, 1), cut)
    return cut.cast(_INSTANT)


def _fitted(name: str, column: Any, dtype: str, accepted: Callable[[pa.DataType], bool]) -> Any:
    column = _plain(name, column)
    if accepted(column.type) or pa.types.is_null(column.type):
        try:
            return _microseconds(column) if dtype == "timestamp" else column.cast(ARROW_TYPES[dtype])
        except pa.ArrowInvalid as error:
            raise InputError(
                f"column {name!r} of the frame holds what is no {dtype}: {error}", hint=f"convert it: {_FIXES[dtype]}"
            ) from None
    raise InputError(
        f"column {name!r} of the frame is {column.type}, and its type is {dtype}", hint=_fix(column.type, dtype)
    )


def _fix(kind: pa.DataType, dtype: str) -> str:
    if dtype == "timestamp" and pa.types.is_timestamp(kind):
        return _AWARE.replace(TIME_COLUMN, "...")
    fix = f"convert it: {_FIXES[dtype]}"
    if dtype == "int64" and pa.types.is_floating(kind):
        fix += "; pandas makes whole numbers with gaps floats"
    return fix


def _is_aware(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.tz is not None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


_KEYS: dict[str, Callable[[pa.DataType], bool]] = {"int64": pa.types.is_integer, "string": pa.types.is_string}
_FIELDS: dict[str, Callable[[pa.DataType], bool]] = _KEYS | {
    "int64": _is_number,  # whole numbers with gaps, as pandas holds them; a fraction is refused
    "float64": _is_number,
    "bool": pa.types.is_boolean,
    "timestamp": _is_aware,
}
