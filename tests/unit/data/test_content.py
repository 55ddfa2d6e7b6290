"""The content digest: equal content, equal digest; any other content, another."""

import itertools
import math
import struct
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.data.content import content_digest, plain_table
from falaj.kernel.errors import Unsupported

TABLE = pa.table(
    {
        "n": pa.array([1, None, -3]),
        "x": pa.array([0.5, None, math.nan]),
        "s": pa.array(["a", "", None]),
        "b": pa.array([True, None, False]),
        "t": pa.array([0, None, 5], pa.timestamp("us", "UTC")),
        "d": pa.array([date(2018, 4, 1), None, None]),
        "f": pa.array([0.5, None, math.nan], pa.float32()),
        "u": pa.array([200, 1, None], pa.uint8()),
    }
)


def test_it_is_the_same_on_every_machine() -> None:
    # Written down once: if this changes, every dataset's digest changes with it.
    assert content_digest(TABLE) == "eb983cb53ebe561245b9819472fdf37a7b213ded54b929cdc0fd09bc331b4c6b"


@given(st.lists(st.integers(0, 3), max_size=3))
def test_chunks_do_not_count(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 3]
    pieces = [TABLE.slice(begin, end - begin) for begin, end in itertools.pairwise(edges)]
    assert content_digest(pa.concat_tables(pieces)) == content_digest(TABLE)


def test_offsets_into_a_larger_table_do_not_count() -> None:
    larger = pa.concat_tables([TABLE, TABLE, TABLE])
    assert content_digest(larger.slice(3, 3)) == content_digest(TABLE)
    assert content_digest(larger.slice(3, 3).combine_chunks()) == content_digest(TABLE)


def test_bytes_beneath_nulls_do_not_count() -> None:
    valid = pa.py_buffer(b"\x05")  # of three values the second is null
    numbers = pa.Array.from_buffers(pa.int64(), 3, [valid, pa.py_buffer(struct.pack("<3q", 1, 999, -3))])
    assert numbers.to_pylist() == [1, None, -3]
    texts = pa.Array.from_buffers(
        pa.string(), 3, [pa.py_buffer(b"\x03"), pa.py_buffer(struct.pack("<4i", 0, 1, 1, 6)), pa.py_buffer(b"ahidden")]
    )
    assert texts.to_pylist() == ["a", "", None]
    floats = pa.Array.from_buffers(pa.float64(), 3, [valid, pa.py_buffer(struct.pack("<3d", 0.5, 7.0, math.nan))])
    changed = TABLE.set_column(0, "n", numbers).set_column(1, "x", floats).set_column(2, "s", texts)
    assert content_digest(changed) == content_digest(TABLE)


def test_which_nan_does_not_count() -> None:
    other = np.frombuffer(struct.pack("<2Q", 0xFFF8_0000_0000_0001, 0x7FF0_0000_0000_0001), np.float64)
    assert np.isnan(other).all()
    assert content_digest(pa.table({"x": other})) == content_digest(pa.table({"x": [math.nan, math.nan]}))


def test_encodings_and_notes_do_not_count() -> None:
    coded = pa.table({"s": pa.array(["a", "", None]).dictionary_encode()})
    large = pa.table({"s": pa.array(["a", "", None], pa.large_string())}).replace_schema_metadata({"pandas": "{}"})
    assert content_digest(coded) == content_digest(large) == content_digest(TABLE.select(["s"]))
    assert plain_table(large).schema == pa.schema([("s", pa.string())])


@pytest.mark.parametrize(
    "other",
    [
        {"s": ["ab", ""]},
        {"s": ["", "ab"]},
        {"s": ["a", None]},
        {"s": ["b", "a"]},
        {"z": ["a", "b"]},
        {"s": ["a", "b", "c"]},
        {"s": ["a"]},
        {"s": [1, 2]},
    ],
)
def test_any_other_content_counts(other: dict[str, Any]) -> None:
    assert content_digest(pa.table(other)) != content_digest(pa.table({"s": ["a", "b"]}))


def test_types_order_and_signs_count() -> None:
    digests = {
        content_digest(table)
        for table in (
            pa.table({"a": [1], "b": [2]}),
            pa.table({"b": [2], "a": [1]}),
            pa.table({"a": pa.array([1], pa.int32()), "b": [2]}),
            pa.table({"a": [1.0], "b": [2]}),
            pa.table({"a": [0.0]}),
            pa.table({"a": [-0.0]}),
            pa.table({"a": pa.nulls(1, pa.float64())}),
            pa.table({"a": pa.array([], pa.int64())}),
            pa.table({}),
        )
    }
    assert len(digests) == 9


def test_nested_columns_are_refused() -> None:
    with pytest.raises(Unsupported, match="column 'a' has type list"):
        content_digest(pa.table({"a": [[[1]]]}))


def test_lists_have_a_digest_of_their_values_lengths_and_nulls() -> None:
    lists = [[[1], [2]], [[1, 2], []], [[], [1, 2]], [None, [1, 2]], [[1, 2], None], [[1, None], [2]], [[1.0], [2.0]]]
    assert len({content_digest(pa.table({"a": values})) for values in lists}) == len(lists)
    one, two = pa.chunked_array([[[1], None], [[2, 3]]]), pa.table({"a": [[9], [1], None, [2, 3]]}).slice(1)
    assert content_digest(pa.table({"a": one})) == content_digest(two)


@given(st.lists(st.decimals(-(10**12), 10**12, places=3) | st.none()))
def test_decimals_are_kept_as_the_floats_of_the_same_digits(values: list[Decimal | None]) -> None:
    for kind in (pa.decimal128(16, 3), pa.decimal128(38, 12)):
        kept = plain_table(pa.table({"a": pa.array(values, kind)}))["a"]
        assert kept.type == pa.float64()
        assert kept.to_pylist() == [None if value is None else float(value) for value in values]


def test_decimals_of_too_many_digits_are_refused_with_what_to_write() -> None:
    for value in (Decimal(2**53 + 1), Decimal("0.12345678901234567890")):
        with pytest.raises(Unsupported, match=f"{value}.*more digits") as refused:
            plain_table(pa.table({"a": pa.array([None, value])}))
        assert "::DOUBLE" in refused.value.hint
    assert plain_table(pa.table({"a": pa.array([Decimal(2**60)])}))["a"].to_pylist() == [2.0**60]
    with pytest.raises(Unsupported, match="type list"):
        plain_table(pa.table({"a": pa.array([[Decimal(1)]])}))
