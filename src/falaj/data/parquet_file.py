"""Parquet files, read row group by row group."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from falaj.data.batch_file import naming, refuse_empty

BATCH_ROWS = 65_536


class ParquetFile:
    """One Parquet file.

    Args:
        path: The file.
    """

    text = False

    def __init__(self, path: Path) -> None:
        self._path = path

    def header(self) -> dict[str, pa.DataType]:
        """Return column to type, from the footer."""
        with naming(self._path):
            refuse_empty(self._path)
            return {field.name: field.type for field in pq.read_schema(self._path)}

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Give the rows in bounded batches; a file larger than memory is never held whole."""
        with naming(self._path), pq.ParquetFile(self._path, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=columns)

    def malformed(self) -> list[tuple[str, str]]:
        """Return nothing: a Parquet file is whole or refused."""
        return []
