"""ExpressionText: SQL text to an expression, by sqlglot."""

from collections.abc import Callable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError, TokenError

from falaj.definitions.expression import NULL, Expression, is_number, literal
from falaj.kernel.errors import DefinitionError

_DEEPEST = 100
_MOST_NODES = 50_000
"""Of the tree that engines see, in which what NULLIF, IN and the like compare stands as often as it is compared."""
_BINARY: dict[type[exp.Expression], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.And: "and",
    exp.Or: "or",
    exp.DPipe: "concat",
}
_UNARY: dict[type[exp.Expression], str] = {
    exp.Neg: "neg",
    exp.Not: "not",
    exp.Abs: "abs",
    exp.Floor: "floor",
    exp.Ceil: "ceil",
    exp.Sqrt: "sqrt",
    exp.Ln: "ln",
    exp.Length: "length",
    exp.Lower: "lower",
    exp.Upper: "upper",
    exp.Hour: "hour",
    exp.DayOfWeekIso: "weekday",
    exp.TimeToUnix: "epoch",
}
_PARTS = {"HOUR": "hour", "ISODOW": "weekday", "EPOCH": "epoch"}
_CASTS = {"DOUBLE": "to_float", "BIGINT": "to_int"}


def read(text: str, field: str) -> Expression:
    """Return what a text says, without types.

    Args:
        text: An SQL expression.
        field: The name used in the error.

    Raises:
        DefinitionError: It cannot be read, or uses what has no single meaning in all engines.
    """
    try:
        tree = sqlglot.parse_one(text, dialect="duckdb")
    except (SqlglotError, RecursionError) as error:
        raise DefinitionError(
            f"{field} = {text!r:.80} cannot be read: {_said(error)}",
            hint="write an SQL expression, such as amount > 100 AND country = 'AE'",
        ) from None
    reader = _Reader(text, field)
    node = reader.read(tree, 0)
    reader.check_size(node)
    return node


def _said(error: SqlglotError | RecursionError) -> str:
    """Return a fault in words; the parser names its own classes where something is missing."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, TokenError):
        return "a quote is not closed, or a character is none of SQL's"
    if not isinstance(error, ParseError) or not error.errors:
        return str(error).splitlines()[0]
    fault = error.errors[0]
    said = str(fault.get("description") or "it is no expression").splitlines()[0]
    if "<class" in said:
        said = "something is missing"
    where = fault.get("highlight")
    return f"{said.rstrip('.')}, near {where!r}" if where else said


class _Reader:
    def __init__(self, text: str, field: str) -> None:
        self._text = text
        self._field = field

    def read(self, node: Any, depth: int) -> Expression:
        if depth > _DEEPEST:
            raise self._refused("it is nested too deeply")
        take = _SPECIAL.get(type(node))
        if take is not None:
            return take(self, node, depth + 1)
        if type(node) in _BINARY:
            sides = (self.read(node.this, depth + 1), self.read(node.expression, depth + 1))
            return Expression(_BINARY[type(node)], sides)
        if type(node) in _UNARY and not node.args.get("decimals") and not node.args.get("to"):
            return Expression(_UNARY[type(node)], (self.read(node.this, depth + 1),))
        raise self._refused(f"{node.sql(dialect='duckdb'):.60} has no single meaning in all engines")

    def check_size(self, node: Expression) -> None:
        """Refuse what grows too large when everything that is written once and compared often is written out."""
        sizes: dict[int, int] = {}

        def size_of(one: Expression) -> int:
            if id(one) not in sizes:
                sizes[id(one)] = 1 + sum(map(size_of, one.args))
            return sizes[id(one)]

        if size_of(node) > _MOST_NODES:
            raise self._refused("it grows too large when NULLIF, IN, BETWEEN and CASE are written out")

    def paren(self, node: exp.Paren, depth: int) -> Expression:
        return self.read(node.this, depth)

    def column(self, node: exp.Column, _depth: int) -> Expression:
        if len(node.parts) != 1 or isinstance(node.this, exp.Star):
            raise self._refused(f"{node.sql()} is not a column of the row")
        return Expression("column", (), node.name)

    def literal(self, node: exp.Literal, _depth: int) -> Expression:
        if node.is_string:
            return literal(node.this, "string")
        said = node.this
        value: Any = int(said) if said.isdigit() else float(said)
        if not is_number(value) or (isinstance(value, int) and value >= 1 << 63):
            raise self._refused(f"{said} does not fit 64 bits")
        return literal(value, "int64" if isinstance(value, int) else "float64")

    def boolean(self, node: exp.Boolean, _depth: int) -> Expression:
        return literal(bool(node.this), "bool")

    def null(self, _node: exp.Null, _depth: int) -> Expression:
        return literal(None, NULL)

    def negative(self, node: exp.Neg, depth: int) -> Expression:
        inner = self.read(node.this, depth)
        if inner.op == "literal" and is_number(inner.value):  # -1 stays a whole number
            return literal(-inner.value, inner.dtype)
        return Expression("neg", (inner,))

    def is_(self, node: exp.Is, depth: int) -> Expression:
        if not isinstance(node.expression, exp.Null):
            raise self._refused("IS is understood with NULL only")
        return Expression("is_null", (self.read(node.this, depth),))

    def in_(self, node: exp.In, depth: int) -> Expression:
        if not node.expressions:
            raise self._refused("IN needs a list of values")
        this = self.read(node.this, depth)
        found = [Expression("=", (this, self.read(choice, depth))) for choice in node.expressions]
        return found[0] if len(found) == 1 else Expression("or", tuple(found))

    def between(self, node: exp.Between, depth: int) -> Expression:
        if node.args.get("symmetric"):
            raise self._refused("BETWEEN SYMMETRIC is not known")
        this = self.read(node.this, depth)
        low, high = self.read(node.args["low"], depth), self.read(node.args["high"], depth)
        return Expression("and", (Expression(">=", (this, low)), Expression("<=", (this, high))))

    def case(self, node: exp.Case, depth: int) -> Expression:
        subject = None if node.this is None else self.read(node.this, depth)
        args: list[Expression] = []
        for branch in node.args["ifs"]:
            condition = self.read(branch.this, depth)
            args.append(condition if subject is None else Expression("=", (subject, condition)))
            args.append(self.read(branch.args["true"], depth))
        otherwise = node.args.get("default")
        args.append(literal(None, NULL) if otherwise is None else self.read(otherwise, depth))
        return Expression("case", tuple(args))

    def if_(self, node: exp.If, depth: int) -> Expression:
        otherwise = node.args.get("false")
        last = literal(None, NULL) if otherwise is None else self.read(otherwise, depth)
        return Expression("case", (self.read(node.this, depth), self.read(node.args["true"], depth), last))

    def coalesce(self, node: exp.Coalesce, depth: int) -> Expression:
        return Expression("coalesce", tuple(self.read(arg, depth) for arg in [node.this, *node.expressions]))

    def nullif(self, node: exp.Nullif, depth: int) -> Expression:
        this, other = self.read(node.this, depth), self.read(node.expression, depth)
        return Expression("case", (Expression("=", (this, other)), literal(None, NULL), this))

    def extract(self, node: exp.Extract, depth: int) -> Expression:
        part = node.name.upper()
        if part not in _PARTS:
            raise self._refused(f"EXTRACT({part}) is not known")
        return Expression(_PARTS[part], (self.read(node.expression, depth),))

    def cast(self, node: exp.Cast, depth: int) -> Expression:
        if node.to.is_type("timestamp", "timestamptz"):  # of a timestamp, or of a literal that stands beside one
            return Expression("to_timestamp", (self.read(node.this, depth),))
        wanted = node.to.sql(dialect="duckdb")
        if wanted not in _CASTS:
            raise self._refused(f"CAST AS {wanted} has no single meaning in all engines")
        return Expression(_CASTS[wanted], (self.read(node.this, depth),))

    def _refused(self, why: str) -> DefinitionError:
        return DefinitionError(
            f"{self._field} = {self._text!r:.80}: {why}",
            hint="use columns, numbers, texts, + - * /, comparisons, AND, OR, NOT, IN, BETWEEN, IS NULL, CASE, "
            "COALESCE, NULLIF, ABS, FLOOR, CEIL, SQRT, LN, LENGTH, LOWER, UPPER, ||, EXTRACT(HOUR, ISODOW or EPOCH)",
        )


_SPECIAL: dict[type[Any], Callable[[_Reader, Any, int], Expression]] = {
    exp.Paren: _Reader.paren,
    exp.Column: _Reader.column,
    exp.Literal: _Reader.literal,
    exp.Boolean: _Reader.boolean,
    exp.Null: _Reader.null,
    exp.Neg: _Reader.negative,
    exp.Is: _Reader.is_,
    exp.In: _Reader.in_,
    exp.Between: _Reader.between,
    exp.Case: _Reader.case,
    exp.If: _Reader.if_,
    exp.Coalesce: _Reader.coalesce,
    exp.Nullif: _Reader.nullif,
    exp.Extract: _Reader.extract,
    exp.Cast: _Reader.cast,
}
