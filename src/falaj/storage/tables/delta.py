"""Tables as Delta Lake folders on the local disk.

The Parquet files are written here and only committed through delta-rs, for three reasons: the bytes are on the disk
before the log names them; each file bears the digest of its bytes, so that damage is seen and named; and the log holds
no column's least and greatest value, which would outlive the erasure of a person.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from falaj.kernel.digest import digest_file
from falaj.kernel.errors import CorruptionError, InputError, NotFound
from falaj.storage.disk import failure, flush_file, flush_folder
from falaj.storage.filelock import FileLock
from falaj.storage.tables.conform import absent, check_columns, check_table_name, fit_batches, fit_schema

FILE_BYTES = 256 << 20
SMALL_BYTES = 32 << 20
_ROW_GROUP = 128 * 1024
_LOG = "_delta_log"
_OWN_FILE = re.compile(r".*-([0-9a-f]{64})\.parquet")
_CONFIGURATION = {"delta.enableExpiredLogCleanup": "false"}  # else versions that datasets pin could not be read again


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
        self._checked: dict[str, tuple[int, int]] = {}

    def append(self, name: str, data: pa.Table | pa.RecordBatchReader, *, app: tuple[str, int] | None = None) -> int:
        """Add the rows in one atomic, durable commit and return the table's version."""
        with self._writing(name):
            table = self._find(name)
            if table is not None and app is not None:
                recorded = table.transaction_version(app[0])
                if recorded is not None and recorded >= app[1]:
                    return int(table.version())
            present = None if table is None else pa.schema(table.schema().to_arrow())
            schema = fit_schema(name, present, data.schema)
            version = -1 if table is None else int(table.version())
            adds = self._write_files(name, f"{version + 1:010d}", data, schema)
            if table is not None and not adds and app is None and schema == present:
                return version
            return self._commit(name, table, adds, schema, app)

    def overwrite(self, name: str, data: pa.Table | pa.RecordBatchReader) -> int:
        """Replace rows and columns in one atomic, durable commit and return the version."""
        with self._writing(name):
            table = self._find(name)
            schema = fit_schema(name, None, data.schema)
            version = -1 if table is None else int(table.version())
            adds = self._write_files(name, f"{version + 1:010d}", data, schema)
            if table is None:
                return self._commit(name, None, adds, schema, None)
            table.create_write_transaction([*adds], "overwrite", Schema.from_arrow(schema))
            return self._flush_log(name)

    def compact(self, name: str) -> int:
        """Join small files without changing rows or their order, and return the version."""
        with self._writing(name):
            table = self._known(name)
            for run in _small_runs(self._files(table)):
                self._check_files(name, run)  # or damage would get a digest of its own
                schema = pa.schema(table.schema().to_arrow())
                rows = self._dataset(name, schema, [file for file, _ in run]).scanner().to_reader()
                place = f"{run[0][0][:15]}-c{int(table.version()) + 1:010d}"  # sorts where its first file did
                adds = self._write_files(name, place, rows, schema, data_change=False)
                now_ms = max(add.modification_time for add in adds)
                removes = [
                    RemoveAction(file, data_change=False, deletion_timestamp=now_ms, size=size, partition_values={})
                    for file, size in run
                ]
                table.create_write_transaction([*adds, *removes], "append", Schema.from_arrow(schema))
                self._flush_log(name)
                table = self._known(name)
            return int(table.version())

    def read(self, name: str, columns: Sequence[str] | None = None, version: int | None = None) -> ds.Dataset:
        """Return the rows of one version as a dataset that DuckDB and pyarrow scan lazily."""
        with self._named_errors(name):
            table = self._known(name)
            if version is not None and version != table.version():
                table = self._at(name, version, newest=int(table.version()))
            schema = pa.schema(table.schema().to_arrow())
            if columns is not None:
                schema = pa.schema([schema.field(column) for column in check_columns(name, columns, schema)])
            files = self._files(table)
            self._check_files(name, files)
            return self._dataset(name, schema, [file for file, _ in files])

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
        if not (folder / _LOG).is_dir():
            return None
        try:
            return DeltaTable(folder)
        except TableNotFoundError:
            if any((folder / _LOG).glob("*.json")):
                raise
            return None  # the first commit was cut off before its log entry

    def _known(self, name: str) -> DeltaTable:
        table = self._find(name)
        if table is None:
            raise absent(name, self.names())
        return table

    def _at(self, name: str, version: int, *, newest: int) -> DeltaTable:
        folder = self._folder(name)
        if not 0 <= version <= newest:
            raise NotFound(f"table {name!r} has no version {version}", hint=f"the newest is {newest}")
        return DeltaTable(folder, version=version)

    def _files(self, table: DeltaTable) -> list[tuple[str, int]]:
        """Return path and size of the data files, in the order of their commits."""
        actions = pa.table(table.get_add_actions(flatten=True))
        return sorted(zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True))

    def _dataset(self, name: str, schema: pa.Schema, files: list[str]) -> ds.Dataset:
        system = pyarrow.fs.SubTreeFileSystem(str(self._folder(name)), pyarrow.fs.LocalFileSystem())
        form = ds.ParquetFileFormat()
        fragments = [form.make_fragment(file, filesystem=system) for file in files]
        return ds.FileSystemDataset(fragments, schema, form, system)

    def _write_files(
        self, name: str, place: str, data: pa.Table | pa.RecordBatchReader, schema: pa.Schema, *,
        data_change: bool = True,
    ) -> list[AddAction]:  # fmt: skip
        folder = self._folder(name)
        adds: list[AddAction] = []
        batches = (batch for batch in fit_batches(name, data, schema) if batch.num_rows)
        batch = next(batches, None)
        while batch is not None:
            temporary = folder / f".incoming-{place}"
            rows = 0
            with pq.ParquetWriter(temporary, batch.schema, compression="zstd", write_page_checksum=True) as writer:
                while batch is not None and writer.file_handle.tell() < FILE_BYTES:
                    rows += batch.num_rows
                    writer.write_batch(batch, row_group_size=_ROW_GROUP)
                    batch = next(batches, None)
            adds.append(_finish_file(temporary, f"{place}-{len(adds):04d}", rows, data_change=data_change))
        flush_folder(folder)
        return adds

    def _commit(
        self,
        name: str,
        table: DeltaTable | None,
        adds: list[AddAction],
        schema: pa.Schema,
        app: tuple[str, int] | None,
    ) -> int:
        properties = CommitProperties(app_transactions=[] if app is None else [Transaction(app[0], app[1])])
        delta = Schema.from_arrow(schema)
        if table is None:
            folder = self._folder(name)
            create_table_with_add_actions(
                str(folder), delta, adds, name=name, configuration=_CONFIGURATION, commit_properties=properties
            )
            for parent in [folder, *folder.parents[: len(Path(name).parts)]]:
                flush_folder(parent)
            return self._flush_log(name)
        known = set(pa.schema(table.schema().to_arrow()).names)
        new = [field for field in delta.fields if field.name not in known]
        if new:  # a commit of its own that adds no row: a crash after it leaves the same table with empty columns
            table.alter.add_columns(new)
            table = self._known(name)
        table.create_write_transaction([*adds], "append", delta, commit_properties=properties)
        return self._flush_log(name)

    def _flush_log(self, name: str) -> int:
        version = int(self._known(name).version())
        log = self._folder(name) / _LOG
        fd = os.open(log / f"{version:020d}.json", os.O_RDONLY)
        try:
            flush_file(fd)
        finally:
            os.close(fd)
        flush_folder(log)
        return version

    def _check_files(self, name: str, files: list[tuple[str, int]]) -> None:
        folder = self._folder(name)
        unchecked = []
        for file, size in files:
            path = folder / file
            try:
                found = path.stat()
            except FileNotFoundError:
                raise _damaged(name, f"data file {file} is missing") from None
            if found.st_size != size:
                raise _damaged(name, f"data file {file} has {found.st_size} bytes instead of {size}")
            if self._checked.get(str(path)) != (found.st_size, found.st_mtime_ns):
                unchecked.append((path, (found.st_size, found.st_mtime_ns)))
        with ThreadPoolExecutor(max_workers=4) as pool:
            for (path, state), digest in zip(unchecked, pool.map(digest_file, [p for p, _ in unchecked]), strict=True):
                own = _OWN_FILE.fullmatch(path.name)  # delta-rs's own rewrites bear no digest
                if own is not None and digest != own[1]:
                    raise _damaged(name, f"data file {path.name} does not have the bytes of its digest")
                self._checked[str(path)] = state

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        folder = self._folder(name)
        locks = self._root / ".locks"
        with self._named_errors(name):
            locks.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(locks / name.replace("/", "%"), f"table {name!r}", wait=True):
                for parent in Path(name).parents[:-1]:
                    if (self._root / parent / _LOG).is_dir():
                        raise InputError(f"table {name!r} would lie inside table {parent.as_posix()!r}")
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                yield

    @contextmanager
    def _named_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except DeltaError as error:
            if "No space left" in str(error):
                raise failure(OSError(28, "No space left on device"), f"table {name!r}") from error
            raise _damaged(name, str(error)) from error
        except pa.ArrowInvalid as error:
            raise _damaged(name, str(error)) from error
        except OSError as error:
            raise failure(error, f"table {name!r}") from error


def _finish_file(temporary: Path, prefix: str, rows: int, *, data_change: bool) -> AddAction:
    fd = os.open(temporary, os.O_RDONLY)
    try:
        flush_file(fd)
    finally:
        os.close(fd)
    path = temporary.with_name(f"{prefix}-{digest_file(temporary)}.parquet")
    temporary.replace(path)
    found = path.stat()
    return AddAction(
        path.name, found.st_size, {}, found.st_mtime_ns // 1_000_000, data_change, json.dumps({"numRecords": rows})
    )


def _small_runs(files: list[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    """Give the stretches of neighbouring small files that are worth joining."""
    run: list[tuple[str, int]] = []
    for file in [*files, ("", SMALL_BYTES)]:
        if file[1] < SMALL_BYTES and sum(size for _, size in run) < FILE_BYTES // 2:
            run.append(file)
            continue
        if len(run) > 1:
            yield run
        run = [file] if file[1] < SMALL_BYTES else []


def _damaged(name: str, finding: str) -> CorruptionError:
    return CorruptionError(
        f"table {name!r} is damaged: {finding}", hint="restore its folder from a backup; it is not used as it is"
    )
