"""DuckDB rows: what a query gives, a batch at a time, whichever release is installed; and names in a query."""

from typing import Any

import pyarrow as pa


def read_batches(relation: Any, batch_rows: int) -> pa.RecordBatchReader:
    """Return the rows of a relation; only a batch is in memory at a time.

    Args:
        relation: What `connection.sql` returned.
        batch_rows: Most rows of a batch.
    """
    read = getattr(relation, "to_arrow_reader", None)
    return relation.fetch_arrow_reader(batch_rows) if read is None else read(batch_rows)


def quoted(name: str) -> str:
    """Return a name as an identifier. A file's header may call a column anything, a piece of SQL too.

    Example:
        >>> print(quoted('a" FROM b --'))
        "a"" FROM b --"
    """
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
