"""ExpressionSql: an expression as SQL text, with one meaning in every dialect.

Timestamps are whole microseconds since 1970 throughout, so that no engine's calendar or time zone has a say.
"""

from collections.abc import Callable

from falaj.definitions.expression import ARITHMETIC, COMPARISONS, Expression
from falaj.features.dialect import Dialect
from falaj.kernel.errors import Unsupported

_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000


def expression_sql(node: Expression, dialect: Dialect) -> str:
    """Return a bound expression as text.

    Args:
        node: The expression.
        dialect: The engine's way of saying things.

    Raises:
        Unsupported: The engine has no function of the same meaning.

    Example:
        >>> from falaj.definitions.expression import bind, parse
        >>> from falaj.features.dialect import DIALECTS
        >>> half = bind(parse("n / 2", field="x"), {"n": "int64"}, field="x")
        >>> print(expression_sql(half, DIALECTS["duckdb"]))
        (CAST("n" AS DOUBLE) / nullif(2.0e0, 0))
    """
    if node.op == "column":
        return dialect.quoted(node.value)
    if node.op == "literal":
        return dialect.literal(node.value, node.dtype)
    if node.op in dialect.without:
        raise Unsupported(
            f"{dialect.name} has no {node.op} of the same meaning", hint="use another engine or transform"
        )
    parts = [expression_sql(arg, dialect) for arg in node.args]
    if node.op in COMPARISONS and node.args[0].dtype == "float64" and not dialect.nan_is_greatest:
        return _comparison(node.op, parts, dialect)
    if node.op in ("to_int", "to_float") and node.args[0].dtype == "bool":
        return dialect.cast(dialect.whole_number(parts[0]), "int64" if node.op == "to_int" else "float64")
    if node.op in COMPARISONS or node.op in ("and", "or"):
        return f"({f' {node.op.upper()} '.join(parts)})"
    if node.op == "/":
        return f"({parts[0]} / nullif({parts[1]}, 0))"
    if node.op in ARITHMETIC:
        return f"({parts[0]} {node.op} {parts[1]})"
    write = _WRITTEN.get(node.op)
    return f"{node.op}({', '.join(parts)})" if write is None else write(parts, dialect)


def _case(parts: list[str], _dialect: Dialect) -> str:
    pairs = zip(parts[:-1:2], parts[1:-1:2], strict=True)
    return f"CASE {' '.join(f'WHEN {condition} THEN {value}' for condition, value in pairs)} ELSE {parts[-1]} END"


def _comparison(op: str, parts: list[str], dialect: Dialect) -> str:
    """Return a comparison of floats in which NaN equals itself and is above every number."""
    one, two = parts
    nans = dialect.is_nan(one), dialect.is_nan(two)
    ranks = [f"CASE WHEN {nan} THEN 1 ELSE 0 END" for nan in nans]
    return (
        f"CASE WHEN {one} IS NULL OR {two} IS NULL THEN NULL WHEN {nans[0]} OR {nans[1]} "
        f"THEN {ranks[0]} {op} {ranks[1]} ELSE {one} {op} {two} END"
    )


def _hour(parts: list[str], dialect: Dialect) -> str:
    return dialect.whole_division(dialect.floor_modulo(parts[0], _DAY_US), _HOUR_US)


def _weekday(parts: list[str], dialect: Dialect) -> str:
    # 1970-01-01 was a Thursday, the fourth day
    days = dialect.whole_division(f"({parts[0]} - {dialect.floor_modulo(parts[0], _DAY_US)})", _DAY_US)
    return f"({dialect.floor_modulo(f'({days} + 3)', 7)} + 1)"


_WRITTEN: dict[str, Callable[[list[str], Dialect], str]] = {
    "case": _case,
    "neg": lambda parts, _: f"(- {parts[0]})",  # two signs without a space begin a comment
    "not": lambda parts, _: f"(NOT {parts[0]})",
    "is_null": lambda parts, _: f"({parts[0]} IS NULL)",
    "concat": lambda parts, _: f"({parts[0]} || {parts[1]})",
    "sqrt": lambda parts, d: (
        f"CASE WHEN {d.is_nan(parts[0])} THEN {parts[0]} WHEN {parts[0]} >= 0 THEN sqrt({parts[0]}) END"
    ),
    "ln": lambda parts, d: (
        f"CASE WHEN {d.is_nan(parts[0])} THEN {parts[0]} WHEN {parts[0]} > 0 THEN ln({parts[0]}) END"
    ),
    "floor": lambda parts, d: d.floor(parts[0]),
    "ceil": lambda parts, d: d.floor(parts[0], up=True),
    "to_float": lambda parts, d: d.cast(parts[0], "float64"),
    "to_int": lambda parts, d: d.cast(parts[0], "int64"),
    "epoch": lambda parts, d: f"({d.cast(parts[0], 'float64')} / {d.literal(1e6, 'float64')})",
    "hour": _hour,
    "weekday": _weekday,
}
