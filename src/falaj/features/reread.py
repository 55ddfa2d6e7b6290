"""Reread: a source's rows again, for an entity whose record has to be made anew."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from falaj.definitions.service_spec import ViewSpec
from falaj.features.rows import INGEST_SEQ

PIECE_ROWS = 1_000_000


class ReadFrom(Protocol):
    """Gives a source's rows in the order of their numbers."""

    def __call__(self, source: str, seq: int, limit: int) -> tuple[pa.Table, int]:
        """Return at most `limit` rows numbered from `seq` on, and the last number that they account for.

        Without new rows that number may be `seq - 1`.
        """
        ...


class Rereading:
    """Reads every row of some entities; rare, so it goes through the source from its beginning.

    Args:
        read_from: Gives rows.
    """

    def __init__(self, read_from: ReadFrom) -> None:
        self._read_from = read_from

    def __call__(self, view: ViewSpec, entities: Sequence[Mapping[str, Any]], through_seq: int) -> pa.Table:
        """Return the rows, up to a number.

        Args:
            view: The view that knows the entities.
            entities: Their keys.
            through_seq: The last number wanted.
        """
        table, last = self._read_from(view.source, 1, PIECE_ROWS)
        found = [_chosen(table, view, entities)]
        while 0 < last < through_seq:
            table, further = self._read_from(view.source, last + 1, PIECE_ROWS)
            if further <= last:
                break
            found.append(_chosen(table, view, entities))
            last = further
        rows = pa.concat_tables(found)
        return rows.filter(pc.less_equal(rows[INGEST_SEQ], through_seq))


def _chosen(table: pa.Table, view: ViewSpec, entities: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return the rows whose keys are among the entities' keys, column by column; the caller compares whole keys."""
    for name, _ in view.keys:
        wanted = pa.array([entity[name] for entity in entities], table.schema.field(name).type)
        table = table.filter(pc.is_in(table[name], value_set=wanted))
    return table
