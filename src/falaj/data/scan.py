"""Scan: one file read through, checked, and split into what may enter and what may not, before anything lands."""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from falaj.data.batch_file import BatchFile, naming
from falaj.data.columns import CREATED, EVENT_TS, INSTANT, RAW, REASONS, quarantine_schema, rows_schema, stored_schema
from falaj.data.convert import convert_column, convert_rows
from falaj.data.quality import Rules, duplicated, not_of_type
from falaj.data.schema import check_header, open_batch_file
from falaj.data.spool import PLACE, Spool
from falaj.definitions.source import Source
from falaj.kernel.errors import DataError

_ENOUGH_VALUES = 10
"""A column of which so many values are read and none is of its type has changed; fewer may be single bad rows."""

_LONGEST = 60
_WRITTEN = {
    "string": "write text",
    "int64": "write whole numbers",
    "float64": "write numbers like 12.5",
    "bool": "write true and false",
    "timestamp": "write instants like 2026-01-31T09:30:00Z, or whole seconds, milliseconds, microseconds or "
    "nanoseconds since 1970",
}
"""What a column of each type is written as."""


class Scan:
    """The rows of one file, held in scratch files that vanish with the process.

    Args:
        source: The definition.
        schema: Column to dtype.
        path: The file.
        scratch: Folder for the scratch files; the system's by default.

    Attributes:
        rows: Rows read, lines that are not rows included.
        accepted: Rows that may enter.
        quarantined: Rows that may not.
        warnings: Reason to number of rows that a warning check found.

    Raises:
        DataError: The file is damaged, changes while it is read, or breaks the schema.
    """

    def __init__(self, source: Source, schema: Mapping[str, str], path: Path, scratch: Path | None = None) -> None:
        self._source = source
        self._schema = dict(schema)
        self._path = path
        self._rules = Rules(source, schema)
        self._read_values: Counter[str] = Counter()
        self._bad_values: Counter[str] = Counter()
        self._bad_example: dict[str, str] = {}
        self.rows = 0
        self.warnings: dict[str, int] = {}
        with ExitStack() as undo:
            self._good = undo.enter_context(Spool(stored_schema(schema), scratch))
            self._bad = undo.enter_context(Spool(quarantine_schema(schema), scratch))
            with naming(path):
                file = open_batch_file(source, path)
                check_header(source, schema, path, file.header())
                self._split(file)
            self._check_types()
            self._open = undo.pop_all()

    @property
    def accepted(self) -> int:
        """Rows that may enter."""
        return self._good.rows

    @property
    def quarantined(self) -> int:
        """Rows that may not."""
        return self._bad.rows

    def good_rows(self, first_seq: int, file: str, digest: str, at_us: int) -> pa.RecordBatchReader:
        """Return the accepted rows as the source's table has them, numbered by their place in the file."""
        return self._good.read(first_seq, file, digest, at_us)

    def bad_rows(self, first_seq: int, file: str, digest: str, at_us: int) -> pa.RecordBatchReader:
        """Return the rejected rows as the quarantine table has them, numbered by their place in the file."""
        return self._bad.read(first_seq, file, digest, at_us)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _split(self, file: BatchFile) -> None:
        duplicates = {column: self._duplicates(file, column) for column in self._rules.unique_columns}
        for raw in file.batches(list(self._schema)):
            rows, unreadable = convert_rows(self._schema, raw, text=file.text)
            self._count_types(rows, unreadable)
            judged = self._rules.judge(rows, unreadable, duplicates)
            for reason, count in judged.warnings.items():
                self.warnings[reason] = self.warnings.get(reason, 0) + count
            placed = self._placed(rows)
            self._good.write(placed.filter(judged.accepted))
            if judged.reasons:
                bad, bad_raw = placed.filter(judged.rejected), raw.filter(judged.rejected)
                masks = {column: mask.filter(judged.rejected) for column, mask in unreadable.items()}
                self._name_values(judged.reasons, masks, bad_raw)
                self._quarantine(bad, judged.reasons, _as_json(bad_raw))
            self.rows += raw.num_rows
        for reason, line in file.malformed():
            nothing = rows_schema(self._schema).empty_table()
            empty_row = pa.table({name: pa.nulls(1, nothing.schema.field(name).type) for name in nothing.column_names})
            self._quarantine(self._placed(empty_row), [[reason]], [line])
            self.rows += 1

    def _placed(self, rows: pa.Table) -> pa.Table:
        rows = rows.append_column(EVENT_TS, event_times(self._source, rows))
        rows = rows.append_column(CREATED, created_times(self._source, rows))
        return rows.append_column(PLACE, pa.array(range(self.rows, self.rows + rows.num_rows), pa.int64()))

    def _quarantine(self, rows: pa.Table, reasons: list[list[str]], raw: list[str]) -> None:
        rows = rows.append_column(REASONS, pa.array(reasons, pa.list_(pa.string())))
        self._bad.write(rows.append_column(RAW, pa.array(raw, pa.string())))

    def _name_values(self, reasons: list[list[str]], masks: Mapping[str, pa.BooleanArray], raw: pa.RecordBatch) -> None:
        """Let each reason about a type say the value, which the row itself can no longer hold."""
        for column, mask in masks.items():
            reason = not_of_type(column, self._schema[column])
            values = _jsonable(raw.column(column).filter(mask)).to_pylist()
            for place, value in zip(pc.indices_nonzero(mask).to_pylist(), values, strict=True):
                shown = _shown(value)
                self._bad_example.setdefault(column, shown)
                row = reasons[place]
                row[row.index(reason)] = f"{reason}: {shown}"

    def _duplicates(self, file: BatchFile, column: str) -> pa.Array:
        dtype = self._schema[column]
        pieces = [convert_column(raw.column(0), dtype, text=file.text)[0] for raw in file.batches([column])]
        return duplicated(pa.chunked_array(pieces, rows_schema({column: dtype}).field(0).type))

    def _count_types(self, rows: pa.Table, unreadable: Mapping[str, pa.BooleanArray]) -> None:
        for column, mask in unreadable.items():
            self._bad_values[column] += pc.sum(mask).as_py()
        for column in self._schema:
            self._read_values[column] += rows.num_rows - rows.column(column).null_count

    def _check_types(self) -> None:
        for column, bad in self._bad_values.items():
            if bad >= _ENOUGH_VALUES and not self._read_values[column]:
                raise DataError(
                    f"source {self._source.name!r}: file {self._path}: column {column!r} has changed; expected "
                    f"{self._schema[column]}, got {bad} values that are none, such as {self._bad_example[column]}",
                    hint=f"{_WRITTEN[self._schema[column]]}, or declare another type in the source's schema; nothing "
                    "of the file was ingested",
                )


def event_times(source: Source, rows: pa.Table) -> pa.Array:
    """Return `_event_ts` of rows in their types: the source's timestamp, the epoch for a timeless source."""
    if source.timestamp is None:
        return pa.repeat(pa.scalar(0, INSTANT), rows.num_rows)
    return rows.column(source.timestamp)


def created_times(source: Source, rows: pa.Table) -> pa.Array:
    """Return `_created` of rows in their types."""
    return pa.nulls(rows.num_rows, INSTANT) if source.created is None else rows.column(source.created)


def fingerprint(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is written: inode, length and time of writing."""
    with naming(path):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _as_json(rows: pa.RecordBatch) -> list[str]:
    names, columns = rows.schema.names, [_jsonable(column) for column in rows.columns]
    values: list[list[Any]] = [column.to_pylist() for column in columns]
    return [msgspec.json.encode(dict(zip(names, row, strict=True))).decode() for row in zip(*values, strict=True)]


def _jsonable(column: pa.Array) -> pa.Array:
    """Return instants as text: Python's own do not reach every year, and have no nanoseconds."""
    kind = column.type
    return column.cast(pa.string()) if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else column
