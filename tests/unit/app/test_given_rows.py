"""What people hold in Python: taken where it means one thing, refused with a hint where it does not."""

import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from falaj.app.given_rows import given_entities, given_events, given_instant
from falaj.kernel.errors import InputError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEXT = "2026-01-01T12:00:00Z"
ROWS = [{"id": "a", "n": 9007199254740993, "at": TEXT}, {"id": None, "n": 2, "at": None}]
COLUMNS: dict[str, list[Any]] = {"id": ["a", None], "n": [9007199254740993, 2], "at": [NOON, None]}


@pytest.mark.parametrize(
    "given",
    [
        [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)],
        pa.table(COLUMNS),
        pa.RecordBatch.from_pydict(COLUMNS),
        pa.table(COLUMNS).to_reader(),
        pd.DataFrame(COLUMNS),
        pd.DataFrame(COLUMNS).astype({"at": "datetime64[ns, UTC]", "id": "category"}),
        pl.DataFrame(COLUMNS),
        pl.DataFrame(COLUMNS).lazy(),
    ],
    ids=["dicts", "table", "batch", "reader", "pandas", "pandas-ns", "polars", "lazy"],
)
def test_rows_of_every_kind_are_the_same_rows(given: Any) -> None:
    taken = given_entities if isinstance(given, list | pa.Table) else given_events
    assert list(taken(given)) == ROWS


def test_one_event_is_a_dict() -> None:
    assert list(given_events(ROWS[0])) == ROWS[:1]
    assert list(given_events(iter(ROWS))) == ROWS


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(9007199254740993), 9007199254740993),
        (np.uint8(7), 7),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (pd.Timestamp("2026-01-01T12:00:00.000000999Z"), TEXT),
        (datetime(2026, 1, 1, 16, tzinfo=timezone(timedelta(hours=4))), TEXT),
        (pd.NaT, None),
        (pd.NA, None),
        (pa.scalar(7), 7),
        (Decimal("10.10"), 10.1),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([np.int64(1), None], [1, None]),
        ({"b": np.int64(1)}, {"b": 1}),
    ],
)
def test_values_keep_their_meaning(value: Any, plain: Any) -> None:
    (found,) = given_events({"x": value})
    assert found == {"x": plain}
    assert type(found["x"]) is type(plain)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (datetime(2026, 1, 1), "has no time zone"),  # noqa: DTZ001
        (pd.Timestamp("2026-01-01"), "has no time zone"),
        (np.datetime64("2026-01-01"), "has no time zone"),
        (float("nan"), "JSON cannot hold"),
        (np.float32("inf"), "JSON cannot hold"),
        (date(2026, 1, 1), "is a date"),
        (timedelta(1), "is a timedelta"),
        (np.timedelta64(1, "ns"), "is a timedelta64"),
        (Decimal("0.1000000000000000000001"), "is a Decimal"),
        (b"x", "is a bytes"),
        (np.array([1, 2]), "is a ndarray"),
        (1j, "is a complex"),
    ],
)
def test_values_of_several_meanings_are_refused(value: Any, said: str) -> None:
    with pytest.raises(InputError, match=f"field 'x'.*{said}") as refused:
        list(given_events([{"x": value}]))
    assert refused.value.hint


@pytest.mark.parametrize(
    "column",
    [
        [1, 2],
        (1, 2),
        range(1, 3),
        np.array([1, 2]),
        pd.Series([1, 2]),
        pd.Index([1, 2]),
        pl.Series([1, 2]),
        pa.array([1, 2]),
        pa.chunked_array([[1], [2]]),
    ],
    ids=lambda column: f"{type(column).__module__}.{type(column).__name__}",
)
def test_a_key_column_may_be_of_every_library(column: Any) -> None:
    assert given_entities({"k": column}) == [{"k": 1}, {"k": 2}]


def test_one_entity_needs_no_list() -> None:
    assert given_entities({"k": np.int64(1), "b": "x"}) == [{"k": 1, "b": "x"}]
    assert given_entities({"k": np.array(1)}) == [{"k": 1}]
    assert given_entities({"k": pd.Series([1, None], dtype="Int64")}) == [{"k": 1}, {"k": None}]
    assert given_entities({}) == [{}]


@pytest.mark.parametrize("given", ["c1", b"c1", 7, None, [1, 2], ["c1"], {"k": {1, 2}}, {"k": np.array([[1]])}])
def test_what_is_no_entity_is_refused(given: Any) -> None:
    with pytest.raises(InputError) as refused:
        given_entities(given)
    assert refused.value.hint


@pytest.mark.parametrize("given", ["{}", b"{}", 7, None, [1], ["{}"]])
def test_what_is_no_event_is_refused(given: Any) -> None:
    with pytest.raises(InputError, match="event") as refused:
        list(given_events(given))
    assert "one event as a dict" in refused.value.hint


def test_instants_have_a_zone() -> None:
    assert given_instant(NOON) == given_instant("2026-01-01T16:00:00+04:00") == given_instant(TEXT) == TEXT
    assert given_instant(pd.Timestamp("2026-01-01T12:00:00.000000999Z")) == TEXT
    for naive in (datetime(2026, 1, 1), "2026-01-01T12:00:00", np.datetime64("2026-01-01"), pd.Timestamp(0), 0, pd.NaT):  # noqa: DTZ001
        with pytest.raises(InputError) as refused:
            given_instant(naive)
        assert refused.value.hint
