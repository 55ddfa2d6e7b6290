"""Expressions mean the same in Python, in Arrow and in DuckDB, for every value there is."""

import math
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions.expression import Expression, bind, parse, text_of
from falaj.features.arrow_types import ARROW_TYPES
from falaj.features.dialect import DIALECTS
from falaj.features.expression_arrow import evaluate
from falaj.features.expression_sql import expression_sql
from falaj.kernel.errors import DefinitionError, Unsupported
from support.expression_worlds import SCHEMA, calculate, expressions, same_value, value_rows


def bound(text: str) -> Expression:
    return bind(parse(text, field="x"), SCHEMA, field="x")


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([r[name] for r in rows], ARROW_TYPES[dtype]) for name, dtype in SCHEMA.items()})


def by_arrow(node: Expression, rows: list[dict[str, Any]]) -> list[Any]:
    table = table_of(rows)
    found = evaluate(node, {name: table[name].combine_chunks() for name in SCHEMA}, len(rows))
    return list((found.cast(pa.int64()) if node.dtype == "timestamp" else found).to_pylist())


def by_duckdb(node: Expression, rows: list[dict[str, Any]]) -> list[Any]:
    table = table_of(rows)
    table = table.set_column(table.column_names.index("at"), "at", table["at"].cast(pa.int64()))
    with duckdb.connect(":memory:") as engine:
        engine.register("given", table)
        found = engine.sql(f"SELECT {expression_sql(node, DIALECTS['duckdb'])} AS x FROM given")  # noqa: S608
        return list(found.to_arrow_table()["x"].to_pylist())


@settings(deadline=None, max_examples=300)
@given(expressions(), st.lists(value_rows(), min_size=1, max_size=6))
def test_arrow_and_duckdb_give_what_python_gives(node: Expression, rows: list[dict[str, Any]]) -> None:
    expected = [calculate(node, row) for row in rows]
    for engine in (by_arrow, by_duckdb):
        for row, got, want in zip(rows, engine(node, rows), expected, strict=True):
            assert same_value(got, want), (engine.__name__, text_of(node), row, got, want)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not an expression"),
        ("((", "cannot be read"),
        ("n >", "cannot be read: something is missing, near '>'"),
        ("x = = 2", "something is missing, near '='"),
        ("n 1 2", "Unexpected token, near '1'"),
        ("text = 'a", "a quote is not closed"),
        ("select 1", "no single meaning"),
        ("a; drop table x", "no single meaning"),
        ("sum(x)", "no single meaning"),
        ("random() > 0.5", "no single meaning"),
        ("cast(x as bigint)", "engines disagree"),
        ("text < 'a'", "no single meaning"),
        ("nn + 1", "does not exist"),
        ("text + 1", "needs float64"),
        ("text = 1", "int64 and string"),
        ("null", "always null"),
        ("at > 'yesterday'", "not an RFC 3339"),
        ("n = 99999999999999999999", "does not fit 64 bits"),
        ("t.n = 1", "not a column of the row"),
        ("(" * 300 + "n" + ")" * 300, "x ="),
        ("n BETWEEN SYMMETRIC 5 AND x", "SYMMETRIC is not known"),
        ("cast(text AS timestamptz) = cast('a' AS timestamptz)", "needs timestamp"),
        ("cast(n AS timestamptz) = 5", "needs timestamp"),
        ("nullif(" * 25 + "n" + ", 1)" * 25 + " = x", "grows too large"),
        ("n" + " + n" * 4000, "not an expression"),
    ],
)
def test_what_cannot_mean_one_thing_is_refused(text: str, said: str) -> None:
    with pytest.raises(DefinitionError, match="x") as caught:
        bound(text)
    assert said in str(caught.value)
    assert "class" not in str(caught.value)


def test_spaces_and_brackets_do_not_change_an_expression() -> None:
    assert text_of(bound("x>1 AND n=2")) == text_of(bound("( x > 1.0 ) and\n (n = 2)"))


@pytest.mark.parametrize(("us", "hour", "day"), [(0, 0, 4), (-1, 23, 3), (86_400_000_000 * 4 - 1, 23, 7)])
def test_hours_and_weekdays_are_those_of_utc(us: int, hour: int, day: int) -> None:
    rows = [{"n": None, "x": None, "ok": None, "text": None, "at": us}]
    for engine in (by_arrow, by_duckdb):
        assert engine(bound("extract(hour from at)"), rows) == [hour]
        assert engine(bound("isodow(at)"), rows) == [day]


def test_an_engine_without_a_function_says_so() -> None:
    with pytest.raises(Unsupported, match="postgres has no lower"):
        expression_sql(bound("lower(text)"), DIALECTS["postgres"])


def test_division_by_zero_is_null_and_nan_equals_itself() -> None:
    rows = [{"n": 0, "x": math.nan, "ok": None, "text": None, "at": None}]
    for engine in (by_arrow, by_duckdb):
        assert engine(bound("1 / n"), rows) == [None]
        assert engine(bound("x = x AND x > 1e308"), rows) == [True]


@pytest.mark.parametrize(
    ("text", "value"),
    [("NULL IS NULL", True), ("NULL = NULL", None), ("coalesce(NULL, NULL) IS NULL AND ok", True)],
)
def test_a_null_without_a_type_is_decided_before_any_engine_sees_it(text: str, value: bool | None) -> None:
    rows = [{"n": None, "x": None, "ok": True, "text": None, "at": None}]
    assert by_arrow(bound(text), rows) == by_duckdb(bound(text), rows) == [value]


@pytest.mark.parametrize(("name", "text"), [("5", "n > 5"), ("True", "ok = TRUE"), ("'a'", "text = 'a'")])
def test_no_column_has_the_text_of_a_value(name: str, text: str) -> None:
    """The text is what tells a changed definition from the old."""
    one = bound(text)
    other = one.args[0], Expression("column", (), name, one.args[1].dtype)
    assert text_of(one) != text_of(Expression(one.op, other, None, one.dtype))
