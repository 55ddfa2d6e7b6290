"""IbisExpression: an Ibis expression as the SQL text that a definition keeps."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from falaj.kernel.clock import rfc3339
from falaj.kernel.errors import DefinitionError, ExtraMissing

_OFFSET = re.compile(r"UTC([+-])(\d\d):(\d\d)")
_IBIS_TYPES = {"string": "string", "int64": "int64", "float64": "float64", "bool": "boolean", "timestamp": "timestamp"}


def is_ibis(given: Any) -> bool:
    """Return whether a transform is given as an Ibis expression, or as a function of a table."""
    return not isinstance(given, str) and (type(given).__module__.partition(".")[0] == "ibis" or callable(given))


def sql_of(given: Any, schema: Mapping[str, str], field: str) -> str:
    """Return an Ibis expression of a row as SQL text.

    Args:
        given: A deferred expression like `ibis._.amount / 100`, or a function of a table that returns a column.
        schema: The declared types of the source's columns, which Ibis needs.
        field: The name used in the error.

    Raises:
        DefinitionError: The source declares no types, or the expression is not one of a row.
        ExtraMissing: Ibis is not installed.
    """
    try:
        import ibis  # here: an extra, which only definitions that use it need
        from ibis.common.exceptions import IbisError
    except ImportError:
        raise ExtraMissing(
            f"{field} is an Ibis expression, and Ibis is absent", hint="pip install 'falaj[ibis]'"
        ) from None
    if not schema:
        raise DefinitionError(
            f"{field} is an Ibis expression, and its source declares no column types",
            hint="add schema={...} to the source, or write the transform as SQL text",
        )
    table = ibis.table({name: _IBIS_TYPES[dtype] for name, dtype in schema.items()}, name="rows")
    try:
        resolved = given.resolve(table) if hasattr(given, "resolve") else given(table)
        statement = ibis.to_sql(table.select(value=resolved), dialect="duckdb")
    except (IbisError, AttributeError, TypeError, ValueError) as error:
        raise DefinitionError(
            f"{field} is not an Ibis expression of a row: {str(error).splitlines()[0]:.200}",
            hint="write something like ibis._.amount / 100",
        ) from None
    return _selected(statement, field)


def _selected(statement: str, field: str) -> str:
    """Return the text of the one column that a statement selects."""
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(statement, dialect="duckdb")
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or tree.find(exp.AggFunc, exp.Window, exp.Join):
        raise DefinitionError(
            f"{field} is not an Ibis expression of one row", hint="aggregate with fj.sum, fj.count, ..."
        )
    value = tree.expressions[0].unalias()
    for column in value.find_all(exp.Column):
        column.set("table", None)
    if value.find(exp.TimestampFromParts):
        raise _no_instant(field)
    text: str = value.transform(_instants_as_texts, field).sql(dialect="duckdb")
    return text


def _instants_as_texts(node: Any, field: str) -> Any:
    """Return the text of an instant that Ibis made of its parts; anything else as it is."""
    from sqlglot import exp

    if not isinstance(node, exp.Anonymous) or node.name.upper() != "MAKE_TIMESTAMPTZ":
        return node
    try:
        *parts, seconds, zone = (part.name for part in node.expressions)
        year, month, day, hour, minute = map(int, parts)
        second, microsecond = divmod(round(float(seconds) * 1e6), 1_000_000)
        at = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=_zone(zone))
        return exp.Literal.string(rfc3339(at))
    except (TypeError, ValueError, KeyError, OverflowError):  # parts that are computed of the row among them
        raise _no_instant(field) from None


def _zone(name: str) -> tzinfo:
    offset = _OFFSET.fullmatch(name)
    if offset is None:
        return ZoneInfo(name)
    ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
    return timezone(ahead if offset[1] == "+" else -ahead)


def _no_instant(field: str) -> DefinitionError:
    return DefinitionError(
        f"{field} has an instant without a time zone, or one that is not written out",
        hint="give an aware datetime, such as datetime(2026, 1, 31, tzinfo=UTC)",
    )
