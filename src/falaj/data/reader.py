"""Reader: a source's rows in the order of their numbers, wherever they lie."""

from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.dataset as ds

from falaj.data import provenance
from falaj.data.columns import INGEST_SEQ, source_table, stored_schema
from falaj.data.event_frame import accepted_rows, decode_frames
from falaj.data.provenance import Sequence
from falaj.kernel.errors import DataError, InputError
from falaj.storage.eventlog import EventLog
from falaj.storage.metadata.database import Database
from falaj.storage.tables.port import TableStore

Logs = Callable[[str], EventLog]
"""Gives the event log of a source by its name; the same object each time."""


class SourceReader:
    """Reads one sequence from two places: the table, and the tail of the log that has not landed there.

    Args:
        tables: The tables.
        logs: Gives a source's event log.
        db: The metadata database.
    """

    def __init__(self, tables: TableStore, logs: Logs, db: Database) -> None:
        self._tables = tables
        self._logs = logs
        self._db = db

    def head(self, source: str) -> int:
        """Return the last number given out, 0 at first; `read_from` reaches it unless a file is on its way."""
        return self._logs(source).next_seq() - 1

    def reaches(self, source: str, seq: int) -> bool:
        """Return whether nothing can be read beyond a number now."""
        if seq >= self.head(source):
            return True
        stop = self._sequence(source, seq + 1).stop
        return stop is not None and stop <= seq + 1

    def read_from(self, source: str, schema: Mapping[str, str], seq: int, limit: int) -> tuple[pa.Table, int]:
        """Return the accepted rows numbered from `seq` on, and the last number that they account for.

        Read on from `through_seq + 1`. The answer has no rows only when there is nothing further: rejected rows and
        numbers that were never used are passed over. A file that is being ingested is not passed: what comes after
        it waits until the file is whole, so that the order of numbers is the order in which views apply rows.

        Args:
            source: The source's name.
            schema: Column to dtype; columns that a row lacks are null.
            seq: The first number wanted, 1 or more.
            limit: Most rows, 1 or more.

        Returns:
            Table of `stored_schema(schema)`, ascending by `_ingest_seq`; and the last number accounted for, `seq - 1`
            when there is nothing new.
        """
        if seq < 1 or limit < 1:
            raise InputError(f"rows cannot be read from {seq} with limit {limit}", hint="both begin at 1")
        rows, through = stored_schema(schema).empty_table(), seq - 1
        while not rows.num_rows:
            piece = self._piece(source, schema, through + 1, limit)
            if piece is None or piece[1] == through:
                break
            rows, through = piece
        return rows, through

    def _piece(self, source: str, schema: Mapping[str, str], seq: int, limit: int) -> tuple[pa.Table, int] | None:
        """Return the rows of one place, perhaps none, and the last number they account for; None at the end."""
        log = self._logs(source)
        # First the end, then the ranges: a file notes itself before it takes numbers, so none below is unknown.
        end = log.next_seq() - 1
        sequence = self._sequence(source, seq)
        if sequence.stop is not None:
            end = min(end, sequence.stop - 1)
        if seq > end:
            return None
        last = _in_table_until(sequence, seq)
        if last is not None:
            through = min(end, last, seq + limit - 1)
            return self._from_table(source, schema, seq, through), through
        payloads = log.read(seq, limit)
        if (not payloads or payloads[0][0] != seq) and self._sequence(source, seq).landed != sequence.landed:
            return self._piece(source, schema, seq, limit)  # landed and forgotten since we looked: now in the table
        end = min([end, *(first - 1 for first, _ in sequence.in_table if first > seq)])
        return _from_log(source, schema, payloads, seq, end, limit, unknown_ends=sequence.reserving)

    def _sequence(self, source: str, seq: int) -> Sequence:
        with self._db.read() as connection:
            return provenance.sequence(connection, source, seq)

    def _from_table(self, source: str, schema: Mapping[str, str], first: int, last: int) -> pa.Table:
        wanted = stored_schema(schema)
        name = source_table(source)
        if self._tables.version(name) is None:
            return wanted.empty_table()
        dataset = self._tables.read(name)
        present = [column for column in wanted.names if column in dataset.schema.names]
        seq = ds.field(INGEST_SEQ)
        rows = dataset.to_table(columns=present, filter=(seq >= first) & (seq <= last)).sort_by(INGEST_SEQ)
        return fit_rows(source, rows, wanted)


def _from_log(
    source: str,
    schema: Mapping[str, str],
    payloads: list[tuple[int, bytes]],
    seq: int,
    end: int,
    limit: int,
    *,
    unknown_ends: bool,
) -> tuple[pa.Table, int]:
    through = end if len(payloads) < limit else min(end, payloads[-1][0])
    if unknown_ends:  # numbers that the log skips may be those of the file that is on its way
        expected = seq
        for found, _ in payloads:
            if found != expected:
                break
            expected += 1
        through = min(through, expected - 1)
    kept = [(found, payload) for found, payload in payloads if found <= through]
    return accepted_rows(source, schema, decode_frames(source, kept)), through


def fit_rows(source: str, rows: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Return the rows with the wanted columns in their types; absent ones are null.

    Raises:
        DataError: A stored column cannot be read as the wanted type.
    """
    columns = {}
    for field in wanted:
        if field.name not in rows.column_names:
            columns[field.name] = pa.nulls(rows.num_rows, field.type)
            continue
        try:
            columns[field.name] = rows.column(field.name).cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"source {source!r}: column {field.name!r} is stored as {rows.schema.field(field.name).type} and "
                f"cannot be read as {field.type}: {error}",
                hint="give a column of another type another name",
            ) from None
    return pa.table(columns, schema=wanted)


def _in_table_until(sequence: Sequence, seq: int) -> int | None:
    """Return the last number after `seq` that is certainly in the table, or None where the log has to be asked."""
    if seq <= sequence.landed:
        return sequence.landed
    return next((last for first, last in sequence.in_table if first <= seq <= last), None)
