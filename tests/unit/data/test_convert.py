"""Values of files in the types of their source."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.data.convert import convert_column, convert_rows, epoch_us
from falaj.kernel.clock import EPOCH, to_us

INT64 = st.integers(-(2**63), 2**63 - 1)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001 naive on purpose


def us_of(column: pa.Array) -> list[int | None]:
    found: list[int | None] = column.cast(pa.int64()).to_pylist()
    return found


def bad_of(values: list[Any], dtype: str) -> list[bool]:
    converted, bad = convert_column(pa.array(values, pa.string()), dtype, text=True)
    found = [False] * len(values) if bad is None else bad.to_pylist()
    assert all(converted[i].as_py() is None for i, is_bad in enumerate(found) if is_bad)
    return found


@given(st.lists(INT64))
def test_nanoseconds_are_cut_down_never_up(ns: list[int]) -> None:
    converted, bad = convert_column(pa.array(ns, pa.timestamp("ns")), "timestamp", text=False)
    assert bad is None
    assert us_of(converted) == [n // 1000 for n in ns]


@given(st.lists(st.one_of(st.none(), INT64)), st.sampled_from([("s", 10**6), ("ms", 10**3), ("us", 1)]))
def test_coarser_timestamps_are_exact_or_refused(numbers: list[int | None], unit: tuple[str, int]) -> None:
    name, times = unit
    converted, bad = convert_column(pa.array(numbers, pa.timestamp(name)), "timestamp", text=False)
    refused = bad.to_pylist() if bad is not None else [False] * len(numbers)
    for number, us, is_refused in zip(numbers, us_of(converted), refused, strict=True):
        fits = number is not None and abs(number) <= (2**63 - 1) // times
        assert us == (number * times if fits and number is not None else None) or (number == -(2**63) and times == 1)
        assert is_refused == (number is not None and not fits)


@given(st.lists(MOMENTS), st.sampled_from(["", "Z", "+04:00", "-09:30"]))
def test_iso_text_is_the_instant_that_python_reads(moments: list[datetime], zone: str) -> None:
    texts = [moment.isoformat(sep=" ") + zone for moment in moments]
    expected = [to_us(datetime.fromisoformat(text + ("" if zone else "Z"))) for text in texts]
    converted, bad = convert_column(pa.array(texts, pa.string()), "timestamp", text=True)
    assert bad is None
    assert us_of(converted) == expected


@pytest.mark.parametrize("zone", ["", "Z", "+04:00"])
def test_finer_text_is_cut_down_like_finer_numbers(zone: str) -> None:
    texts = [f"1969-12-31T23:59:59.999999999{zone}", f"1969-12-31T23:59:59.5{zone}"]
    converted, bad = convert_column(pa.array(texts), "timestamp", text=True)
    assert bad is None
    assert us_of(converted) == [to_us(datetime.fromisoformat(text + ("" if zone else "Z"))) for text in texts]


@given(st.lists(st.sampled_from(["2018-04-01", "2018-04-01T00:00:31Z", "1522540831", "x", "", None]), max_size=6))
def test_a_value_means_the_same_in_any_company(texts: list[str | None]) -> None:
    together, _ = convert_column(pa.array(texts, pa.string()), "timestamp", text=True)
    alone = [convert_column(pa.array([text], pa.string()), "timestamp", text=True)[0][0] for text in texts]
    assert together.to_pylist() == [value.as_py() for value in alone]


@given(st.lists(INT64))
def test_epoch_numbers_tell_their_unit_by_size_in_columns_as_alone(numbers: list[int]) -> None:
    converted, bad = convert_column(pa.array(numbers, pa.int64()), "timestamp", text=False)
    assert us_of(converted) == [epoch_us(number) for number in numbers]
    assert bad is None or not any(bad.to_pylist())


@pytest.mark.parametrize("per_second", [1, 10**3, 10**6, 10**9])
def test_an_instant_of_this_century_in_each_unit(per_second: int) -> None:
    moment = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    assert epoch_us(int((moment - EPOCH) / timedelta(seconds=1)) * per_second) == to_us(moment)


def test_days_are_their_midnight() -> None:
    converted, bad = convert_column(pa.array([-1, 1, 10**9], pa.date32()), "timestamp", text=False)
    assert us_of(converted) == [-86_400_000_000, 86_400_000_000, None]
    assert bad is not None
    assert bad.to_pylist() == [False, False, True]


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("int64", ["0", " 7", "-12", "+3", "4.0", "007"], ["x", "1.5", "0x10", "1_0", "9223372036854775808", "٣"]),
        ("float64", ["0", "1.5", "-.5", "2.", "1e5", "NaN", "-inf"], ["x", "1,5", "1_0", "0x1p3", "٣"]),
        ("bool", ["true", "False", "1", "0", "TRUE"], ["yes", "2", "x"]),
        ("timestamp", ["2018-04-01", "2018-04-01 10:00", "20180401"], ["2018-02-30", "April", "1.5"]),
    ],
)
def test_cells(dtype: str, good: list[str], bad: list[str]) -> None:
    assert not any(bad_of(good, dtype))
    assert all(bad_of(bad, dtype))
    assert [bad_of([cell], dtype) for cell in good + bad] == [[cell in bad] for cell in good + bad]
    mixed = [cell for pair in itertools.zip_longest(good, bad) for cell in pair if cell is not None]
    assert bad_of(mixed, dtype) == [cell in bad for cell in mixed]


@pytest.mark.parametrize("dtype", ["int64", "float64", "bool", "timestamp"])
def test_words_for_nothing_are_null_but_not_in_text(dtype: str) -> None:
    nothing = ["", "NA", "N/A", "NULL", "null", "None", None]
    converted, bad = convert_column(pa.array(nothing), dtype, text=True)
    assert converted.null_count == len(nothing)
    assert bad is None
    texts, _ = convert_column(pa.array(["NA", "", None]), "string", text=True)
    assert texts.to_pylist() == ["NA", "", None]


def test_numbers_too_large_for_their_column_are_refused_one_by_one() -> None:
    converted, bad = convert_column(pa.array([2**64 - 1, 3], pa.uint64()), "int64", text=False)
    assert (converted.to_pylist(), bad.to_pylist() if bad is not None else None) == ([None, 3], [True, False])


def test_rows_come_in_the_schemas_types_with_their_bad_cells() -> None:
    raw = pa.record_batch({"a": ["1", "x"], "b": ["t", "u"]})
    rows, unreadable = convert_rows({"b": "string", "a": "int64"}, raw, text=True)
    assert rows.to_pylist() == [{"b": "t", "a": 1}, {"b": "u", "a": None}]
    assert {name: mask.to_pylist() for name, mask in unreadable.items()} == {"a": [False, True]}


def test_encoded_and_empty_columns() -> None:
    coded = pa.array(["a", None, "a"]).dictionary_encode()
    assert convert_column(coded, "string", text=False)[0].to_pylist() == ["a", None, "a"]
    for dtype in ("string", "int64", "float64", "bool", "timestamp"):
        assert len(convert_column(pa.array([], pa.string()), dtype, text=True)[0]) == 0
        assert convert_column(pa.nulls(2), dtype, text=False)[0].null_count == 2
