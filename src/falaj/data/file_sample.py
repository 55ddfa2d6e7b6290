"""File sample: the first rows of a source's files, so that a definition that could take none is not put in force."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from falaj.data.batch_file import batch_files
from falaj.data.convert import convert_rows
from falaj.data.schema import check_header, open_batch_file
from falaj.definitions.source import Csv, Source
from falaj.kernel.errors import DataError

_MOST_FILES = 5
_MOST_ROWS = 1_000


def refuse_unusable(source: Source, schema: Mapping[str, str], folder: Path) -> None:
    """Return unless every row of the source's files that are there now would be refused.

    Args:
        source: The definition.
        schema: Column to dtype.
        folder: The project's folder.

    Raises:
        DataError: No file has the columns in their types, or of a column no value of the first files is of its type.
    """
    if source.batch is None:
        return
    try:
        files = batch_files(source, folder)
    except DataError:
        return  # there is nothing to be seen yet
    samples, errors = [], []
    for path in files:
        try:
            samples.append((path, _first_rows(source, schema, path)))
        except DataError as error:
            errors.append(error)
        if len(samples) == _MOST_FILES:
            break
    if not samples:
        what = "its file cannot" if len(files) == 1 else f"none of its {len(files)} files can"
        raise DataError(
            f"source {source.name!r}: {what} be taken: {errors[0].message}",
            hint="declare the columns as the files have them, or write the files anew",
        )
    _refuse_unreadable(source, schema, samples)


def _first_rows(source: Source, schema: Mapping[str, str], path: Path) -> pa.RecordBatch | None:
    """Return the first values of the columns whose type the header does not settle; None without any."""
    file = open_batch_file(source, path)
    check_header(source, schema, path, file.header())
    text = isinstance(source.batch, Csv)
    unsettled = [name for name, dtype in schema.items() if dtype == "timestamp" or (text and dtype != "string")]
    batches = file.batches(unsettled) if unsettled else iter(())
    first = next((batch for batch in batches if batch.num_rows), None)
    return None if first is None else first.slice(0, _MOST_ROWS)


def _refuse_unreadable(
    source: Source, schema: Mapping[str, str], samples: list[tuple[Path, pa.RecordBatch | None]]
) -> None:
    good: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    example: dict[str, tuple[Path, object]] = {}
    for path, rows in samples:
        if rows is None:
            continue
        types = {name: schema[name] for name in rows.schema.names}
        read, unreadable = convert_rows(types, rows, text=isinstance(source.batch, Csv))
        for name in types:
            good[name] += read.num_rows - read.column(name).null_count
        for name, mask in unreadable.items():
            bad[name] += pc.sum(mask).as_py()
            example.setdefault(name, (path, rows.column(name).filter(mask)[0].as_py()))
    for name in bad:
        if not good[name]:
            path, value = example[name]
            raise DataError(
                f"source {source.name!r}: column {name!r} is to be {schema[name]}, and none of the first {bad[name]:,} "
                f"values is, such as {value!r} in {path}",
                hint="name another column, declare another type in the source's schema, or write the files anew",
            )
