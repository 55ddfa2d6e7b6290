"""Schema: the column types of a source, declared ones over those that its files have."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from falaj.data.batch_file import BatchFile, batch_files
from falaj.data.columns import RESERVED
from falaj.data.csv_file import CsvFile
from falaj.data.parquet_file import ParquetFile
from falaj.definitions.source import Csv, Source
from falaj.kernel.errors import DataError
from falaj.kernel.names import alike, did_you_mean


def source_schema(source: Source, folder: Path, kept: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return column to dtype: what the source declares, over what its files' headers say.

    A source whose declared schema names all that it needs has no need of files yet.

    Args:
        source: The definition.
        folder: The project's folder, to which the source's path is relative.
        kept: Column to dtype of the rows that are there. Those types stay, and a file that cannot be read beside them
            is not asked: ingesting refuses it, and it alone.

    Raises:
        DataError: No file matches, none can be read or holds a value, files disagree, a type is not supported, a column
            that the source's id, timestamp, created or checks name is absent, or capital letters alone tell two columns
            apart.
    """
    declared = dict(source.schema)
    missing = [column for column in needed_columns(source) if column not in declared]
    if source.batch is None:
        return _complete(source, declared, "its declared schema")
    try:
        files = batch_files(source, folder)
    except DataError:
        if missing or not declared:
            raise
        return _complete(source, declared, "its declared schema")
    found = _found(source, files, kept or {})
    seen = [dtype for column, dtype in found.items() if column not in {*declared, *instant_columns(source)}]
    if seen and not any(seen):
        raise DataError(
            f"source {source.name!r}: its files hold no value, so the types of its columns cannot be told",
            hint="put rows there, or declare the columns with schema={...}",
        )
    untyped = {column: dtype or "string" for column, dtype in found.items()}  # null in every row of every file
    return _complete(source, {**untyped, **declared}, str(files[0]))


def open_batch_file(source: Source, path: Path) -> BatchFile:
    """Return the reader of one of the source's files."""
    return CsvFile(path, source.batch.delimiter) if isinstance(source.batch, Csv) else ParquetFile(path)


def needed_columns(source: Source) -> list[str]:
    """Return the columns that the source cannot do without.

    Example:
        >>> from falaj.definitions.source import Parquet
        >>> needed_columns(Source("tx", batch=Parquet("x.parquet"), id="id", timestamp="at"))
        ['id', 'at']
    """
    own = (source.id, source.timestamp, source.created, *(check.column for check in source.checks))
    return list(dict.fromkeys(column for column in own if column is not None))


def instant_columns(source: Source) -> set[str]:
    """Return the columns that hold instants, whatever type a file gives them."""
    declared = {column for column, dtype in source.schema.items() if dtype == "timestamp"}
    return declared | ({source.timestamp or "", source.created or ""} - {""})


def file_dtype(source: Source, path: Path, column: str, kind: pa.DataType) -> str:
    """Return the dtype of a file's column, "" where every value seen is null.

    Raises:
        DataError: No column of a source can have that type.
    """
    types = pa.types
    if types.is_dictionary(kind):
        return file_dtype(source, path, column, kind.value_type)
    if types.is_null(kind):
        return "timestamp" if column in instant_columns(source) else ""
    if types.is_timestamp(kind) or types.is_date(kind):
        return "timestamp"
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    if column in instant_columns(source) and (text or types.is_integer(kind)):
        return "timestamp"
    if text:
        return "string"
    if types.is_boolean(kind):
        return "bool"
    if types.is_integer(kind):
        return "int64"
    if types.is_floating(kind) or types.is_decimal(kind):
        return "float64"
    raise DataError(
        f"source {source.name!r}: column {column!r} of {path} has type {kind}, which is not supported",
        hint="write it as a number, text, boolean or timestamp, or leave it out of the file",
    )


def check_header(source: Source, schema: Mapping[str, str], path: Path, header: Mapping[str, pa.DataType]) -> None:
    """Stop a file whose columns are not those of the schema; columns that the schema does not name are let be.

    Raises:
        DataError: A column is missing or of another type; the message has file, column, expected and got.
    """
    where = f"source {source.name!r}: file {path}"
    text = isinstance(source.batch, Csv)
    for column, expected in schema.items():
        if column not in header:
            raise DataError(
                f"{where}: column {column!r} is missing; expected {expected}, got nothing",
                hint=f"{did_you_mean(column, header)} Nothing of the file was ingested",
            )
        if text:
            continue  # a CSV's types are judged value by value
        got = file_dtype(source, path, column, header[column])
        if got not in ("", expected) and (got, expected) != ("int64", "float64"):
            raise DataError(
                f"{where}: column {column!r} has changed; expected {expected}, got {got} ({header[column]})",
                hint="write the file with the expected type; nothing of it was ingested",
            )


def _found(source: Source, files: list[Path], kept: Mapping[str, str]) -> dict[str, str]:
    """Return column to dtype as the files' headers and the rows that are there say, "" where no value was seen."""
    found: dict[str, str] = {}
    for path in files:
        try:
            found = _merged(source, found, path, kept)
        except DataError:
            if not kept or (path is files[-1] and not found):
                raise
    return found


def _merged(source: Source, before: Mapping[str, str], path: Path, kept: Mapping[str, str]) -> dict[str, str]:
    found = dict(before)
    for column, kind in open_batch_file(source, path).header().items():
        if column in RESERVED:
            raise DataError(
                f"source {source.name!r}: {path} has a column {column!r}, a name that tables of sources keep for "
                "themselves",
                hint="rename the column",
            )
        known = found.get(column, "")
        now = source.schema.get(column) or kept.get(column) or file_dtype(source, path, column, kind)
        if known and now and known != now:
            now = _common(source, column, known, now, path)
        found[column] = now or known
    return found


def _common(source: Source, column: str, before: str, now: str, path: Path) -> str:
    if {before, now} == {"int64", "float64"}:
        return "float64"
    if isinstance(source.batch, Csv):
        return "string"  # what is a number in one file and text in another is text
    raise DataError(
        f"source {source.name!r}: column {column!r} is {now} in {path} and {before} in the files before it",
        hint="write all files with one type",
    )


def _complete(source: Source, schema: dict[str, str], where: str) -> dict[str, str]:
    if both := alike(schema):
        raise DataError(
            f"source {source.name!r}: columns {both[0]!r} and {both[1]!r} differ in capital letters only, and SQL "
            "takes them for one",
            hint="rename one of them, or leave it out",
        )
    for column in needed_columns(source):
        if column not in schema:
            raise DataError(
                f"source {source.name!r} needs column {column!r}, which {where} does not have",
                hint=did_you_mean(column, schema),
            )
    for own in (source.timestamp, source.created):
        if own is not None and schema[own] != "timestamp":
            raise DataError(
                f"source {source.name!r}: column {own!r} is {schema[own]} and has to be a timestamp",
                hint="name another column, or write it as a timestamp, ISO text or whole epoch numbers",
            )
    return schema
