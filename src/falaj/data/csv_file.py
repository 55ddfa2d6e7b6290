"""CSV files, plain or gzip: every value is read as text first, so that a bad cell costs its row and not the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from falaj.data.batch_file import naming, refuse_empty
from falaj.kernel.errors import DataError

BLOCK_BYTES = 4 << 20
NULLS = ("", "NULL", "null", "NA", "N/A", "None")
"""What stands for null in columns that are not text; in text columns only the empty field does."""

_TYPES = (
    # Digits with a leading zero are names, not numbers: "007" and "7" are two customers.
    (pa.int64(), r"^-?(0|[1-9][0-9]{0,17})$"),
    (pa.float64(), r"^[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?([nN]a[nN]|[iI]nf(inity)?)$"),
    (pa.bool_(), r"^([tT]rue|[fF]alse|TRUE|FALSE)$"),
    (pa.timestamp("us", "UTC"), r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?([zZ]|[+-]\d\d(:?\d\d)?)?)?$"),
)


class CsvFile:
    """One CSV file with a header line.

    Args:
        path: The file; one that ends in `.gz` is unpacked while it is read.
        delimiter: One character.
    """

    text = True

    def __init__(self, path: Path, delimiter: str) -> None:
        self._path = path
        self._delimiter = delimiter
        self._malformed: list[tuple[str, str]] = []
        self._open_quote: int | None = None

    def header(self) -> dict[str, pa.DataType]:
        """Return column to the type that fits every value of the first block."""
        with naming(self._path):
            refuse_empty(self._path)
            with self._reader() as (reader, names):
                first = next(iter(reader), None)
            columns = [pa.nulls(0)] * len(names) if first is None else first.columns
            return {name: _suggested(column) for name, column in zip(names, columns, strict=True)}

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Give the rows as text, an empty field as null."""
        self._malformed = []
        with naming(self._path), self._reader() as (reader, names):
            for batch in reader:
                yield batch.rename_columns(names).select(columns)

    def malformed(self) -> list[tuple[str, str]]:
        """Return the lines with too few or too many fields."""
        return self._malformed

    @contextmanager
    def _reader(self) -> Iterator[tuple[pa.csv.CSVStreamingReader, list[str]]]:
        with self._open([]) as reader:
            written = list(reader.schema.names)
        names = [name or f"column_{place}" for place, name in enumerate(written, start=1)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(
                f"file {self._path}: its header has the column {twice[0]!r} twice",
                hint="give every column its own name",
            )
        self._malformed = []
        with self._open(written) as reader:
            yield reader, names

    @contextmanager
    def _open(self, columns: list[str]) -> Iterator[pa.csv.CSVStreamingReader]:
        options = pa.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES)
        parse, convert = self._parse_options(), _all_text(columns)
        self._open_quote = None
        try:
            with self._stream() as stream, pa.csv.open_csv(stream, options, parse, convert) as reader:
                yield reader
        except pa.ArrowInvalid:
            if self._open_quote is None:
                raise
            raise DataError(
                f"file {self._path}: the quoted text that begins in line {self._open_quote} never ends",
                hint="close the quote, or double the quotes inside the text",
            ) from None

    def _stream(self) -> pa.NativeFile:
        gzip = self._path.suffix == ".gz"
        return pa.input_stream(str(self._path), compression="gzip" if gzip else None)

    def _parse_options(self) -> pa.csv.ParseOptions:
        def set_aside(row: pa.csv.InvalidRow) -> str:
            if row.text.count('"') % 2:  # it has swallowed every line after it
                self._open_quote = row.number
                return "error"
            reason = f"the line has {row.actual_columns} fields and the header {row.expected_columns}"
            self._malformed.append((reason, row.text))
            return "skip"

        return pa.csv.ParseOptions(
            delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=set_aside, ignore_empty_lines=True
        )


def _all_text(names: list[str]) -> pa.csv.ConvertOptions:
    return pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,  # writers that tell them apart quote the empty text and not the null
        null_values=[""],
    )


def _suggested(column: pa.Array) -> pa.DataType:
    if pa.types.is_null(column.type):
        return column.type
    values = pc.utf8_trim_whitespace(column.drop_null())
    values = values.filter(pc.invert(pc.is_in(values, value_set=pa.array(NULLS))))
    if len(values) == 0:
        return pa.null()
    for kind, pattern in _TYPES:
        if pc.all(pc.match_substring_regex(values, pattern)).as_py():
            return kind
    return pa.string()
