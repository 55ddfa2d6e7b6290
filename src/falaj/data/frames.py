"""Frames: rows handed to an operation, in Parquet files of the state folder that live as long as the operation."""

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from falaj.data.content import plain_column
from falaj.kernel.errors import InputError, NotFound
from falaj.storage.disk import failure

_ID = re.compile(r"[0-9a-f]{32}")
_FORGOTTEN_S = 24 * 3600.0
"""What a killed process left is removed after so long."""


class Frames:
    """The frames of a project that are being worked on.

    Args:
        folder: Where their files are; only the project's owner can read it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def keep(self, rows: pa.RecordBatchReader) -> Iterator[str]:
        """Write rows down and give the name under which an operation finds them; they are gone afterwards.

        Raises:
            InputError: A column's type cannot be kept, or two columns have one name.
            DiskFull: No space is left.
        """
        name = secrets.token_hex(16)
        path = self._folder / f"{name}.parquet"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_rows(rows, path)
            self._forget_older(path.stat().st_mtime - _FORGOTTEN_S)
            yield name
        except OSError as error:
            raise failure(error, "cannot keep the frame") from error
        finally:
            path.unlink(missing_ok=True)
            self._progress(name).unlink(missing_ok=True)

    def open(self, name: str) -> pq.ParquetFile:
        """Return a frame's file.

        Raises:
            NotFound: There is no such frame (any more).
        """
        path = self._folder / f"{name}.parquet"
        if not _ID.fullmatch(name) or not path.is_file():  # anything else could name a file outside the folder
            raise NotFound(f"frame {name!r} does not exist", hint="frames end with the call that brought them")
        return pq.ParquetFile(path)

    def note_progress(self, name: str, done: int, rows: int) -> None:
        """Say how many rows of a frame have been worked on."""
        part = self._progress(name).with_suffix(".part")
        part.write_text(f"{done} {rows}", "ascii")
        part.replace(self._progress(name))

    def progress(self, name: str) -> tuple[int, int] | None:
        """Return how many rows of a frame have been worked on and how many there are; None before the first."""
        try:
            done, rows = self._progress(name).read_text("ascii").split()
        except FileNotFoundError:
            return None
        return int(done), int(rows)

    def _progress(self, name: str) -> Path:
        return self._folder / f"{name}.progress"

    def _forget_older(self, than: float) -> None:
        for path in self._folder.iterdir():
            if path.stat().st_mtime < than:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write_rows(rows: pa.RecordBatchReader, path: Path) -> None:
    """Write rows as Parquet, in types that Parquet has; columns of nulls stay columns of nulls."""
    names = rows.schema.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"the frame has two columns {twice[0]!r}", hint="rename one")
    schema = pa.schema(
        [pa.field(field.name, _kept(field.name, pa.chunked_array([], field.type)).type) for field in rows.schema]
    )
    try:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in rows:
                piece = pa.Table.from_batches([batch])
                columns = [_kept(name, column) for name, column in zip(names, piece.columns, strict=True)]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    except pa.ArrowException as error:
        raise InputError(f"the frame cannot be read: {error}", hint="correct it, or leave the column out") from None


def _kept(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column if pa.types.is_null(column.type) else plain_column(name, column)
