"""Quality: a source's checks, compiled to one pass of masks over its rows."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from falaj.data.columns import ARROW_TYPES
from falaj.definitions.check import Check
from falaj.definitions.source import Source
from falaj.kernel.errors import DataError
from falaj.kernel.names import did_you_mean

FIRST_US = -62_135_596_800_000_000
LAST_US = 253_402_300_799_999_999
"""The instants of the years 1 to 9999: what Python, JSON and every table can name."""

Fails = Callable[[pa.Array, pa.Array | None], pa.BooleanArray]
NO = pa.scalar(value=False)


@dataclass(frozen=True)
class Judged:
    """What the checks say of some rows.

    Attributes:
        rejected: Boolean array, one per row.
        reasons: For each rejected row, in order, why.
        warnings: Reason to number of rows that a warning check found, the rejected ones included.
    """

    rejected: pa.BooleanArray
    reasons: list[list[str]]
    warnings: dict[str, int] = field(default_factory=dict)

    @property
    def accepted(self) -> pa.BooleanArray:
        """The rows that may enter, as a boolean array."""
        return pc.invert(self.rejected)


class Rules:
    """The checks of a source, bound to its column types.

    Besides the declared ones there are three that every source has: a value must be of its column's type, a source
    with a timestamp has one in every row, and one with an `id` has that too.

    Args:
        source: The definition.
        schema: Column to dtype.

    Raises:
        DataError: A check names a column that does not exist, or one of a type that it cannot judge.

    Example:
        >>> from falaj.definitions import check
        >>> from falaj.definitions.source import Push
        >>> tx = Source("tx", stream=Push(), schema={"amount": "float64"}, checks=[check.between("amount", 0, 10)])
        >>> judged = Rules(tx, {"amount": "float64"}).judge(pa.table({"amount": [5.0, 11.0, None, float("nan")]}))
        >>> judged.rejected.to_pylist(), judged.reasons[0]
        ([False, True, False, True], ['amount is not between 0 and 10'])
    """

    def __init__(self, source: Source, schema: Mapping[str, str]) -> None:
        self._source = source
        self._schema = dict(schema)
        self._checks = [(check, _compile(source, check, schema)) for check in source.checks]

    @property
    def unique_columns(self) -> list[str]:
        """The columns whose duplicated values `judge` has to be told for a file that comes in pieces."""
        return sorted({check.column for check, _ in self._checks if check.rule == "unique"})

    def judge(
        self,
        rows: pa.Table,
        unreadable: Mapping[str, pa.BooleanArray] | None = None,
        duplicates: Mapping[str, pa.Array] | None = None,
    ) -> Judged:
        """Judge rows.

        Args:
            rows: The source's own columns in their types.
            unreadable: For some columns, which rows held something that is not of the column's type.
            duplicates: For each of `unique_columns` the values that stand more than once in the whole file; taken
                from these rows by default.
        """
        columns = {name: _joined(rows.column(name)) for name in self._schema}
        failed = self._structural(columns, unreadable or {})
        warnings: dict[str, int] = {}
        for check, fails in self._checks:
            column = columns[check.column]
            twice = None
            if check.rule == "unique":
                twice = duplicated(column) if duplicates is None else duplicates[check.column]
            mask = pc.fill_null(fails(column, twice), NO)
            if check.severity == "reject":
                failed.append((check.reason, mask))
            elif count := pc.sum(mask).as_py():
                warnings[check.reason] = warnings.get(check.reason, 0) + count
        rejected = _any(mask for _, mask in failed) if failed else pa.repeat(NO, rows.num_rows)
        return Judged(rejected, _reasons(failed, rejected), warnings)

    def _structural(
        self, columns: Mapping[str, pa.Array], unreadable: Mapping[str, pa.BooleanArray]
    ) -> list[tuple[str, pa.BooleanArray]]:
        failed = [(not_of_type(name, self._schema[name]), mask) for name, mask in unreadable.items()]
        source = self._source
        for name in dict.fromkeys([source.timestamp, source.id]):
            if name is not None:
                null = pc.is_null(columns[name])
                if name in unreadable:  # then the sentence above says more
                    null = pc.and_not(null, unreadable[name])
                failed.append((f"{name} is null", null))
        for name in (source.timestamp, source.created):
            if name is not None:
                us = columns[name].cast(pa.int64())
                outside = pc.or_(pc.less(us, FIRST_US), pc.greater(us, LAST_US))
                failed.append((f"{name} is outside the years 1 to 9999", pc.fill_null(outside, NO)))
        return failed


def not_of_type(column: str, dtype: str) -> str:
    """Return the reason of a row whose value is not of its column's type."""
    return f"{column} is not of type {dtype}"


def duplicated(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the non-null values that stand there more than once.

    Example:
        >>> duplicated(pa.array([1, 2, 1, None, None])).to_pylist()
        [1]
    """
    counts = pc.value_counts(_joined(values).drop_null())
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def _compile(source: Source, check: Check, schema: Mapping[str, str]) -> Fails:
    dtype = schema.get(check.column)
    what = f"source {source.name!r}: check {check.rule}({check.column!r})"
    if dtype is None:
        raise DataError(f"{what}: there is no such column", hint=did_you_mean(check.column, schema))
    if check.rule == "between" and dtype not in ("int64", "float64"):
        raise DataError(f"{what} needs a number and the column is {dtype}", hint="check a numeric column")
    if check.rule == "matches" and dtype != "string":
        raise DataError(f"{what} needs text and the column is {dtype}", hint="check a string column")
    if check.rule == "in_set":
        return _in_set(_allowed(what, check, dtype))
    return _FAILS[check.rule](check.params)


def _not_null(_: Mapping[str, Any]) -> Fails:
    return lambda column, _twice: pc.is_null(column)


def _between(params: Mapping[str, Any]) -> Fails:
    def fails(column: pa.Array, _: pa.Array | None) -> pa.BooleanArray:
        inside = pc.and_(pc.greater_equal(column, params["low"]), pc.less_equal(column, params["high"]))
        return pc.invert(inside)  # NaN compares false, so it is outside; null stays null and passes

    return fails


def _matches(params: Mapping[str, Any]) -> Fails:
    pattern = re.compile(params["pattern"])

    def fails(column: pa.Array, _: pa.Array | None) -> pa.BooleanArray:
        # Python's own engine, since the definition was checked by it: Arrow's reads \d and lookaheads otherwise.
        texts = column.dictionary_encode()
        misses = pa.array([pattern.fullmatch(text) is None for text in texts.dictionary.to_pylist()], pa.bool_())
        return misses.take(texts.indices)

    return fails


def _unique(_: Mapping[str, Any]) -> Fails:
    return lambda column, twice: pc.is_in(column, value_set=twice)


def _in_set(allowed: pa.Array) -> Fails:
    return lambda column, _twice: pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, value_set=allowed)))


_FAILS: dict[str, Callable[[Mapping[str, Any]], Fails]] = {
    "not_null": _not_null,
    "between": _between,
    "matches": _matches,
    "unique": _unique,
}


def _allowed(what: str, check: Check, dtype: str) -> pa.Array:
    try:
        return pa.array(check.params["values"], ARROW_TYPES[dtype])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{what}: the values are not all {dtype}: {error}", hint="give values of the type") from None


def _any(masks: Any) -> pa.BooleanArray:
    found = None
    for mask in masks:
        found = mask if found is None else pc.or_(found, mask)
    return found


def _reasons(failed: list[tuple[str, pa.BooleanArray]], rejected: pa.BooleanArray) -> list[list[str]]:
    reasons: list[list[str]] = [[] for _ in range(pc.sum(rejected).as_py() or 0)]
    if reasons:
        for reason, mask in failed:
            for index, fails in enumerate(mask.filter(rejected).to_pylist()):
                if fails and reason not in reasons[index]:
                    reasons[index].append(reason)
    return reasons


def _joined(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
