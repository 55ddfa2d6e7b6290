"""Spool: rows on the disk between the reading of a file and its landing, when their numbers are not known yet."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from falaj.data.columns import DIGEST, FILE, INGEST_SEQ, INGESTED_AT, INSTANT
from falaj.storage.disk import failure

PLACE = "_place"
"""The row's place in its file, from 0."""

_ADDED = (INGEST_SEQ, FILE, DIGEST, INGESTED_AT)


class Spool:
    """Rows that are written once and then read, in a file that vanishes with the process.

    Args:
        schema: The rows as they land.
        folder: Where the file is; the system's scratch folder by default.

    Attributes:
        rows: How many were written.
    """

    def __init__(self, schema: pa.Schema, folder: Path | None) -> None:
        self._schema = schema
        kept = [field for field in schema if field.name not in _ADDED]
        self._kept = pa.schema([*kept, pa.field(PLACE, pa.int64())])
        self.rows = 0
        with _naming():
            self._file = tempfile.TemporaryFile(dir=folder, prefix="falaj-ingest-")  # noqa: SIM115
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = pa.ipc.new_stream(self._file, self._kept, options=options)

    def write(self, rows: pa.Table) -> None:
        """Add rows that have every column but those that landing adds, and their `PLACE`.

        Raises:
            DiskFull: No space is left.
        """
        self.rows += rows.num_rows
        if rows.num_rows:
            with _naming():
                self._writer.write_table(rows.select(self._kept.names).cast(self._kept))

    def read(self, first_seq: int, file: str, digest: str, at_us: int) -> pa.RecordBatchReader:
        """Return the rows as they land; nothing can be written after it.

        Args:
            first_seq: The number of the row at place 0.
            file: The file's name.
            digest: The file's digest.
            at_us: When it was ingested, in microseconds since 1970.
        """
        with _naming():
            self._writer.close()
        self._file.seek(0, os.SEEK_SET)
        constants = {FILE: pa.scalar(file), DIGEST: pa.scalar(digest), INGESTED_AT: pa.scalar(at_us, INSTANT)}

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in pa.ipc.open_stream(self._file):
                columns = {name: batch.column(name) for name in batch.schema.names}
                columns[INGEST_SEQ] = pc.add(columns[PLACE], first_seq)
                columns |= {name: pa.repeat(value, batch.num_rows) for name, value in constants.items()}
                yield pa.RecordBatch.from_arrays([columns[name] for name in self._schema.names], schema=self._schema)

        return pa.RecordBatchReader.from_batches(self._schema, batches())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk takes no last buffer either, and nobody wants it any more
            self._file.close()


@contextmanager
def _naming() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise failure(error, "cannot write ingestion's scratch file") from error
