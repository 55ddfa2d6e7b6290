"""The Parquet files of a Delta table: written and flushed before the log names them, checked before they are read."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from falaj.kernel.digest import digest_file
from falaj.kernel.errors import CorruptionError
from falaj.storage.disk import flush_folder, flush_path

FILE_BYTES = 256 << 20
SMALL_BYTES = 32 << 20
_ROW_GROUP = 128 * 1024
_PLACE_LENGTH = len("0123456789-0123")
_OWN_FILE = re.compile(r".*-([0-9a-f]{64})\.parquet")

DataFile = tuple[str, int]
"""Path in the table's folder, size in bytes."""


def write_files(folder: Path, place: str, batches: Iterator[pa.RecordBatch], *, data_change: bool) -> list[AddAction]:
    """Write the rows to files that are durable when this returns, and return how the log adds them.

    Args:
        folder: The table's folder.
        place: How the names begin; files are read in the order of their names.
        batches: The rows.
        data_change: False when the rows were in the table before.
    """
    adds: list[AddAction] = []
    temporary = folder / f".incoming-{place}"
    whole = False
    try:
        filled = (batch for batch in batches if batch.num_rows)
        batch = next(filled, None)
        while batch is not None:
            rows = 0
            with pq.ParquetWriter(temporary, batch.schema, compression="zstd") as writer:
                while batch is not None and writer.file_handle.tell() < FILE_BYTES:
                    rows += batch.num_rows
                    writer.write_batch(batch, row_group_size=_ROW_GROUP)
                    batch = next(filled, None)
            adds.append(_finish(temporary, f"{place}-{len(adds):04d}", rows, data_change=data_change))
        flush_folder(folder)
        whole = True
    finally:
        if not whole:
            temporary.unlink(missing_ok=True)
            for add in adds:
                (folder / add.path).unlink(missing_ok=True)
    return adds


@contextmanager
def taken_back(log: Path, version: int, adds: list[AddAction]) -> Iterator[None]:
    """Remove the files when the commit that names them fails: on a full disk they would take the last room.

    Args:
        log: The folder of the log's entries.
        version: The table's version before the commit.
        adds: The files.
    """
    committed = False
    try:
        yield
        committed = True
    finally:
        if not committed:  # a failure may come after the entry was written: only what no entry names goes
            entries = [path.read_bytes() for path in log.glob("*.json") if int(path.stem) > version]
            for add in adds:
                if not any(add.path.encode() in entry for entry in entries):
                    (log.parent / add.path).unlink(missing_ok=True)


def _finish(temporary: Path, prefix: str, rows: int, *, data_change: bool) -> AddAction:
    flush_path(temporary)
    path = temporary.with_name(f"{prefix}-{digest_file(temporary)}.parquet")
    temporary.replace(path)
    found = path.stat()
    return AddAction(
        path=path.name,
        size=found.st_size,
        partition_values={},
        modification_time=found.st_mtime_ns // 1_000_000,
        data_change=data_change,
        stats=json.dumps({"numRecords": rows}),
    )


def open_dataset(folder: Path, schema: pa.Schema, files: list[DataFile]) -> ds.Dataset:
    """Return the files as one dataset; columns that a file lacks are null."""
    system = pyarrow.fs.SubTreeFileSystem(str(folder), pyarrow.fs.LocalFileSystem())
    form = ds.ParquetFileFormat()
    fragments = [form.make_fragment(name, filesystem=system) for name, _ in files]
    return ds.FileSystemDataset(fragments, schema, form, system)


def compacted_place(run: list[DataFile], version: int) -> str:
    """Return how the joined file's name begins, so that it is read where its first file was."""
    return f"{run[0][0][:_PLACE_LENGTH]}-c{version:010d}"


def small_runs(files: list[DataFile]) -> Iterator[list[DataFile]]:
    """Give the stretches of neighbouring small files that are worth joining.

    Example:
        >>> list(small_runs([("a", 1), ("b", 1), ("c", SMALL_BYTES), ("d", 1)]))
        [[('a', 1), ('b', 1)]]
    """
    run: list[DataFile] = []
    for file in [*files, ("", SMALL_BYTES)]:
        small = file[1] < SMALL_BYTES
        if small and sum(size for _, size in run) < FILE_BYTES // 2:
            run.append(file)
            continue
        if len(run) > 1:
            yield run
        run = [file] if small else []


class FileChecker:
    """Compares data files with the digests in their names, once per process and change."""

    def __init__(self) -> None:
        self._checked: dict[Path, tuple[int, int]] = {}

    def check(self, name: str, folder: Path, files: list[DataFile]) -> None:
        """Check the files of a table.

        Raises:
            CorruptionError: One is absent, or does not have the size or the bytes it was committed with.
        """
        unchecked: list[tuple[Path, tuple[int, int]]] = []
        for file, size in files:
            path = folder / file
            try:
                found = path.stat()
            except FileNotFoundError:
                raise damaged(name, f"data file {file} is missing") from None
            if found.st_size != size:
                raise damaged(name, f"data file {file} has {found.st_size} bytes instead of {size}")
            state = (found.st_size, found.st_mtime_ns)
            if self._checked.get(path) != state:
                unchecked.append((path, state))
        if unchecked:
            self._compare(name, unchecked)

    def _compare(self, name: str, unchecked: list[tuple[Path, tuple[int, int]]]) -> None:
        with ThreadPoolExecutor(max_workers=4) as pool:
            digests = pool.map(digest_file, [path for path, _ in unchecked])
            for (path, state), digest in zip(unchecked, digests, strict=True):
                own = _OWN_FILE.fullmatch(path.name)  # delta-rs's own rewrites bear no digest
                if own is not None and digest != own[1]:
                    raise damaged(name, f"data file {path.name} does not have the bytes of its digest")
                self._checked[path] = state


def damaged(name: str, finding: str) -> CorruptionError:
    """Return the error that names a damaged table."""
    return CorruptionError(
        f"table {name!r} is damaged: {finding}", hint="restore its folder from a backup; it is not used as it is"
    )
