"""What a table may hold and how rows are fitted to it, the same for every backend."""

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

from falaj.kernel.errors import DataError, InputError, NotFound
from falaj.kernel.names import did_you_mean

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


def check_table_name(name: str) -> str:
    """Return the name if a table may bear it.

    Raises:
        InputError: It could name something outside the store.

    Example:
        >>> check_table_name("source/transactions")
        'source/transactions'
    """
    if not _NAME.fullmatch(name) or "_delta_log" in name.split("/"):
        raise InputError(
            f"table name {name!r} cannot be used", hint="use letters, digits, '_', '-' and '.', joined by slashes"
        )
    return name


def fit_schema(table: str, present: pa.Schema | None, incoming: pa.Schema) -> pa.Schema:
    """Return the table's schema after rows of the incoming one: its own columns, then the new ones.

    Raises:
        DataError: A column's type does not fit the table's, or no table can hold it.
    """
    fields = {} if present is None else {field.name: field for field in present}
    seen: set[str] = set()
    for field in incoming:
        if field.name in seen:
            raise DataError(f"table {table!r}: column {field.name!r} is there twice", hint="rename one of them")
        seen.add(field.name)
        known = fields.get(field.name)
        if known is None:
            fields[field.name] = pa.field(field.name, _kept_type(table, field.name, field.type))
        elif not _fits(field.type, known.type):
            raise DataError(
                f"table {table!r}: column {field.name!r} is {known.type} and the new rows have {field.type}",
                hint="convert the column, or use another name for it",
            )
    if not fields:
        raise DataError(f"table {table!r}: the rows have no columns")
    return pa.schema(list(fields.values()))


def fit_batches(
    table: str, data: pa.Table | pa.RecordBatchReader, schema: pa.Schema, *, absent_as_null: bool = False
) -> Iterator[pa.RecordBatch]:
    """Give the rows in batches with the types of the schema.

    Raises:
        DataError: A value would be changed by its column's type.
    """
    batches = data.to_batches() if isinstance(data, pa.Table) else data
    for batch in batches:
        fields, arrays = [], []
        for field in schema:
            index = batch.schema.get_field_index(field.name)
            if index >= 0:
                arrays.append(_fitted(table, field, batch.column(index)))
                fields.append(field)
            elif absent_as_null:
                arrays.append(pa.nulls(batch.num_rows, field.type))
                fields.append(field)
        yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def absent(name: str, known: Sequence[str]) -> NotFound:
    """Return the error for a table that does not exist."""
    return NotFound(f"table {name!r} does not exist", hint=did_you_mean(name, known))


def check_columns(name: str, columns: Sequence[str], schema: pa.Schema) -> list[str]:
    """Return the columns if the table has them all.

    Raises:
        NotFound: It does not have one of them.
    """
    for column in columns:
        if column not in schema.names:
            raise NotFound(f"table {name!r} has no column {column!r}", hint=did_you_mean(column, schema.names))
    return list(columns)


def _fitted(table: str, field: pa.Field, column: pa.Array) -> pa.Array:
    if column.type == field.type:
        return column
    try:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"table {table!r}: column {field.name!r} cannot be kept as {field.type}: {error}",
            hint="convert the column so that no value is lost",
        ) from None


def _kept_type(table: str, column: str, kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _kept_type(table, column, kind.value_type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field("element", _kept_type(table, column, kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(part.name, _kept_type(table, column, part.type)) for part in kind])
    if pa.types.is_map(kind):
        return pa.map_(_kept_type(table, column, kind.key_type), _kept_type(table, column, kind.item_type))
    kept = _WIDER.get(kind, kind)
    plain = pa.types.is_integer(kept) or pa.types.is_floating(kept) or pa.types.is_decimal128(kept)
    if plain or kept in {pa.bool_(), pa.string(), pa.binary(), pa.date32()} or pa.types.is_fixed_size_binary(kept):
        return pa.binary() if pa.types.is_fixed_size_binary(kept) else kept
    raise DataError(
        f"table {table!r}: column {column!r} has type {kind}, which no table can hold",
        hint="give it a number, text, binary, boolean, date, UTC timestamp, list or struct type",
    )


def _fits(incoming: pa.DataType, known: pa.DataType) -> bool:
    if incoming == known or pa.types.is_null(incoming):
        return True
    if pa.types.is_dictionary(incoming):
        return _fits(incoming.value_type, known)
    return any(kind(incoming) and kind(known) for kind in _KINDS)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return kind in {pa.string(), pa.large_string(), pa.string_view()}


def _is_bytes(kind: pa.DataType) -> bool:
    return kind in {pa.binary(), pa.large_binary(), pa.binary_view()} or bool(pa.types.is_fixed_size_binary(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_instant(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.tz is not None)


def _is_local_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.tz is None)


_KINDS = (
    _is_number, _is_text, _is_bytes, _is_list, _is_instant, _is_local_time,
    pa.types.is_date, pa.types.is_struct, pa.types.is_map,
)  # fmt: skip
