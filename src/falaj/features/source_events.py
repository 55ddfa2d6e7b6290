"""SourceEvents: a source's events as a training set looks at them, one version each, as many as memory allows at once.

A source is read once where it is small. Where it is large it is read again and again, each time for a part of the
frame's keys, so that memory follows the budget and not the source; what nobody asks for is dropped batch by batch.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from falaj.features.arrow_types import ARROW_TYPES
from falaj.features.events import Int64s

BUDGET_BYTES = 1 << 30
"""Of a source's events held at once; sorting them and laying windows over them takes some three times as much again."""
_INSTANT = ARROW_TYPES["timestamp"]
_TEXT_BYTES = 24
_OWN = ("_event_ts", "_created", "_ingest_seq")


class SourceEvents:
    """The events of one source.

    Args:
        rows: The source's rows, an Arrow table or dataset.
        columns: The columns wanted and their types.
        superseded: The numbers of rows that do not count, since another version of their event does; ascending.
        until_us: Later events are left out; None keeps all.
    """

    def __init__(self, rows: Any, columns: Mapping[str, str], superseded: Int64s, until_us: int | None) -> None:
        self._rows = ds.dataset(rows) if isinstance(rows, pa.Table) else rows
        self._columns = dict(columns)
        self._superseded = superseded
        self._until_us = until_us

    def parts(self, budget_bytes: int) -> int:
        """Return into how many parts the keys have to be divided."""
        width = 24 + sum(_TEXT_BYTES if dtype == "string" else 8 for dtype in self._columns.values())
        return -(-self._rows.count_rows() * width // budget_bytes) or 1

    def all(self) -> pa.Table:
        """Return all events: `_ts`, `_known` in microseconds, `_seq`, and the columns."""
        return self._plain(self._scanner().to_table())

    def of(self, column: str, values: Any) -> pa.Table:
        """Return the events whose column has one of some values.

        Args:
            column: One of the columns.
            values: An Arrow array without nulls, of the column's type.
        """
        parts = list(self._parts_of(column, values))
        return pa.concat_tables(parts) if parts else self._plain(self._scanner().head(0))

    def _parts_of(self, column: str, values: Any) -> Iterator[pa.Table]:
        for batch in self._scanner().to_batches():
            there = batch.column(column)
            wanted = ARROW_TYPES[self._columns[column]]
            mask = pc.is_in(there if there.type == wanted else there.cast(wanted), value_set=values, skip_nulls=True)
            kept = batch.filter(mask)
            if kept.num_rows:
                yield self._plain(pa.Table.from_batches([kept]))

    def _scanner(self) -> Any:
        before = None
        if self._until_us is not None:
            until = pa.scalar(self._until_us, pa.timestamp("us", "UTC")).cast(self._rows.schema.field("_event_ts").type)
            before = ds.field("_event_ts") <= until  # what has no instant is at none
        # Few batches ahead: what is read and not yet looked at is memory too
        return self._rows.scanner(
            columns=[*_OWN, *self._columns], filter=before, batch_readahead=2, fragment_readahead=1
        )

    def _plain(self, table: pa.Table) -> pa.Table:
        plain = {
            "_ts": _whole(table["_event_ts"]).fill_null(0),  # only a timeless source has none
            "_known": _whole(table["_created"]),
            "_seq": table["_ingest_seq"].cast(pa.int64()),
        }
        for name, dtype in self._columns.items():
            plain[name] = _whole(table[name]) if dtype == "timestamp" else table[name].cast(ARROW_TYPES[dtype])
        found = pa.table(plain)
        if not len(self._superseded) or not found.num_rows:
            return found
        seq = found["_seq"].to_numpy()
        at = np.minimum(np.searchsorted(self._superseded, seq), len(self._superseded) - 1)
        return found.filter(pa.array(self._superseded[at] != seq))


def superseded_sql(relation: str, identity: str) -> str:
    """Return the query for the numbers of rows that do not count: another version of their event does.

    Only identities that occur again are ordered, so that the rule costs a count where there are none.

    Args:
        relation: The source's rows.
        identity: The source's identity column, quoted.
    """
    rank = f"row_number() OVER (PARTITION BY {identity} ORDER BY epoch_us(_created) DESC NULLS LAST, _ingest_seq)"
    again = f"SELECT {identity} FROM {relation} WHERE {identity} IS NOT NULL GROUP BY {identity} HAVING count(*) > 1"  # noqa: S608 - names are quoted
    return (
        f"SELECT _ingest_seq AS _seq FROM {relation} SEMI JOIN ({again}) AS again USING ({identity}) "  # noqa: S608 - names are quoted
        f"QUALIFY {rank} > 1 ORDER BY _seq"
    )


def _whole(column: Any) -> Any:
    return (column if column.type == _INSTANT else column.cast(_INSTANT, safe=False)).cast(pa.int64())
