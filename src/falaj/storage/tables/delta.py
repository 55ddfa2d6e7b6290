"""Tables as Delta Lake folders on the local disk.

The Parquet files are written here and only committed through delta-rs, for three reasons: the bytes are on the disk
before the log names them; each file bears the digest of its bytes, so that damage is seen and named; and the log holds
no column's least and greatest value, which would outlive the erasure of a person.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from falaj.kernel.errors import InputError, NotFound
from falaj.storage.disk import failure, flush_folder, flush_path
from falaj.storage.filelock import FileLock
from falaj.storage.tables.conform import absent, check_columns, check_table_name, fit_batches, fit_schema
from falaj.storage.tables.files import (
    DataFile,
    FileChecker,
    compacted_place,
    damaged,
    open_dataset,
    small_runs,
    taken_back,
    write_files,
)
from falaj.storage.tables.manifest import Manifest, state_digest

_LOG = "_delta_log"
_MANIFEST = "_manifest"
_CONFIGURATION = {
    "delta.enableExpiredLogCleanup": "false",  # else versions that datasets pin could not be read again
    "delta.checkpointInterval": "20",  # opening reads every entry since the last one, 0.1 ms each
}


class DeltaTables:
    """A folder of Delta tables, safe for threads and for several processes.

    Args:
        root: The folder; made when absent.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> tables = DeltaTables(Path(folder.name))
        >>> tables.append("source/cards", pa.table({"card": ["c1"]}), app=("file-1", 1))
        0
        >>> tables.append("source/cards", pa.table({"card": ["c1"]}), app=("file-1", 1))
        0
        >>> tables.read("source/cards").to_table().to_pylist()
        [{'card': 'c1'}]
        >>> folder.cleanup()
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._checker = FileChecker()

    def append(self, name: str, data: pa.Table | pa.RecordBatchReader, *, app: tuple[str, int] | None = None) -> int:
        """Add the rows in one atomic, durable commit and return the table's version."""
        with self._writing(name):
            table = self._find(name)
            if table is None:
                return self._create(name, data, app)
            version = int(table.version())
            recorded = None if app is None else table.transaction_version(app[0])
            if app is not None and recorded is not None and recorded >= app[1]:
                return version
            present = _schema(table)
            schema = fit_schema(name, present, data.schema)
            adds = self._write(name, version + 1, data, schema)
            if not adds and app is None and schema == present:
                return version
            return self._commit(table, name, adds, schema, app)

    def overwrite(self, name: str, data: pa.Table | pa.RecordBatchReader) -> int:
        """Replace rows and columns in one atomic, durable commit and return the version."""
        with self._writing(name):
            table = self._find(name)
            if table is None:
                return self._create(name, data, None)
            schema = fit_schema(name, None, data.schema)
            since = int(table.version())
            adds = self._write(name, since + 1, data, schema)
            with taken_back(self._folder(name) / _LOG, since, adds):
                table.create_write_transaction([*adds], "overwrite", Schema.from_arrow(schema))
            return self._flush_log(name, table, since)

    def compact(self, name: str) -> int:
        """Join small files without changing rows or their order, and return the version."""
        with self._writing(name):
            table = self._known(name)
            for run in small_runs(_files(table)):
                self._join(name, table, run)
                table = self._known(name)
            return int(table.version())

    def read(self, name: str, columns: Sequence[str] | None = None, version: int | None = None) -> ds.Dataset:
        """Return the rows of one version as a dataset that DuckDB and pyarrow scan lazily."""
        with self._named_errors(name):
            table = self._known(name)
            if version is not None and version != table.version():
                table = self._at(name, version, newest=int(table.version()))
            schema = _schema(table)
            if columns is not None:
                schema = pa.schema([schema.field(column) for column in check_columns(name, columns, schema)])
            files = _files(table)
            self._checker.check(name, self._folder(name), files)
            return open_dataset(self._folder(name), schema, files)

    def version(self, name: str) -> int | None:
        """Return the present version, or None."""
        with self._named_errors(name):
            table = self._find(name)
            return None if table is None else int(table.version())

    def names(self) -> list[str]:
        """Return the names of all tables, sorted."""
        found = []
        for folder, below, _ in os.walk(self._root):
            if _LOG in below:
                found.append(Path(folder).relative_to(self._root).as_posix())
                below.clear()
        return sorted(found)

    def _folder(self, name: str) -> Path:
        return self._root / check_table_name(name)

    def _find(self, name: str) -> DeltaTable | None:
        folder = self._folder(name)
        newest = self._manifest(name).newest()  # read first: a commit after it can only make the table newer
        if not any((folder / _LOG).glob("*.json")):
            if newest is not None:
                raise damaged(name, "its log is missing")
            return None
        table = DeltaTable(folder)
        if newest is not None and table.version() < newest:
            raise damaged(name, f"log entry {newest} is missing")
        return self._checked(name, table)

    def _known(self, name: str) -> DeltaTable:
        table = self._find(name)
        if table is None:
            raise absent(name, self.names())
        return table

    def _at(self, name: str, version: int, *, newest: int) -> DeltaTable:
        if not 0 <= version <= newest:
            raise NotFound(f"table {name!r} has no version {version}", hint=f"the newest is {newest}")
        return self._checked(name, DeltaTable(self._folder(name), version=version))

    def _checked(self, name: str, table: DeltaTable) -> DeltaTable:
        recorded = self._manifest(name).digest(int(table.version()))
        if recorded is not None and recorded != _state(table):
            raise damaged(name, f"its log does not tell what was committed as version {table.version()}")
        return table

    def _manifest(self, name: str) -> Manifest:
        return Manifest(self._folder(name) / _MANIFEST)

    def _write(
        self, name: str, version: int, data: pa.Table | pa.RecordBatchReader, schema: pa.Schema
    ) -> list[AddAction]:
        return write_files(self._folder(name), f"{version:010d}", fit_batches(name, data, schema), data_change=True)

    def _create(self, name: str, data: pa.Table | pa.RecordBatchReader, app: tuple[str, int] | None) -> int:
        folder = self._folder(name)
        schema = fit_schema(name, None, data.schema)
        adds = self._write(name, 0, data, schema)
        with taken_back(folder / _LOG, -1, adds):
            create_table_with_add_actions(
                str(folder),
                Schema.from_arrow(schema),
                adds,
                name=name,
                configuration=_CONFIGURATION,
                commit_properties=_properties(app),
            )
        for parent in [folder, *folder.parents[: len(Path(name).parts)]]:
            flush_folder(parent)
        return self._flush_log(name, DeltaTable(folder), -1)

    def _commit(
        self, table: DeltaTable, name: str, adds: list[AddAction], schema: pa.Schema, app: tuple[str, int] | None
    ) -> int:
        delta = Schema.from_arrow(schema)
        known = set(_schema(table).names)
        new = [field for field in delta.fields if field.name not in known]
        since = int(table.version())
        with taken_back(self._folder(name) / _LOG, since, adds):
            if new:  # a commit of its own that adds no row: a crash after it leaves the same table with empty columns
                table.alter.add_columns(new)
                table.update_incremental()
            table.create_write_transaction([*adds], "append", delta, commit_properties=_properties(app))
        return self._flush_log(name, table, since)

    def _join(self, name: str, table: DeltaTable, run: list[DataFile]) -> None:
        folder = self._folder(name)
        self._checker.check(name, folder, run)  # or damage would get a digest of its own
        schema = _schema(table)
        batches = iter(open_dataset(folder, schema, run).to_batches())
        since = int(table.version())
        adds = write_files(folder, compacted_place(run, since + 1), batches, data_change=False)
        now_ms = max(add.modification_time for add in adds)
        removes = [
            RemoveAction(file, data_change=False, deletion_timestamp=now_ms, size=size, partition_values={})
            for file, size in run
        ]
        with taken_back(folder / _LOG, since, adds):
            table.create_write_transaction([*adds, *removes], "append", Schema.from_arrow(schema))
        self._flush_log(name, table, since)

    def _flush_log(self, name: str, table: DeltaTable, since: int) -> int:
        """Make the commits after a version durable, write down what the table holds, and return its version."""
        table.update_incremental()
        version = int(table.version())
        log = self._folder(name) / _LOG
        with os.scandir(log) as entries:
            new = [entry.path for entry in entries if entry.name > f"{since:020d}.~"]  # checkpoints among them
        for path in new:
            flush_path(Path(path))
        flush_folder(log)
        self._manifest(name).record(version, _state(table))
        return version

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        folder = self._folder(name)
        locks = self._root / ".locks"
        with self._named_errors(name):
            locks.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(locks / name.replace("/", "%"), f"table {name!r}", wait=True):
                for parent in list(Path(name).parents)[:-1]:
                    if (self._root / parent / _LOG).is_dir():
                        raise InputError(f"table {name!r} would lie inside table {parent.as_posix()!r}")
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                yield

    @contextmanager
    def _named_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError) as error:
            if os.strerror(errno.ENOSPC) in str(error):  # delta-rs gives no error number
                raise failure(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), f"table {name!r}") from error
            if isinstance(error, OSError):
                raise failure(error, f"table {name!r}") from error
            raise damaged(name, str(error).partition("\n")[0]) from error


def _schema(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _files(table: DeltaTable) -> list[DataFile]:
    """Return path and size of the data files, in the order of their commits."""
    actions = pa.table(table.get_add_actions(flatten=True))
    return sorted(zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True))


def _state(table: DeltaTable) -> str:
    return state_digest(table.schema().to_json(), _files(table))


def _properties(app: tuple[str, int] | None) -> CommitProperties:
    return CommitProperties(app_transactions=[] if app is None else [Transaction(app[0], app[1])])
