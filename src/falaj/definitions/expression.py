"""Expression: a value of one row, written as SQL, for transforms and filters; it means the same in every engine.

The text is read by sqlglot, and only what has one meaning everywhere is let through. Arithmetic is done in float64, and
a division by zero is null. NaN equals itself and is greater than every number. Nulls follow SQL's three-valued logic.
Texts are compared for equality only, since order depends on a collation.
"""

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from falaj.definitions.declared import Declared
from falaj.definitions.dtype import NUMERIC
from falaj.kernel.clock import parse_instant, to_us
from falaj.kernel.errors import DefinitionError, InputError
from falaj.kernel.names import did_you_mean

LONGEST = 10_000
"""Characters that an expression may have; what is longer was written by a program and belongs into its source."""

NULL = "null"
"""The type of a literal null before it is known what it stands beside."""

COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
ARITHMETIC = ("+", "-", "*", "/")


class Expression(msgspec.Struct, metaclass=Declared, frozen=True):
    """One node.

    Attributes:
        op: column, literal, one of COMPARISONS and ARITHMETIC, or a function's name.
        args: What it is applied to. Those of case are a condition and its value in turns, then the value otherwise.
        value: A column's name or a literal's value; timestamps are whole microseconds.
        dtype: Its type; empty before `bind`.
    """

    op: str
    args: tuple["Expression", ...] = ()
    value: Any = None
    dtype: str = ""

    def columns(self) -> Iterator[tuple[str, str]]:
        """Give the names and types of the columns that it reads, as often as it reads them."""
        if self.op == "column":
            yield self.value, self.dtype
        for arg in self.args:
            yield from arg.columns()


@functools.lru_cache(maxsize=1024)
def parse(text: str, *, field: str) -> Expression:
    """Return what a text says, without types.

    Args:
        text: An SQL expression over a row's columns, such as `amount > 100 AND country <> 'AE'`.
        field: The name used in the error.

    Raises:
        DefinitionError: It cannot be read, or uses what has no single meaning in all engines.

    Example:
        >>> [name for name, _ in parse("amount / 100 > limit", field="where").columns()]
        ['amount', 'limit']
    """
    from falaj.definitions.expression_text import read  # here: the parser takes a while to load, and few files need it

    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        raise DefinitionError(
            f"{field} = {text!r:.80} is not an expression", hint='write SQL text, like "amount > 100"'
        )
    return read(text, field)


def bind(node: Expression, schema: Mapping[str, str], *, field: str) -> Expression:
    """Return the expression with every type known and every conversion written out.

    Args:
        node: What `parse` returned.
        schema: The row's column names and types.
        field: The name used in the error.

    Raises:
        DefinitionError: A column does not exist, or a type does not fit.

    Example:
        >>> bind(parse("n / 2", field="x"), {"n": "int64"}, field="x").dtype
        'float64'
    """
    bound = _Binder(schema, field).bind(node)
    if bound.dtype == NULL:
        raise DefinitionError(f"{field} is always null", hint="let it read a column")
    return bound


def text_of(node: Expression) -> str:
    """Return a bound expression as text; equal meaning gives equal text, whatever spaces were written.

    Example:
        >>> text_of(bind(parse("n+1  >2", field="x"), {"n": "int64"}, field="x"))
        '((to_float(n) + 1.0) > 2.0)'
    """
    if node.op == "column":
        name: str = node.value
        plain = name.isidentifier() and name not in ("None", "True", "False")
        return name if plain else f"`{name.replace('`', '``')}`"  # the text of a column "5" is not that of the number
    if node.op == "literal":
        return f"{node.dtype}({node.value})" if node.dtype in ("timestamp", NULL) else repr(node.value)
    parts = [text_of(arg) for arg in node.args]
    if node.op in (*COMPARISONS, *ARITHMETIC, "and", "or"):
        return f"({f' {node.op} '.join(parts)})"
    return f"{node.op}({', '.join(parts)})"


def literal(value: Any, dtype: str) -> Expression:
    """Return a literal."""
    return Expression("literal", (), value, dtype)


class _Binder:
    def __init__(self, schema: Mapping[str, str], field: str) -> None:
        self._schema = schema
        self._field = field

    def bind(self, node: Expression) -> Expression:
        if node.op == "literal":
            return node
        if node.op == "column":
            return self._column(node)
        args = tuple(self.bind(arg) for arg in node.args)
        if node.op in COMPARISONS:
            return self._comparison(node.op, *args)
        if node.op in ("and", "or", "not"):
            return Expression(node.op, tuple(self._as(arg, "bool", node.op) for arg in args), None, "bool")
        if node.op in ("case", "coalesce"):
            return self._choice(node.op, args)
        if node.op == "is_null":
            # a null of no type is nothing that an engine could be given
            return literal(True, "bool") if args[0].dtype == NULL else Expression("is_null", args, None, "bool")  # noqa: FBT003
        if node.op in ARITHMETIC or node.op in _OF_FLOATS:
            return Expression(node.op, tuple(self._as(arg, "float64", node.op) for arg in args), None, "float64")
        if node.op == "to_int":
            (arg,) = args
            if arg.dtype not in ("int64", "bool"):
                raise self._wrong("CAST AS BIGINT", arg, "bool or int64; of a fraction, engines disagree")
            return arg if arg.dtype == "int64" else Expression("to_int", args, None, "int64")
        if node.op == "to_float":
            return self._as(args[0], "float64", "CAST AS DOUBLE")
        if node.op == "to_timestamp":
            return self._as(args[0], "timestamp", "CAST AS TIMESTAMPTZ")
        taken, given = _FUNCTIONS[node.op]
        return Expression(node.op, tuple(self._as(arg, taken, node.op) for arg in args), None, given)

    def _column(self, node: Expression) -> Expression:
        if node.value not in self._schema:
            raise DefinitionError(
                f"{self._field} reads column {node.value!r}, which does not exist ({', '.join(self._schema)})",
                hint=did_you_mean(node.value, self._schema),
            )
        return Expression("column", (), node.value, self._schema[node.value])

    def _as(self, node: Expression, dtype: str, where: str) -> Expression:
        if node.dtype == dtype:
            return node
        if node.dtype == NULL:
            return literal(None, dtype)
        if dtype == "float64" and node.dtype in NUMERIC:
            if node.op == "literal":
                return literal(float(node.value), "float64")
            return Expression("to_float", (node,), None, "float64")
        if dtype == "timestamp" and node.op == "literal" and node.dtype == "string":
            return self._instant(node)
        raise self._wrong(where, node, dtype)

    def _instant(self, node: Expression) -> Expression:
        try:
            return literal(to_us(parse_instant(node.value)), "timestamp")
        except InputError as error:
            raise DefinitionError(f"{self._field}: {error}", hint=error.hint) from None

    def _comparison(self, op: str, one: Expression, two: Expression) -> Expression:
        dtype = self._common(op, (one, two))
        if dtype == NULL:
            return literal(None, "bool")
        if dtype in ("string", "bool") and op not in ("=", "<>"):
            raise DefinitionError(
                f"{self._field}: {op!r} between values of type {dtype} has no single meaning",
                hint="compare texts and truth values by = and <>",
            )
        return Expression(op, (self._as(one, dtype, op), self._as(two, dtype, op)), None, "bool")

    def _choice(self, op: str, args: tuple[Expression, ...]) -> Expression:
        is_value = [op == "coalesce" or place % 2 == 1 or place == len(args) - 1 for place in range(len(args))]
        dtype = self._common(op, tuple(arg for arg, chosen in zip(args, is_value, strict=True) if chosen))
        bound = (self._as(arg, dtype if chosen else "bool", op) for arg, chosen in zip(args, is_value, strict=True))
        return Expression(op, tuple(bound), None, dtype)

    def _common(self, op: str, args: tuple[Expression, ...]) -> str:
        dtypes = {arg.dtype for arg in args} - {NULL}
        if len(dtypes) < 2:
            return next(iter(dtypes), NULL)
        if dtypes <= set(NUMERIC):
            return "float64"
        if dtypes == {"timestamp", "string"}:
            return "timestamp"
        raise DefinitionError(
            f"{self._field}: {op} between {' and '.join(sorted(dtypes))}", hint="give both sides the same type"
        )

    def _wrong(self, where: str, node: Expression, wanted: str) -> DefinitionError:
        said = repr(node.value) if node.op in ("column", "literal") else "its argument"
        return DefinitionError(f"{self._field}: {where} needs {wanted}, and {said} is {node.dtype}")


_OF_FLOATS = ("neg", "abs", "floor", "ceil", "sqrt", "ln")
_FUNCTIONS = {
    "hour": ("timestamp", "int64"),
    "weekday": ("timestamp", "int64"),
    "epoch": ("timestamp", "float64"),
    "length": ("string", "int64"),
    "lower": ("string", "string"),
    "upper": ("string", "string"),
    "concat": ("string", "string"),
}
"""Functions of one type: what they take, and what they give."""


def is_number(value: Any) -> bool:
    """Return whether a literal is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


FUNCTIONS: tuple[str, ...] = ("and", "or", "not", "is_null", "case", "coalesce", "to_float", "to_int")
FUNCTIONS += (*_OF_FLOATS, *_FUNCTIONS)
"""Every operation but comparisons and arithmetic."""
