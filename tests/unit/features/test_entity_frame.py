"""Entity frames: whatever the columns' encodings, the same rows; what would miss silently is refused with the fix."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from falaj.data.content import content_digest
from falaj.data.given_frame import open_frame
from falaj.definitions.entity import Entity
from falaj.definitions.feature_service import FeatureService, request
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.source import Push, Source
from falaj.features.compile import compile_service
from falaj.features.entity_frame import EntityFrame
from falaj.kernel.errors import InputError, Unsupported
from support.feature_worlds import SCHEMA, UNWINDOWED

US = pa.timestamp("us", "UTC")
AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


def spec(**fields: str) -> ServiceSpec:
    source = Source("tx", stream=Push(), timestamp="at", schema=SCHEMA)
    views = [
        FeatureView("texts", Entity("text", key="a"), source, {"last": UNWINDOWED["country"]}),
        FeatureView("numbers", Entity("number", key="n", dtype="int64"), source, {"last": UNWINDOWED["amount"]}),
    ]
    return compile_service(FeatureService("s", [*views, *(request(n, d) for n, d in fields.items())]), {"tx": SCHEMA})


def frame(**changes: Any) -> pa.Table:
    columns = {"a": pa.array(["x", None]), "n": pa.array([1, None]), "event_timestamp": pa.array([AT, AT], US)}
    return pa.table({name: column for name, column in (columns | changes).items() if column is not None})


def fit(given: Any, **fields: str) -> pa.Table:
    return EntityFrame(spec(**fields)).fit(open_frame(given).read_all())


PLAIN = frame(extra=pa.array(["e", "f"]))
ENCODED: dict[str, Any] = {
    "chunks": pa.concat_tables([PLAIN.slice(0, 1), PLAIN.slice(1)]),
    "dictionary": PLAIN.set_column(0, "a", PLAIN["a"].dictionary_encode()),
    "dictionary_keys": PLAIN.set_column(1, "n", PLAIN["n"].dictionary_encode()),
    "large": PLAIN.set_column(0, "a", PLAIN["a"].cast(pa.large_string())),
    "view": PLAIN.set_column(0, "a", PLAIN["a"].cast(pa.string_view())),
    "int8": PLAIN.set_column(1, "n", PLAIN["n"].cast(pa.int8())),
    "int32": PLAIN.set_column(1, "n", PLAIN["n"].cast(pa.int32())),
    "uint64": PLAIN.set_column(1, "n", PLAIN["n"].cast(pa.uint64())),
    "ns": PLAIN.set_column(2, "event_timestamp", PLAIN["event_timestamp"].cast(pa.timestamp("ns", "UTC"))),
    "s": PLAIN.set_column(2, "event_timestamp", PLAIN["event_timestamp"].cast(pa.timestamp("s", "UTC"))),
    "Dubai": PLAIN.set_column(2, "event_timestamp", PLAIN["event_timestamp"].cast(pa.timestamp("us", "Asia/Dubai"))),
    "reader": PLAIN.to_reader(1),
    "mapping": PLAIN.to_pydict(),
    "pandas": pd.DataFrame(
        {
            "a": pd.Series(["x", None], dtype="str"),
            "n": pd.Series([1, None], dtype="Int64"),
            "event_timestamp": pd.Series([AT, AT]),
            "extra": ["e", "f"],
        }
    ),
    "pandas_categories": pd.DataFrame(
        {
            "a": pd.Categorical(["x", None]),
            "n": pd.Series([1, None], dtype="Int32"),
            "event_timestamp": pd.to_datetime([AT, AT]).as_unit("ns"),
            "extra": pd.Categorical(["e", "f"]),
        }
    ),
    "polars": pl.from_arrow(PLAIN),
    "polars_categories": pl.from_arrow(PLAIN).with_columns(pl.col("a").cast(pl.Categorical)),
    "polars_lazy": pl.from_arrow(PLAIN).lazy(),
}


@pytest.mark.parametrize("given", ENCODED.values(), ids=ENCODED)
def test_the_same_rows_in_any_encoding(given: Any) -> None:
    fitted = fit(given)
    assert fitted.schema == pa.schema(
        [("a", pa.string()), ("n", pa.int64()), ("event_timestamp", US), ("extra", pa.string())]
    )
    assert content_digest(fitted) == content_digest(PLAIN)


@pytest.mark.parametrize(
    ("column", "values", "why", "fix"),
    [
        ("n", pa.array([1.0, None]), "'n' of the frame is double, and its type is int64", "astype('Int64')"),
        ("n", pa.array(["1", "2"]), "'n' of the frame is string, and its type is int64", "AS BIGINT"),
        ("n", pa.array(["1", "2"]).dictionary_encode(), "'n' of the frame is string", "AS BIGINT"),
        ("n", pa.array([True, False]), "'n' of the frame is bool", "AS BIGINT"),
        ("n", pa.array([2**63, 1], pa.uint64()), "'n' of the frame holds what is no int64", "AS BIGINT"),
        ("a", pa.array([1, 2]), "'a' of the frame is int64, and its type is string", "AS VARCHAR"),
        ("n", None, "no column 'n', which the features need", ""),
        ("event_timestamp", pa.array([AT, AT], pa.timestamp("us")), "is a time without a zone", "tz_localize('UTC')"),
        ("event_timestamp", pa.array(["2026-01-05", ""]), "'event_timestamp' of the frame is string", "aware"),
        ("event_timestamp", pa.array([1, 2]), "'event_timestamp' of the frame is int64", "aware"),
        ("event_timestamp", pa.array([AT, None], US), "row 101 of the frame has no event_timestamp", "remove the row"),
        ("event_timestamp", pa.nulls(2), "row 100 of the frame has no event_timestamp", "remove the row"),
        ("event_timestamp", pa.array([2**62, 0], pa.timestamp("s", "UTC")), "out of bounds", "292277"),
        ("texts__last", pa.array([1, 2]), "a column 'texts__last', as a feature is called", "rename it"),
    ],
)  # fmt: skip
def test_what_would_miss_is_refused_with_the_fix(column: str, values: Any, why: str, fix: str) -> None:
    with pytest.raises(InputError) as caught:
        EntityFrame(spec()).fit(frame(**{column: values}), 100)
    assert why in caught.value.message
    assert fix in caught.value.hint


def test_a_column_that_no_dataset_keeps_is_refused() -> None:
    with pytest.raises(Unsupported, match="'extra' has type list"):
        fit(frame(extra=pa.array([[[1]], [[2]]])))


def test_instants_are_cut_to_the_microsecond_before() -> None:
    instants = pa.array([1_999, -1], pa.timestamp("ns", "UTC"))
    assert fit(frame(event_timestamp=instants))["event_timestamp"].cast(pa.int64()).to_pylist() == [1, -1]


def test_the_rows_of_other_zones_are_the_same_instants() -> None:
    there = AT.astimezone(timezone(timedelta(hours=4)))
    assert fit({"a": ["x"], "n": [1], "event_timestamp": [there]})["event_timestamp"].to_pylist() == [AT]


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("float64", pa.array([1, None], pa.int32()), [1.0, None]),
        ("float64", pa.array([1.5, None], pa.float32()), [1.5, None]),
        ("int64", pa.array([1.0, None]), [1, None]),  # as pandas holds whole numbers with gaps
        ("string", pa.nulls(2), [None, None]),
        ("bool", pa.array([True, None]), [True, None]),
        ("timestamp", pa.array([AT, None], pa.timestamp("ns", "UTC")), [AT, None]),
    ],
)
def test_request_fields_are_taken_where_nothing_is_lost(dtype: str, values: Any, expected: list[Any]) -> None:
    assert fit(frame(amount=values), amount=dtype)["amount"].to_pylist() == expected


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int64", pa.array([1.5, None])),
        ("float64", pa.array([2**53 + 1, None])),
        ("float64", pa.array(["1", "2"])),
        ("float64", pa.array([True, False])),
        ("bool", pa.array([1, 0])),
        ("string", pa.array([1, 0])),
        ("timestamp", pa.array([AT, AT], pa.timestamp("us"))),
    ],
)
def test_request_fields_that_would_change_are_refused(dtype: str, values: Any) -> None:
    with pytest.raises(InputError, match="column 'amount' of the frame"):
        fit(frame(amount=values), amount=dtype)


def test_a_frame_without_rows_has_the_columns() -> None:
    empty = pd.DataFrame({"a": [], "n": [], "event_timestamp": [], "extra": []}, dtype=object)
    assert fit(empty).schema == fit(PLAIN).schema
