"""Checks: what each rejects, what it lets pass, and what it says."""

import math
import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import falaj as fj
from falaj.data.columns import rows_schema
from falaj.data.quality import LAST_US, Rules, duplicated
from falaj.definitions.check import Check
from falaj.definitions.source import Source
from falaj.kernel.errors import DataError

SCHEMA = {"id": "string", "at": "timestamp", "known": "timestamp", "n": "int64", "x": "float64", "s": "string"}


def source(*checks: Check, **fields: Any) -> Source:
    return Source("tx", stream=fj.Push(), schema=SCHEMA, checks=checks, **fields)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: [row.get(name) for row in rows] for name in SCHEMA}, schema=rows_schema(SCHEMA))


def reasons(tx: Source, rows: list[dict[str, Any]], **told: Any) -> dict[int, list[str]]:
    judged = Rules(tx, SCHEMA).judge(table(rows), **told)
    rejected = [index for index, is_rejected in enumerate(judged.rejected.to_pylist()) if is_rejected]
    assert judged.accepted.to_pylist() == [index not in rejected for index in range(len(rows))]
    return dict(zip(rejected, judged.reasons, strict=True))


def test_not_null() -> None:
    assert reasons(source(fj.check.not_null("x")), [{"x": 1.0}, {}, {"x": math.nan}]) == {1: ["x is null"]}


def test_between_is_closed_refuses_nan_and_lets_null_pass() -> None:
    values = [0.0, 10.0, -0.1, 10.1, None, math.nan, math.inf]
    found = reasons(source(fj.check.between("x", 0, 10)), [{"x": value} for value in values])
    assert found == {i: ["x is not between 0 and 10"] for i in (2, 3, 5, 6)}


def test_in_set_lets_null_pass() -> None:
    found = reasons(source(fj.check.in_set("s", ["AE", "OM"])), [{"s": "AE"}, {"s": "ae"}, {"s": None}])
    assert found == {1: ["s is not one of the 2 allowed values"]}
    assert reasons(source(fj.check.in_set("n", [1, 2])), [{"n": 1}, {"n": 3}]) == {
        1: ["n is not one of the 2 allowed values"]
    }


def test_matches_is_pythons_whole_match() -> None:
    values = ["AB1", "AB12", "xAB1", "AB1\n", None, "", "AB١"]
    found = reasons(source(fj.check.matches("s", r"(?!XX)[A-Z]+\d")), [{"s": value} for value in values])
    assert set(found) == {i for i, v in enumerate(values) if v is not None and not re.fullmatch(r"(?!XX)[A-Z]+\d", v)}


def test_unique_marks_every_row_of_a_value_that_comes_twice() -> None:
    rows: list[dict[str, Any]] = [{"s": "a"}, {"s": "b"}, {"s": "a"}, {}, {}]
    assert reasons(source(fj.check.unique("s", severity="reject")), rows) == {
        0: ["s is not unique in its file"],
        2: ["s is not unique in its file"],
    }
    told = {"s": pa.array(["b"])}
    assert list(reasons(source(fj.check.unique("s", severity="reject")), rows, duplicates=told)) == [1]


def test_warnings_count_and_let_in() -> None:
    tx = source(fj.check.between("x", 0, 1, severity="warn"), fj.check.unique("s"))
    judged = Rules(tx, SCHEMA).judge(table([{"x": 2.0, "s": "a"}, {"x": 3.0, "s": "a"}, {"x": 1.0}]))
    assert not any(judged.rejected.to_pylist())
    assert judged.warnings == {"x is not between 0 and 1": 2, "s is not unique in its file": 2}


def test_every_reason_is_given_once() -> None:
    tx = source(fj.check.not_null("at"), fj.check.between("x", 0, 1), timestamp="at", id="id")
    assert reasons(tx, [{"x": 5.0}]) == {0: ["at is null", "id is null", "x is not between 0 and 1"]}


def test_a_row_needs_its_timestamp_and_its_id_but_not_its_created() -> None:
    tx = source(timestamp="at", created="known", id="id")
    rows: list[dict[str, Any]] = [
        {"id": "a", "at": 1},
        {"id": "b"},
        {"at": 2},
        {"id": "c", "at": LAST_US + 1},
        {"id": "d", "at": LAST_US},
    ]
    assert reasons(tx, rows) == {
        1: ["at is null"],
        2: ["id is null"],
        3: ["at is outside the years 1 to 9999"],
    }


def test_cells_of_another_type_are_said_instead_of_null() -> None:
    tx = source(timestamp="at")
    unreadable = {"at": pa.array([True, False]), "n": pa.array([True, False])}
    found = reasons(tx, [{}, {"at": 1}], unreadable=unreadable)
    assert found == {0: ["at is not of type timestamp", "n is not of type int64"]}


def test_no_rows_and_no_checks() -> None:
    assert reasons(source(), []) == {}
    assert reasons(source(fj.check.between("x", 0, 1), fj.check.matches("s", "a"), timestamp="at"), []) == {}
    assert reasons(source(), [{}]) == {}


def test_rows_in_chunks() -> None:
    rows = pa.concat_tables([table([{"x": 1.0, "s": "a"}]), table([{"x": 9.0, "s": "a"}])])
    judged = Rules(source(fj.check.between("x", 0, 2), fj.check.unique("s")), SCHEMA).judge(rows)
    assert judged.rejected.to_pylist() == [False, True]
    assert judged.warnings == {"s is not unique in its file": 2}


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (fj.check.not_null("idd"), "there is no such column"),
        (fj.check.between("s", 0, 1), "needs a number and the column is string"),
        (fj.check.matches("x", "a"), "needs text and the column is float64"),
        (fj.check.in_set("n", ["a"]), "the values are not all int64"),
    ],
)
def test_checks_that_cannot_be_judged_are_refused(check: Check, said: str) -> None:
    with pytest.raises(DataError) as caught:
        Rules(source(check), SCHEMA)
    assert f"source 'tx': check {check.rule}({check.column!r})" in caught.value.message
    assert said in caught.value.message


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-3, 13).map(float))))
def test_between_agrees_with_plain_python(values: list[float | None]) -> None:
    found = reasons(source(fj.check.between("x", 0, 10)), [{"x": value} for value in values])
    assert set(found) == {i for i, value in enumerate(values) if value is not None and not 0 <= value <= 10}


@given(st.lists(st.one_of(st.none(), st.integers(0, 5))))
def test_duplicated_agrees_with_plain_python(values: list[int | None]) -> None:
    twice = {value for value in values if value is not None and values.count(value) > 1}
    assert set(duplicated(pa.array(values, pa.int64())).to_pylist()) == twice
