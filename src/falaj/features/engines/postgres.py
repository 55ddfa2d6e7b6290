"""Postgres: features computed by a PostgreSQL server, over temporary tables that end with the transaction."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds

from falaj.definitions.service_spec import ViewSpec
from falaj.features.arrow_types import ARROW_TYPES
from falaj.features.dialect import DIALECTS
from falaj.features.engines.answer import asked_table, in_order, named_columns, rows_of, source_columns
from falaj.features.engines.port import Questions
from falaj.features.engines.support import check_views
from falaj.features.point_in_time_join import events_sql, features_sql
from falaj.kernel.errors import DataError, InputError, StorageError
from falaj.kernel.extra import library

_DIALECT = DIALECTS["postgres"]
_NO_HEADER = pyarrow.csv.WriteOptions(include_header=False)
_SETTINGS = {
    "jit": "off",  # it pays off for long scans of one table only
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
}
"""What the text needs to mean what it says and numbers to come whole, whatever the server, role or database has set."""
_FETCHED = 20_000
"""Rows that are asked of the server at once."""


@dataclass(frozen=True, slots=True)
class PostgresEngine:
    """Computes features on a PostgreSQL server of version 14 or later.

    Rows go there by COPY into temporary tables, and nothing stays. A float result beyond float64 fails there instead
    of becoming an infinity or zero.

    Attributes:
        url: Where it is, as in `postgresql://user:password@host/database`; never shown.
    """

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """How settings and documents call it."""
        return "postgres"

    def check(self, views: Sequence[ViewSpec]) -> None:
        """Raise if it cannot compute a view."""
        check_views(views, _DIALECT)

    def answer(
        self, views: Sequence[ViewSpec], questions: Questions, tables: Mapping[str, Any], *, known_time: bool = False
    ) -> dict[str, Any]:
        """Return the features of every view; see `Engine`."""
        self.check(views)
        psycopg = library("psycopg", "postgres")
        columns: dict[str, Any] = {}
        try:
            with self._connect(psycopg) as connection:
                for view in views:
                    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
                        answer = _answer(cursor, view, questions, rows_of(view, tables), known_time=known_time)
                    columns |= named_columns(view, in_order(answer, "_question", questions.rows))
        except psycopg.DataError as error:
            raise DataError(
                f"PostgreSQL refuses a value: {_said(error)}",
                hint="a text with a zero byte or a letter that its encoding lacks, or a float result beyond float64; "
                "features.engine = 'duckdb' takes them all",
            ) from None
        except psycopg.OperationalError as error:  # its text names host and user, and never the password
            raise StorageError(
                f"PostgreSQL does not answer: {_said(error)}", hint="see features.postgres_url"
            ) from None
        except psycopg.Error as error:
            raise StorageError(f"PostgreSQL failed: {_said(error)}", hint="see its log") from None
        return columns

    def _connect(self, psycopg: Any) -> Any:
        try:
            return psycopg.connect(self.url, connect_timeout=10, client_encoding="utf8")
        except psycopg.ProgrammingError:  # its text holds the address with the password
            raise InputError(
                "features.postgres_url is not an address of PostgreSQL",
                hint="write it like postgresql://user:password@host:5432/database",
            ) from None


def _answer(cursor: Any, view: ViewSpec, questions: Questions, rows: Any, *, known_time: bool) -> pa.Table:
    for setting, value in _SETTINGS.items():
        cursor.execute(f"SET LOCAL {setting} = {value}")
    keys = {f"_k{i}": dtype for i, (_, dtype) in enumerate(view.keys)}
    _load(cursor, "asked", {"_question": "int64", "_t": "int64", **keys}, _batches(asked_table(view, questions)))
    names = source_columns(view)
    dtypes = dict(view.inputs) | dict(view.keys)
    schema = {name: dtypes.get(name, "int64") for name in names}
    found = ds.dataset(rows) if isinstance(rows, pa.Table) else rows
    if view.id_column is not None and view.id_column not in dtypes:
        schema[view.id_column] = _dtype(found.schema.field(view.id_column).type)
    _load(cursor, "source_rows", schema, found.to_batches(columns=names))
    events = events_sql(view, "source_rows", _DIALECT, known_time=known_time, whole_instants=True)
    cursor.execute(f"CREATE TEMP TABLE events ON COMMIT DROP AS {events}")
    _index(cursor, [*(f"k{i}" for i in range(len(view.keys))), "_ts"])
    cursor.execute("ANALYZE events")
    cursor.execute("ANALYZE asked")
    return _fetched(cursor, view, features_sql(view, "events", _DIALECT, known_time=known_time))


def _index(cursor: Any, columns: list[str]) -> None:
    """Index the events, if no key is longer than an index takes; the join does without one."""
    try:
        with cursor.connection.transaction():
            cursor.execute(f"CREATE INDEX ON events ({', '.join(columns)})")
    except library("psycopg.errors", "postgres").ProgramLimitExceeded:
        return


def _load(cursor: Any, table: str, columns: Mapping[str, str], batches: Iterator[pa.RecordBatch]) -> None:
    """Make a temporary table of batches, instants as whole microseconds."""
    declared = ", ".join(f"{_DIALECT.quoted(name)} {_DIALECT.types[dtype]}" for name, dtype in columns.items())
    cursor.execute(f"CREATE TEMP TABLE {table} ({declared}) ON COMMIT DROP")
    with cursor.copy(f"COPY {table} FROM STDIN (FORMAT csv)") as copy:
        for batch in batches:
            arrays = [_plain(batch.column(name), dtype) for name, dtype in columns.items()]
            text = io.BytesIO()
            pyarrow.csv.write_csv(pa.table(arrays, names=list(columns)), text, _NO_HEADER)
            copy.write(text.getbuffer())


def _plain(column: Any, dtype: str) -> Any:
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    return column.cast(pa.int64() if dtype == "timestamp" else ARROW_TYPES[dtype])


def _dtype(arrow: Any) -> str:
    """Return the type that an identity is compared as."""
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return "string"
    return "float64" if pa.types.is_floating(arrow) else "bool" if pa.types.is_boolean(arrow) else "int64"


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from table.to_batches()


def _fetched(cursor: Any, view: ViewSpec, sql: str) -> pa.Table:
    schema = pa.schema([("_question", pa.int64()), *((f.name, _physical(f.dtype)) for f in view.features)])
    cursor.execute(f"DECLARE answer NO SCROLL CURSOR FOR {sql}")
    batches = []
    while rows := cursor.execute(f"FETCH {_FETCHED} FROM answer").fetchall():
        columns = zip(schema, zip(*rows, strict=True), strict=True)
        batches.append(pa.record_batch([pa.array(values, f.type) for f, values in columns], schema=schema))
    return pa.Table.from_batches(batches, schema)


def _physical(dtype: str) -> Any:
    """Return the type of a feature as the statement gives it: instants and truth values are whole numbers."""
    if dtype.startswith("list["):
        return pa.list_(_physical(dtype[5:-1]))
    return pa.int64() if dtype in ("bool", "timestamp") else ARROW_TYPES[dtype]


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0]
