"""Random expressions and rows, and what plain Python makes of them."""

import math
from typing import Any

from hypothesis import strategies as st

from falaj.definitions.expression import Expression, literal

SCHEMA = {"n": "int64", "x": "float64", "ok": "bool", "text": "string", "at": "timestamp"}
NUMBERS = [0.0, -0.0, 1.0, -2.5, 0.1, 1e9, math.nan, math.inf, -math.inf]


@st.composite
def value_rows(draw: st.DrawFn) -> dict[str, Any]:
    """One row: nulls, NaN, infinities, zeros of both signs, instants before 1970."""
    return {
        "n": draw(st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([(1 << 53) + 1, -(1 << 62)]))),
        "x": draw(st.one_of(st.none(), st.sampled_from(NUMBERS))),
        "ok": draw(st.one_of(st.none(), st.booleans())),
        "text": draw(st.one_of(st.none(), st.sampled_from(["", "AE", "سلام", "it's", "a\\b"]))),
        "at": draw(st.one_of(st.none(), st.integers(-(10**13), 10**13))),
    }


def expressions() -> st.SearchStrategy[Expression]:
    """Bound expressions of every type."""
    return st.one_of(_floats(3), _bools(3), _ints(2), _texts(2))


def _column(name: str) -> Expression:
    return Expression("column", (), name, SCHEMA[name])


def _call(op: str, dtype: str, *args: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.tuples(*args).map(lambda given: Expression(op, given, None, dtype))


def _floats(depth: int) -> st.SearchStrategy[Expression]:
    plain = st.one_of(st.just(_column("x")), st.sampled_from([0.0, 1.5, -2.0]).map(lambda v: literal(v, "float64")))
    if not depth:
        return plain
    below = _floats(depth - 1)
    binary = [_call(op, "float64", below, below) for op in ("+", "-", "*", "/")]
    unary = [_call(op, "float64", below) for op in ("neg", "abs", "floor", "ceil", "sqrt", "ln")]
    return st.one_of(
        plain,
        *binary,
        *unary,
        _call("to_float", "float64", _ints(depth - 1)),
        _call("epoch", "float64", st.just(_column("at"))),
        _call("case", "float64", _bools(depth - 1), below, below),
        _call("coalesce", "float64", below, below),
    )


def _ints(depth: int) -> st.SearchStrategy[Expression]:
    plain = st.one_of(st.just(_column("n")), st.integers(-3, 3).map(lambda v: literal(v, "int64")))
    calls = [_call(op, "int64", st.just(_column("at"))) for op in ("hour", "weekday")]
    calls += [_call("to_int", "int64", st.just(_column("ok"))), _call("length", "int64", st.just(_column("text")))]
    return st.one_of(plain, *calls) if depth else plain


def _texts(depth: int) -> st.SearchStrategy[Expression]:
    plain = st.one_of(
        st.just(_column("text")), st.sampled_from(["AE", "it's", "a\\b"]).map(lambda v: literal(v, "string"))
    )
    if not depth:
        return plain
    below = _texts(depth - 1)
    return st.one_of(plain, _call("concat", "string", below, below), _call("case", "string", _bools(0), below, below))


def _bools(depth: int) -> st.SearchStrategy[Expression]:
    plain = st.one_of(st.just(_column("ok")), st.booleans().map(lambda v: literal(v, "bool")))
    if not depth:
        return plain
    below = _bools(depth - 1)
    every = ("=", "<>", "<", "<=", ">", ">=")
    return st.one_of(
        plain,
        *[_call(op, "bool", _floats(depth - 1), _floats(depth - 1)) for op in every],
        *[_call(op, "bool", _ints(depth - 1), _ints(depth - 1)) for op in every],
        *[_call(op, "bool", _texts(depth - 1), _texts(depth - 1)) for op in ("=", "<>")],
        _call("and", "bool", below, below, below),
        _call("or", "bool", below, below),
        _call("not", "bool", below),
        _call("is_null", "bool", st.one_of(_floats(0), _ints(0), _texts(0), below)),
    )


def calculate(node: Expression, row: dict[str, Any]) -> Any:
    """Return an expression's value, by the words of the definition and nothing faster."""
    if node.op == "column":
        return row[node.value]
    if node.op == "literal":
        return node.value
    args = [calculate(arg, row) for arg in node.args]
    if node.op == "is_null":
        return args[0] is None
    if node.op == "case":
        for condition, value in zip(args[:-1:2], args[1:-1:2], strict=True):
            if condition is True:
                return value
        return args[-1]
    if node.op == "coalesce":
        return next((arg for arg in args if arg is not None), None)
    if node.op == "and":
        return False if False in args else None if None in args else True
    if node.op == "or":
        return True if True in args else None if None in args else False
    return None if None in args else _strict(node.op, *args)


def _strict(op: str, one: Any, two: Any = None) -> Any:
    """Return what a function makes of values that are not null."""
    if op in ("=", "<>", "<", "<=", ">", ">="):
        one, two = _rank(one), _rank(two)
        return {"=": one == two, "<>": one != two, "<": one < two, "<=": one <= two, ">": one > two, ">=": one >= two}[
            op
        ]
    if op == "/":
        return None if two == 0 else one / two
    if op in ("+", "-", "*"):
        return {"+": one + two, "-": one - two, "*": one * two}[op]
    if op in ("floor", "ceil"):
        whole = math.floor if op == "floor" else math.ceil
        return float(whole(one)) if math.isfinite(one) else one
    if op in ("sqrt", "ln"):
        if one < 0 or (op == "ln" and one == 0):
            return None
        return math.sqrt(one) if op == "sqrt" else math.log(one)
    if op in ("hour", "weekday"):
        return one // 3_600_000_000 % 24 if op == "hour" else (one // 86_400_000_000 + 3) % 7 + 1
    plain: dict[str, Any] = {
        "neg": lambda v: -v,
        "abs": abs,
        "not": lambda v: not v,
        "to_float": float,
        "to_int": int,
        "length": len,
    }
    return one + two if op == "concat" else one / 1e6 if op == "epoch" else plain[op](one)


def _rank(value: Any) -> Any:
    if isinstance(value, str | bool):
        return value
    return (1, 0.0) if value != value else (0, value)


def same_value(one: Any, two: Any) -> bool:
    """Whether two values are the same; floats to one part in 10^12, and NaN is NaN."""
    if one is None or two is None or not isinstance(two, float):
        return bool(one == two) and type(one) is type(two)
    if math.isnan(one) or math.isnan(two):
        return math.isnan(one) and math.isnan(two)
    return bool(one == two or math.isclose(one, two, rel_tol=1e-12))
