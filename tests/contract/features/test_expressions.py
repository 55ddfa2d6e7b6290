"""Expressions mean the same in every engine, for every value there is."""

import os
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.definitions.expression import Expression, text_of
from falaj.definitions.service_spec import DerivedSpec, FeatureSpec, ViewSpec
from falaj.features.arrow_types import ARROW_TYPES
from falaj.features.engines.port import Engine, Questions
from support.expression_worlds import SCHEMA, calculate, expressions, same_value, value_rows

EXAMPLES = {"duckdb": 40, "postgres": 40, "spark": 8}
MORE = int(os.environ.get("FALAJ_TEST_EXAMPLES", "0"))


def view_of(nodes: list[Expression]) -> ViewSpec:
    """Return a view whose features are the expressions of the one row of each key."""
    names = [f"e{i}" for i in range(len(nodes))]
    columns = tuple((name, node.dtype) for name, node in zip(names, nodes, strict=True))
    features = tuple(FeatureSpec(name, "last", name, None, dtype) for name, dtype in columns)
    derived = tuple(map(DerivedSpec, names, nodes))
    return ViewSpec("v", "", "s", (("key", "int64"),), columns, features, None, False, 0, False, None, derived)


def answers(engine: Engine, nodes: list[Expression], rows: list[dict[str, Any]]) -> list[list[Any]]:
    keys = pa.array(range(len(rows)), pa.int64())
    table = pa.table({name: pa.array([r[name] for r in rows], ARROW_TYPES[dtype]) for name, dtype in SCHEMA.items()})
    nothing = pa.nulls(len(rows), pa.timestamp("us", "UTC"))
    instants = pa.array([0] * len(rows), nothing.type)
    for name, column in {"key": keys, "_event_ts": instants, "_created": nothing, "_ingest_seq": keys}.items():
        table = table.append_column(name, column)
    view = view_of(nodes)
    found = engine.answer([view], Questions(pa.array([1] * len(rows), pa.int64()), {"key": keys}), {"s": table})
    columns = []
    for feature in view.features:
        column = found[view.column_name(feature.name)]
        columns.append((column.cast(pa.int64()) if feature.dtype == "timestamp" else column).to_pylist())
    return columns


@pytest.mark.timeout(0)
def test_an_engine_gives_what_python_gives(engine: Engine) -> None:
    many = 60 if engine.name == "spark" else 12

    @settings(deadline=None, max_examples=MORE or EXAMPLES[engine.name], suppress_health_check=list(HealthCheck))
    @given(
        st.lists(expressions(), min_size=1, max_size=many),
        st.lists(value_rows(), min_size=1, max_size=12),
    )
    def agrees(nodes: list[Expression], rows: list[dict[str, Any]]) -> None:
        for node, got_column in zip(nodes, answers(engine, nodes, rows), strict=True):
            for row, got in zip(rows, got_column, strict=True):
                want = calculate(node, row)
                assert same_value(got, want), (engine.name, text_of(node), row, got, want)

    agrees()
