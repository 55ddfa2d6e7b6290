"""Tables of this process only."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.dataset as ds

from falaj.kernel.errors import NotFound
from falaj.storage.tables.conform import absent, check_columns, check_table_name, fit_batches, fit_schema


@dataclass
class _Versions:
    rows: list[pa.Table] = field(default_factory=list)
    apps: dict[str, int] = field(default_factory=dict)


class MemoryTables:
    """A list of Arrow tables for each name.

    Example:
        >>> tables = MemoryTables()
        >>> tables.append("source/cards", pa.table({"card": ["c1"]}))
        0
        >>> tables.read("source/cards").to_table().to_pylist()
        [{'card': 'c1'}]
    """

    def __init__(self) -> None:
        self._tables: dict[str, _Versions] = {}
        self._turn = threading.Lock()

    def append(self, name: str, data: pa.Table | pa.RecordBatchReader, *, app: tuple[str, int] | None = None) -> int:
        """Add the rows and return the table's version."""
        check_table_name(name)
        with self._turn:
            table = self._tables.get(name, _Versions())
            if app is not None and table.apps.get(app[0], app[1] - 1) >= app[1]:
                return len(table.rows) - 1
            present = table.rows[-1] if table.rows else None
            schema = fit_schema(name, None if present is None else present.schema, data.schema)
            new = pa.Table.from_batches(fit_batches(name, data, schema, absent_as_null=True), schema)
            if present is not None and new.num_rows == 0 and schema == present.schema and app is None:
                return len(table.rows) - 1
            if present is not None:
                old = pa.Table.from_batches(fit_batches(name, present, schema, absent_as_null=True), schema)
                new = pa.concat_tables([old, new])
            table.rows.append(new)
            if app is not None:
                table.apps[app[0]] = app[1]
            self._tables[name] = table
            return len(table.rows) - 1

    def read(self, name: str, columns: Sequence[str] | None = None, version: int | None = None) -> ds.Dataset:
        """Return the rows of one version."""
        rows = self._known(name).rows
        if version is not None and not 0 <= version < len(rows):
            raise NotFound(f"table {name!r} has no version {version}", hint=f"the newest is {len(rows) - 1}")
        table = rows[-1 if version is None else version]
        return ds.dataset(table if columns is None else table.select(check_columns(name, columns, table.schema)))

    def version(self, name: str) -> int | None:
        """Return the present version, or None."""
        table = self._tables.get(check_table_name(name))
        return None if table is None else len(table.rows) - 1

    def names(self) -> list[str]:
        """Return the names of all tables, sorted."""
        return sorted(self._tables)

    def overwrite(self, name: str, data: pa.Table | pa.RecordBatchReader) -> int:
        """Replace rows and columns and return the version."""
        check_table_name(name)
        schema = fit_schema(name, None, data.schema)
        new = pa.Table.from_batches(fit_batches(name, data, schema), schema)
        with self._turn:
            table = self._tables.setdefault(name, _Versions())
            table.rows.append(new)
            return len(table.rows) - 1

    def compact(self, name: str) -> int:
        """Join the pieces of the newest version."""
        table = self._known(name)
        with self._turn:
            table.rows[-1] = table.rows[-1].combine_chunks()
            return len(table.rows) - 1

    def _known(self, name: str) -> _Versions:
        table = self._tables.get(check_table_name(name))
        if table is None:
            raise absent(name, self.names())
        return table
