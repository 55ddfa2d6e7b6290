"""The port of versioned tables."""

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.dataset as ds


class TableStore(Protocol):
    """Tables that grow by whole commits and keep every version.

    Names are words joined by slashes, like `source/transactions`. Columns are nullable; times are whole microseconds,
    and dictionary-encoded, large and unsigned columns come back as plain, small and signed ones that hold all values.
    Rows come back in the order they were appended when they are read without an engine that reorders.
    """

    def append(self, name: str, data: pa.Table | pa.RecordBatchReader, *, app: tuple[str, int] | None = None) -> int:
        """Add the rows in one atomic, durable commit and return the table's version.

        The first append makes the table. New columns are added, null for the rows before; absent ones are null.

        Args:
            name: The table.
            data: The rows.
            app: A writer's name and its own growing number. A number at or below the recorded one writes nothing, so
                that a repeat after a crash adds nothing twice.

        Raises:
            DataError: A column's type does not fit the table's, or cannot be kept.
            CorruptionError: The table is damaged.
            DiskFull: No space is left; the table is as it was.
        """
        ...

    def read(self, name: str, columns: Sequence[str] | None = None, version: int | None = None) -> ds.Dataset:
        """Return the rows of one version as a dataset that DuckDB and pyarrow scan lazily.

        Raises:
            NotFound: No such table, version or column.
            CorruptionError: The log or a data file is damaged; the message names the table.
        """
        ...

    def version(self, name: str) -> int | None:
        """Return the present version, or None when there is no such table."""
        ...

    def names(self) -> list[str]:
        """Return the names of all tables, sorted."""
        ...

    def overwrite(self, name: str, data: pa.Table | pa.RecordBatchReader) -> int:
        """Replace rows and columns in one atomic, durable commit and return the version; older versions stay readable.

        Raises:
            DataError: A column's type cannot be kept.
        """
        ...

    def compact(self, name: str) -> int:
        """Join small files without changing rows or their order, and return the version.

        Raises:
            NotFound: There is no such table.
        """
        ...
