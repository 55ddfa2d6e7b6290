"""The columns of a source's tables: its own, and where, when and in which order each row came."""

from collections.abc import Mapping

import pyarrow as pa

EVENT_TS = "_event_ts"
CREATED = "_created"
INGEST_SEQ = "_ingest_seq"
FILE = "_file"
DIGEST = "_digest"
INGESTED_AT = "_ingested_at"
REASONS = "_reasons"
RAW = "_raw"
STREAM = "stream"
"""What stands in `_file` of a pushed event."""

INSTANT = pa.timestamp("us", "UTC")
ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": INSTANT,
}
_PROVENANCE = (
    pa.field(EVENT_TS, INSTANT),
    pa.field(CREATED, INSTANT),
    pa.field(INGEST_SEQ, pa.int64()),
    pa.field(FILE, pa.string()),
    pa.field(DIGEST, pa.string()),
    pa.field(INGESTED_AT, INSTANT),
)
RESERVED = frozenset({*(field.name for field in _PROVENANCE), REASONS, RAW})


def rows_schema(schema: Mapping[str, str]) -> pa.Schema:
    """Return the Arrow schema of the source's own columns.

    Example:
        >>> rows_schema({"amount": "float64"})
        amount: double
    """
    return pa.schema([pa.field(column, ARROW_TYPES[dtype]) for column, dtype in schema.items()])


def stored_schema(schema: Mapping[str, str]) -> pa.Schema:
    """Return the Arrow schema of the table `source/<name>`, which is also that of `SourceReader.read_from`."""
    return pa.schema([*rows_schema(schema), *_PROVENANCE])


def quarantine_schema(schema: Mapping[str, str]) -> pa.Schema:
    """Return the Arrow schema of the table `quarantine/<name>`."""
    return pa.schema([*stored_schema(schema), pa.field(REASONS, pa.list_(pa.string())), pa.field(RAW, pa.string())])


def source_table(source: str) -> str:
    """Return the name of the table that holds a source's accepted rows."""
    return f"source/{source}"


def quarantine_table(source: str) -> str:
    """Return the name of the table that holds a source's rejected rows."""
    return f"quarantine/{source}"
