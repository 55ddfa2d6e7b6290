"""SQL frame: the rows of one SELECT over a project's sources, read without a way to anything else."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from falaj.data.columns import CREATED, INGEST_SEQ
from falaj.data.duckdb_rows import quoted, read_batches
from falaj.definitions.source import Source
from falaj.kernel.errors import InputError
from falaj.kernel.sentence import one_sentence

BATCH_ROWS = 100_000
_BEGINS = re.compile(r"\s*(select|with|from)\b", re.IGNORECASE)
_SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "4GiB",
    "temp_directory": "",  # it would be in the folder that this process happens to stand in
    "threads": "1",
}
_LOCKED = (
    "SET TimeZone='UTC'",
    "SET enable_external_access=false",
    "SET python_enable_replacements=false",  # else a name could mean a variable of this process
    "SET lock_configuration=true",
)


def is_sql(text: str) -> bool:
    """Whether a text is a query, and not the path of a file.

    Example:
        >>> is_sql("SELECT card_id FROM tx"), is_sql("frames/select.parquet")
        (True, False)
    """
    return _BEGINS.match(text) is not None


def sources_named(text: str, names: Sequence[str]) -> list[str]:
    """Return which of the names a query mentions, wherever it does.

    Example:
        >>> sources_named("SELECT * FROM tx JOIN terminals USING (id)", ["tx", "terminal", "terminals"])
        ['tx', 'terminals']
    """
    words = set(re.findall(r"\w+", text.lower()))
    return [name for name in names if name.lower() in words]


@contextmanager
def sql_frame(
    text: str, sources: Mapping[str, tuple[Source, Any]], schemas: Mapping[str, Mapping[str, str]]
) -> Iterator[pa.RecordBatchReader]:
    """Give the rows of a query over sources.

    A source is a relation of its declared columns; of an event that came more than once, the version that counts. One
    thread works, so that the same query gives the same rows in the same order. There is no way to files, extensions,
    settings or other data of this process.

    Args:
        text: One SELECT statement of DuckDB's.
        sources: Per name that the query mentions, the source and its rows.
        schemas: Source to column to dtype.

    Raises:
        InputError: It is not one SELECT, or DuckDB refuses it.
    """
    with duckdb.connect(":memory:", config=_SETTINGS) as engine:
        for i, (name, (source, rows)) in enumerate(sources.items()):
            engine.register(f"_rows_{i}", rows)
            engine.execute(f"CREATE TEMP VIEW {quoted(name)} AS {_counting(f'_rows_{i}', source, schemas[name])}")
        for setting in _LOCKED:
            engine.execute(setting)
        with _explained(list(schemas)):
            statements = engine.extract_statements(text)
            if [statement.type.name for statement in statements] != ["SELECT"]:
                raise InputError("the SQL text is not one SELECT", hint="a frame's SQL only reads: write one SELECT")
            yield read_batches(engine.sql(statements[0]), BATCH_ROWS)


def _counting(relation: str, source: Source, schema: Mapping[str, str]) -> str:
    sql = f"SELECT {', '.join(map(quoted, schema))} FROM {relation}"  # noqa: S608 - names are quoted
    if source.id is None:
        return sql
    order = f"epoch_us({CREATED}) DESC NULLS LAST, {INGEST_SEQ}"
    identity = quoted(source.id)
    rank = f"row_number() OVER (PARTITION BY {identity} ORDER BY {order})"
    return f"{sql} QUALIFY {identity} IS NULL OR {rank} = 1 ORDER BY {INGEST_SEQ}"


@contextmanager
def _explained(sources: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        raise InputError(
            f"the SQL text: {one_sentence(str(error).partition('Did you mean')[0].strip())}",
            hint=f"write one SELECT of DuckDB's over the project's sources: {', '.join(sources)}",
        ) from None
