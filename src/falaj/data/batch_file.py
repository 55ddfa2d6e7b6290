"""Batch files: which ones a source names, and what all formats offer."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from falaj.definitions.source import Source
from falaj.kernel.errors import DataError
from falaj.storage.disk import failure


class BatchFile(Protocol):
    """One file of rows with named columns."""

    text: bool
    """Whether its values are text that has yet to be read as numbers and instants."""

    def header(self) -> dict[str, pa.DataType]:
        """Return column to type; for text, the type that the first few megabytes suggest.

        Raises:
            DataError: The file is empty, damaged or has no usable header; the message names it.
        """
        ...

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Give the rows of those columns in bounded batches, in the file's order.

        Raises:
            DataError: The file is damaged; the message names it.
        """
        ...

    def malformed(self) -> list[tuple[str, str]]:
        """Return reason and text of the lines that are not rows, once `batches` has been read to its end."""
        ...


def batch_pattern(source: Source, folder: Path) -> Path:
    """Return the absolute pattern of the source's files.

    Raises:
        DataError: The source has no batch.
    """
    if source.batch is None:
        raise DataError(
            f"source {source.name!r} has no files: it declares no batch",
            hint="add batch=fj.Parquet('data/*.parquet'), or push its events",
        )
    return Path(os.path.normpath(folder.absolute() / source.batch.path))


def batch_files(source: Source, folder: Path) -> list[Path]:
    """Return the files that the source's pattern matches, sorted.

    Raises:
        DataError: None matches; the message has the whole pattern.
    """
    pattern = batch_pattern(source, folder)
    relative = pattern.relative_to(pattern.anchor)
    found = sorted(path for path in Path(pattern.anchor).glob(str(relative)) if path.is_file())
    if not found:
        raise DataError(
            f"source {source.name!r}: no file matches {pattern}",
            hint="put the files there, or correct the path in the source's batch",
        )
    return found


def shown(path: Path, folder: Path) -> str:
    """Return the path as tables and reports show it: relative to the project where it lies in it.

    Example:
        >>> shown(Path("/p/data/a.csv"), Path("/p"))
        'data/a.csv'
    """
    absolute = folder.absolute()
    return path.relative_to(absolute).as_posix() if path.is_relative_to(absolute) else path.as_posix()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what a reader says of a bad file into one error that names it.

    Raises:
        DataError: The file is absent, damaged, or not of its format.
        StorageError: The disk failed.
    """
    try:
        yield
    except FileNotFoundError:
        raise DataError(
            f"file {path} does not exist", hint="it was there when the source's files were listed"
        ) from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, EOFError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    except OSError as error:
        if error.errno is None:  # Arrow raises it without a number where the bytes, not the disk, are bad
            raise _unreadable(path, error) from None
        raise failure(error, f"cannot read file {path}") from error


def refuse_empty(path: Path) -> None:
    """Check that the file has bytes.

    Raises:
        DataError: It has none.
    """
    if path.stat().st_size == 0:
        raise DataError(f"file {path} is empty", hint="write it again, or take it away")


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    return DataError(f"file {path} is damaged or not of its format: {reason}", hint="write it again, or take it away")
