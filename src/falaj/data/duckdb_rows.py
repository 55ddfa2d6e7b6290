"""DuckDB rows: what a query gives, a batch at a time, whichever release of DuckDB is installed."""

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
