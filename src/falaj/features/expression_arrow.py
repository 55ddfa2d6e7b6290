"""ExpressionArrow: an expression over an Arrow table, for rows on their way to the online store.

The same meaning as `expression_sql` gives in an engine; a property test holds the two together.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from falaj.definitions.expression import COMPARISONS, Expression
from falaj.features.arrow_types import ARROW_TYPES

_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000


def evaluate(node: Expression, columns: Mapping[str, Any], length: int) -> Any:
    """Return an expression's value of every row.

    Args:
        node: A bound expression.
        columns: The columns that it reads, as Arrow arrays of their types.
        length: Rows.

    Returns:
        An Arrow array of the expression's type.

    Example:
        >>> from falaj.definitions.expression import bind, parse
        >>> half = bind(parse("n / 0", field="x"), {"n": "int64"}, field="x")
        >>> evaluate(half, {"n": pa.array([1, None])}, 2).to_pylist()
        [None, None]
    """
    if node.op == "column":
        return columns[node.value]
    if node.op == "literal":
        value = pa.scalar(node.value, ARROW_TYPES[node.dtype])
        return pa.repeat(value, length)
    args = [evaluate(arg, columns, length) for arg in node.args]
    if node.op in COMPARISONS:
        return _compare(node.op, *args, floats=node.args[0].dtype == "float64")
    return _FUNCTIONS[node.op](*args)


def _compare(op: str, one: Any, two: Any, *, floats: bool) -> Any:
    """Compare; among floats NaN equals itself and is greater than every number."""
    plain = {
        "=": pc.equal,
        "<>": pc.not_equal,
        "<": pc.less,
        "<=": pc.less_equal,
        ">": pc.greater,
        ">=": pc.greater_equal,
    }
    if not floats:
        return plain[op](one, two)
    if op in (">", ">="):
        return _compare("<" if op == ">" else "<=", two, one, floats=True)
    one_nan, two_nan = pc.is_nan(one), pc.is_nan(two)
    if op in ("=", "<>"):
        same = pc.or_kleene(pc.equal(one, two), pc.and_kleene(one_nan, two_nan))
        return same if op == "=" else pc.invert(same)
    less = pc.or_kleene(pc.less(one, two), pc.and_kleene(two_nan, pc.invert(one_nan)))
    return less if op == "<" else pc.or_kleene(less, _compare("=", one, two, floats=True))


def _case(*args: Any) -> Any:
    conditions = pc.make_struct(*args[:-1:2])
    return pc.case_when(conditions, *args[1:-1:2], args[-1])


def _divide(one: Any, two: Any) -> Any:
    return pc.if_else(pc.equal(two, 0.0), pa.scalar(None, pa.float64()), pc.divide(one, two))


def _many(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def fold(first: Any, *rest: Any) -> Any:
        for other in rest:
            first = function(first, other)
        return first

    return fold


def _root(value: Any) -> Any:
    return pc.if_else(pc.less(value, 0.0), pa.scalar(None, pa.float64()), pc.sqrt(value))


def _logarithm(value: Any) -> Any:
    return pc.if_else(pc.less_equal(value, 0.0), pa.scalar(None, pa.float64()), pc.ln(value))


def _floor_divide(value: Any, divisor: int) -> Any:
    """Return the quotient of whole numbers, rounded down; Arrow's own drops the rest."""
    quotient = pc.divide(value, divisor)
    return pc.if_else(pc.greater(pc.multiply(quotient, divisor), value), pc.subtract(quotient, 1), quotient)


def _remainder(value: Any, divisor: int) -> Any:
    return pc.subtract(value, pc.multiply(_floor_divide(value, divisor), divisor))


def _hour(value: Any) -> Any:
    return pc.divide(_remainder(value.cast(pa.int64()), _DAY_US), _HOUR_US)


def _weekday(value: Any) -> Any:
    days = _floor_divide(value.cast(pa.int64()), _DAY_US)
    return pc.add(_remainder(pc.add(days, 3), 7), 1)  # 1970-01-01 was a Thursday, the fourth day


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "+": pc.add,
    "-": pc.subtract,
    "*": pc.multiply,
    "/": _divide,
    "and": _many(pc.and_kleene),
    "or": _many(pc.or_kleene),
    "not": pc.invert,
    "neg": pc.negate,
    "abs": pc.abs,
    "floor": pc.floor,
    "ceil": pc.ceil,
    "sqrt": _root,
    "ln": _logarithm,
    "is_null": pc.is_null,
    "case": _case,
    "coalesce": pc.coalesce,
    "length": lambda text: pc.utf8_length(text).cast(pa.int64()),
    "lower": pc.utf8_lower,
    "upper": pc.utf8_upper,
    "concat": lambda one, two: pc.binary_join_element_wise(one, two, ""),
    "to_float": lambda value: _number(value).cast(pa.float64(), safe=False),
    "to_int": lambda value: value.cast(pa.int64()),
    "epoch": lambda value: pc.divide(value.cast(pa.int64()).cast(pa.float64(), safe=False), 1e6),
    "hour": _hour,
    "weekday": _weekday,
}


def _number(value: Any) -> Any:
    return value.cast(pa.uint8()) if pa.types.is_boolean(value.type) else value
