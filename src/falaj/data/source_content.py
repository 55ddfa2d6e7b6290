"""Source content: the digest of what features read of a source, the same however its rows came to the table."""

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from falaj.data.columns import CREATED, EVENT_TS, INGEST_SEQ
from falaj.data.content import ContentDigest
from falaj.data.duckdb_rows import quoted, read_batches

_BATCH_ROWS = 100_000


def source_content(rows: ds.Dataset, columns: Sequence[str]) -> str:
    """Return the content digest of some of a source's columns and of its times, in the order of `_ingest_seq`.

    The numbers themselves do not count: rows that came in two files have others than those that came in one.

    Args:
        rows: The source's rows.
        columns: Which of its own columns.
    """
    names = sorted({*columns, EVENT_TS, CREATED})
    scanner = rows.scanner([*names, INGEST_SEQ], batch_size=_BATCH_ROWS)
    schema = scanner.projected_schema
    found = _digest(names, schema, scanner.to_reader())
    if found is not None:
        return found
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as engine:
        engine.register("rows", rows)
        chosen = ", ".join(quoted(name) for name in [*names, INGEST_SEQ])
        sql = f"SELECT {chosen} FROM rows ORDER BY {INGEST_SEQ}"  # noqa: S608 - names are quoted
        sorted_digest = _digest(names, schema, read_batches(engine.sql(sql), _BATCH_ROWS))
    assert sorted_digest is not None
    return sorted_digest


def _digest(names: Sequence[str], schema: pa.Schema, reader: pa.RecordBatchReader) -> str | None:
    """Return the digest, or None when the rows are not in order."""
    content = ContentDigest(pa.schema([schema.field(name) for name in names]))
    last = None
    for piece in reader:
        batch = piece.cast(schema)  # DuckDB names the zone of its session, which may be another name of UTC
        seq = batch.column(INGEST_SEQ)
        if batch.num_rows == 0:
            continue
        ascending = pc.all(pc.less_equal(seq[:-1], seq[1:]), min_count=0).as_py()
        if not ascending or (last is not None and seq[0].as_py() < last):
            return None
        last = seq[-1].as_py()
        content.add(_named(batch, names))
    return content.hexdigest()


def _named(batch: Any, names: Sequence[str]) -> pa.Table:
    return pa.Table.from_batches([batch]).select(list(names))
