"""Content digest: one number for the rows of a table, whatever chunks, encodings and hidden bytes hold them."""

import hashlib
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from falaj.kernel.codec import canonical_json
from falaj.kernel.errors import Unsupported

_FLOAT_DIGITS = 15


def plain_table(table: pa.Table) -> pa.Table:
    """Return the table in the types that a dataset keeps: no dictionaries, no large offsets, no notes of other tools.

    Raises:
        Unsupported: A column is nested more than once, or of a type that has no canonical bytes.
    """
    return pa.table({name: plain_column(name, column) for name, column in _columns(table)})


def plain_column(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in the type in which a dataset keeps it; see `plain_type`.

    Raises:
        Unsupported: No dataset keeps its type, or it holds decimals of more digits than a float64 has.
    """
    kind = plain_type(name, column.type)
    if pa.types.is_decimal(column.type):
        return _floats(name, column)
    if pa.types.is_dictionary(column.type) and not pa.types.is_large_string(column.type.value_type):
        # Arrow has no cast from dictionaries of some texts, such as those that Polars makes.
        chunks = [pa.DictionaryArray.from_arrays(c.indices, c.dictionary.cast(kind)) for c in column.chunks]
        column = pa.chunked_array(chunks, pa.dictionary(column.type.index_type, kind))
    return column.cast(kind)


def content_digest(table: pa.Table) -> str:
    """Return SHA-256 over column names, types and values in their order.

    Equal content gives the equal digest on every machine: it does not depend on chunks, dictionaries, offsets, the
    bytes beneath nulls, or which of the many NaN a NaN is. Zero and minus zero differ.

    Raises:
        Unsupported: A column has a type that has no canonical bytes.

    Example:
        >>> whole, halves = pa.table({"a": [1, None, 3]}), pa.chunked_array([[1], [None, 3]])
        >>> content_digest(whole) == content_digest(pa.table({"a": halves}))
        True
    """
    content = ContentDigest(table.schema)
    content.add(table)
    return content.hexdigest()


class ContentDigest:
    """The content digest of rows that come piece by piece.

    Args:
        schema: Column names and types.

    Raises:
        Unsupported: A column has a type that has no canonical bytes.

    Example:
        >>> piece = pa.table({"a": [1, 2]})
        >>> content = ContentDigest(piece.schema)
        >>> content.add(piece.slice(0, 1))
        >>> content.add(piece.slice(1))
        >>> content.hexdigest() == content_digest(piece)
        True
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._columns = [(field.name, plain_type(field.name, field.type)) for field in schema]
        self._digests = [_ColumnDigest(kind) for _, kind in self._columns]
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """Count the next rows in; they have the columns of the schema."""
        self.rows += table.num_rows
        for digest, (_, column) in zip(self._digests, _columns(plain_table(table)), strict=True):
            digest.add(column.chunks)

    def hexdigest(self) -> str:
        """Return the digest of all rows so far; none can be added after it."""
        total = hashlib.sha256()
        head = {"rows": self.rows, "columns": [[name, str(kind)] for name, kind in self._columns]}
        total.update(canonical_json(head))
        for digest in self._digests:
            total.update(digest.digest())
        return total.hexdigest()


def _columns(table: pa.Table) -> list[tuple[str, pa.ChunkedArray]]:
    return list(zip(table.column_names, table.columns, strict=True))


def plain_type(name: str, kind: pa.DataType) -> pa.DataType:
    """Return the type in which a dataset keeps a column of a type; decimals, as SQL writes 10.0, are kept as float64.

    Raises:
        Unsupported: It is nested more than once, or has no canonical bytes.
    """
    types = pa.types
    if types.is_dictionary(kind) and not types.is_decimal(kind.value_type):
        return plain_type(name, kind.value_type)
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_string(kind):
        return kind
    if types.is_timestamp(kind) or types.is_date(kind):
        return kind
    if types.is_decimal(kind):
        return pa.float64()
    if (types.is_list(kind) or types.is_large_list(kind)) and not _is_more_than_value(kind.value_type):
        return pa.list_(plain_type(name, kind.value_type))
    raise Unsupported(f"column {name!r} has type {kind}, which a dataset cannot keep", hint="make it plain columns")


def _is_more_than_value(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_decimal(kind))


def _floats(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return decimals as the floats that are written with the same digits."""
    ends = pc.min_max(column).as_py().values()
    # fifteen digits always come back from a float64; of more they may
    if not all(end is None or abs(end.scaleb(column.type.scale)) < 10**_FLOAT_DIGITS for end in ends):
        for value in column.to_pylist():
            if value is not None and value not in (Decimal(repr(float(value))), Decimal(float(value))):
                raise Unsupported(
                    f"column {name!r} holds the decimal {value}, which has more digits than a float64",
                    hint="round it yourself, in SQL with ::DOUBLE, or carry it as text, with ::VARCHAR",
                )
    return column.cast(pa.string()).cast(pa.float64())  # Arrow's own cast makes 10.12 10.120000000000001


class _ColumnDigest:
    def __init__(self, kind: pa.DataType) -> None:
        self._valid, self._values, self._lengths = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self._items = _ColumnDigest(kind.value_type) if pa.types.is_list(kind) else None

    def add(self, chunks: list[pa.Array]) -> None:
        for chunk in chunks:
            self._valid.update(_bytes(chunk.is_valid()))
            if self._items is not None:
                self._lengths.update(_numbers(pc.fill_null(pc.list_value_length(chunk), 0), "<i4"))
                self._items.add([pc.list_flatten(chunk)])
            elif pa.types.is_string(chunk.type):
                filled = pc.fill_null(chunk, "")
                self._lengths.update(_numbers(pc.binary_length(filled), "<i4"))
                self._values.update(_text_bytes(filled))
            else:
                self._values.update(_bytes(chunk))

    def digest(self) -> bytes:
        if self._items is not None:
            self._values.update(self._items.digest())
        return self._valid.digest() + self._values.digest() + self._lengths.digest()


def _bytes(chunk: pa.Array) -> bytes:
    kind = chunk.type
    if pa.types.is_boolean(kind):
        return _numbers(pc.fill_null(chunk, pa.scalar(value=False)).cast(pa.uint8()), "u1")
    if pa.types.is_floating(kind):
        numbers = np.asarray(pc.fill_null(chunk, pa.scalar(0, kind)))
        return (
            np.where(np.isnan(numbers), np.array(np.nan, numbers.dtype), numbers)
            .astype(f"<f{kind.bit_width // 8}")
            .tobytes()
        )
    if not pa.types.is_integer(kind):
        kind = pa.int32() if kind.bit_width == 32 else pa.int64()
        chunk = chunk.cast(kind)
    sign = "u" if pa.types.is_unsigned_integer(kind) else "i"
    return _numbers(pc.fill_null(chunk, pa.scalar(0, kind)), f"<{sign}{kind.bit_width // 8}")


def _numbers(chunk: pa.Array, order: str) -> bytes:
    return np.asarray(chunk).astype(order, copy=False).tobytes()


def _text_bytes(chunk: pa.Array) -> Any:
    compact = pa.concat_arrays([chunk])  # a slice's buffer begins before it
    if len(compact) == 0:
        return b""
    offsets = np.frombuffer(compact.buffers()[1], "<i4", len(compact) + 1, offset=compact.offset * 4)
    data = compact.buffers()[2]
    return b"" if data is None else memoryview(data)[int(offsets[0]) : int(offsets[-1])]
