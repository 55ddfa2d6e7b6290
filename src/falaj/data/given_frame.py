"""Given frame: rows as people hold them (Arrow, pandas, Polars, Parquet), read as Arrow batches."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from falaj.kernel.errors import InputError

BATCH_ROWS = 100_000
_ACCEPTED = (
    "give an Arrow table, reader or dataset, a pandas or Polars data frame, Parquet files, or SQL text such as "
    "'SELECT card_id, ts AS event_timestamp FROM transactions'"
)


def is_frame(given: Any) -> bool:
    """Whether rows were given as a frame in memory: of Arrow, pandas, Polars, or whatever hands out an Arrow stream.

    Example:
        >>> is_frame(pa.table({"card_id": ["c1"]})), is_frame([{"card_id": "c1"}]), is_frame(pa.chunked_array([["c1"]]))
        (True, False, False)
    """
    if isinstance(given, pa.RecordBatch | ds.Dataset | ds.Scanner):
        return True
    name = type(given).__name__
    return name in ("DataFrame", "LazyFrame") or (
        hasattr(given, "__arrow_c_stream__") and name not in ("Series", "ChunkedArray")  # one column is no frame
    )


def open_frame(given: Any) -> pa.RecordBatchReader:
    """Return what was given as a reader of batches; what need not be in memory is not read into it.

    Args:
        given: An Arrow table, record batch, reader, dataset or scanner; a pandas or Polars data frame, or a Polars lazy
            frame; a column to its values; the path of a Parquet file or of a folder of them, or several paths; or
            whatever hands out an Arrow stream.

    Raises:
        InputError: It is none of these, its values have no one type, or a file cannot be read.

    Example:
        >>> open_frame({"card_id": ["c1", "c2"]}).read_all().num_rows
        2
    """
    try:
        return _reader(given)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"the frame cannot be read: {error}", hint=_ACCEPTED) from None


def _reader(given: Any) -> pa.RecordBatchReader:
    kind = f"{type(given).__module__.partition('.')[0]}.{type(given).__name__}"
    if isinstance(given, str | Path):
        return _files([given])
    if isinstance(given, list | tuple) and given and all(isinstance(one, str | Path) for one in given):
        return _files(given)
    if isinstance(given, Mapping):
        return pa.table(dict(given)).to_reader(BATCH_ROWS)
    if isinstance(given, ds.Dataset):
        return given.scanner(batch_size=BATCH_ROWS).to_reader()
    if isinstance(given, ds.Scanner):
        return given.to_reader()
    if isinstance(given, pa.RecordBatch):
        return pa.Table.from_batches([given]).to_reader()
    if kind == "pandas.DataFrame":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Arrow reads times in a way that pandas 3.1 regrets
            return pa.Table.from_pandas(given, preserve_index=False).to_reader(BATCH_ROWS)
    if kind == "polars.LazyFrame":
        return _lazy(given)
    if hasattr(given, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(given)
    raise InputError(f"a frame cannot be a {type(given).__name__}", hint=_ACCEPTED)


def _files(paths: Sequence[str | Path]) -> pa.RecordBatchReader:
    files: list[str] = []
    if "" in paths:  # an unset variable of a shell; as a path it would be the present folder
        raise InputError("the path of the frame is empty", hint=_ACCEPTED)
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path} does not exist", hint=_ACCEPTED)
        found = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not found or not found[0].is_file():
            raise InputError(f"{path} is no Parquet file, and no folder of them", hint=_ACCEPTED)
        files += map(str, found)
    if any(file.endswith((".csv", ".csv.gz", ".tsv")) for file in files):
        raise InputError(
            "a CSV file does not say its columns' types", hint="read it as a data frame, or convert it to Parquet"
        )
    _check_alike(files)
    return ds.dataset(files, format="parquet").scanner(batch_size=BATCH_ROWS).to_reader()


def _check_alike(files: Sequence[str]) -> None:
    """Refuse files of different columns: those that the first lacks would be dropped without a word."""
    first = set(pq.read_schema(files[0]).names)
    for file in files[1:]:
        if different := sorted(first.symmetric_difference(pq.read_schema(file).names)):
            raise InputError(
                f"of {files[0]} and {file} one has a column {different[0]!r} and the other has not",
                hint="give files of the same columns",
            )


def _lazy(given: Any) -> pa.RecordBatchReader:
    """Polars collects in pieces, so that a query over more than memory can be a frame."""
    if not hasattr(given, "collect_batches"):  # before Polars 1.34
        return pa.RecordBatchReader.from_stream(given.collect())
    schema = given.collect_schema().to_frame().to_arrow().schema

    def batches() -> Iterator[pa.RecordBatch]:
        for piece in given.collect_batches(maintain_order=True):
            yield from piece.to_arrow().cast(schema).to_batches(BATCH_ROWS)

    return pa.RecordBatchReader.from_batches(schema, batches())
