"""Checked rows: a table held against checks by whoever has one, by the rules that hold for what enters a source."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from falaj.data.columns import ARROW_TYPES
from falaj.data.quality import Rules
from falaj.definitions.check import Check
from falaj.definitions.source import Push, Source
from falaj.kernel.errors import DataError
from falaj.kernel.names import did_you_mean


def check_rows(what: str, rows: pa.Table, checks: Sequence[Check]) -> dict[str, int]:
    """Return, by reason, how many rows the checks with severity "warn" find.

    Args:
        what: What is checked, for messages.
        rows: With the columns that the checks name.
        checks: The checks.

    Raises:
        DataError: Rows fail a check with severity "reject", or one names no column of the table.

    Example:
        >>> from falaj.definitions import check
        >>> check_rows("it", pa.table({"amount": [5.0, 50.0]}), [check.between("amount", 0, 10, severity="warn")])
        {'amount is not between 0 and 10': 1}
    """
    if not checks:
        return {}
    dtypes = {one.column: _dtype(what, one.column, rows) for one in checks}
    columns = {name: rows.column(name).cast(ARROW_TYPES[dtype]) for name, dtype in dtypes.items()}
    judged = Rules(Source("rows", stream=Push(), schema=dtypes, checks=list(checks)), dtypes).judge(pa.table(columns))
    failed = pc.sum(judged.rejected).as_py() or 0
    if failed:
        reasons = sorted({reason for reasons in judged.reasons for reason in reasons})
        raise DataError(
            f"{what}: {failed:,} of {rows.num_rows:,} rows fail a check: {'; '.join(reasons)}",
            hint="correct the rows, or give the check severity='warn'",
        )
    return judged.warnings


def _dtype(what: str, name: str, rows: pa.Table) -> str:
    if name not in rows.column_names:
        raise DataError(f"{what} has no column {name!r}", hint=did_you_mean(name, rows.column_names))
    kind = rows.schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    for found, dtype in (
        (pa.types.is_integer, "int64"),
        (pa.types.is_floating, "float64"),
        (pa.types.is_decimal, "float64"),
        (pa.types.is_boolean, "bool"),
        (pa.types.is_timestamp, "timestamp"),
    ):
        if found(kind):
            return dtype
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "string"
    raise DataError(f"{what}: column {name!r} is of type {kind}, which no check judges", hint="check another column")
