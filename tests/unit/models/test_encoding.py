import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.definitions.signature import InputSpec, Signature
from falaj.kernel.errors import DataError, InputError
from falaj.models.encoding import Encoder, encode_columns, fit_signature

SIGNATURE = Signature(
    (
        InputSpec("amount", "float64"),
        InputSpec("count", "int64"),
        InputSpec("abroad", "bool"),
        InputSpec("country", "string", ("AE", "OM")),
    )
)
ENCODER = Encoder(SIGNATURE)


def test_values_become_float32_and_missing_ones_nan() -> None:
    matrix = ENCODER.encode([[1.5, 2, True, "OM"], [None, None, None, None]])
    assert matrix.dtype == np.float32 and matrix.flags.c_contiguous and matrix.shape == (2, 4)
    assert matrix[0].tolist() == [1.5, 2.0, 1.0, 1.0]
    assert np.isnan(matrix[1]).all()


def test_an_unseen_category_is_missing() -> None:
    assert math.isnan(ENCODER.encode([[1.0, 1, False, "XX"]])[0, 3])


def test_no_rows_keep_the_width() -> None:
    assert ENCODER.encode([]).shape == (0, 4)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (["1.5", 1, True, "OM"], "amount"),
        ([1.5, b"1", True, "OM"], "count"),
        ([1.5, 10**400, True, "OM"], "count"),
        ([1.5, 1, [], "OM"], "abroad"),
        ([1.5, 1, True, ["OM"]], "country"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(row: list[Any], name: str) -> None:
    with pytest.raises(InputError, match=name):
        ENCODER.encode([[1.0, 1, True, "AE"], row])


@pytest.mark.parametrize("rows", [[[1.0]], [[1.0, 1, True], [1.0, 1, True, "AE", 2.0]]])
def test_a_row_of_another_length_is_refused(rows: list[list[Any]]) -> None:
    with pytest.raises(InputError, match="4 values"):
        ENCODER.encode(rows)


def test_values_beyond_float32_keep_their_order() -> None:
    matrix = ENCODER.encode([[1e300, 10**60, True, "OM"], [-math.inf, -(10**60), True, "OM"]])
    assert np.isfinite(matrix).all() and matrix[0, 0] == np.finfo(np.float32).max


def test_numpy_scalars_are_numbers() -> None:
    row = [np.float64(1.5), np.int64(2), np.True_, "AE"]
    assert ENCODER.encode([row])[0].tolist() == [1.5, 2.0, 1.0, 0.0]


@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(allow_nan=True, allow_infinity=True),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.booleans(),
            st.none() | st.sampled_from(["AE", "OM", "XX", ""]),
        ),
        max_size=20,
    )
)
def test_rows_and_columns_encode_to_the_same_bits(rows: list[tuple[Any, ...]]) -> None:
    columns = {
        "amount": pa.array([row[0] for row in rows], pa.float64()),
        "count": pa.array([row[1] for row in rows], pa.int64()),
        "abroad": pa.array([row[2] for row in rows], pa.bool_()),
        "country": pa.array([row[3] for row in rows], pa.string()),
    }
    by_column = encode_columns(SIGNATURE, columns)
    assert ENCODER.encode(rows).tobytes() == by_column.tobytes()
    chunked = {name: pa.chunked_array([values, values[:0]]) for name, values in columns.items()}
    assert encode_columns(SIGNATURE, chunked).tobytes() == by_column.tobytes()


def test_the_vocabulary_keeps_the_most_frequent_values_sorted() -> None:
    values = pa.array(["z", "z", "m", "m", "a", "b", None])
    signature = fit_signature({"c": values}, {"c": "string"}, max_categories=3)
    assert signature.inputs[0].categories == ("a", "m", "z")


def test_signature_keeps_order_types_and_defaults() -> None:
    columns = {"b": np.zeros(2), "a": pa.array([1, 2])}
    signature = fit_signature(columns, {"a": "int64", "b": "float64"}, defaults={"a": 3.0})
    assert signature.inputs == (InputSpec("b", "float64"), InputSpec("a", "int64", (), 3.0))


def test_a_timestamp_is_refused() -> None:
    with pytest.raises(DataError, match="'at' is a timestamp"):
        fit_signature({"at": np.zeros(1)}, {"at": "timestamp"})
    with pytest.raises(DataError, match="'at' is a timestamp"):
        Encoder(Signature((InputSpec("at", "timestamp"),)))


def test_an_absent_or_wrong_column_is_named() -> None:
    with pytest.raises(DataError, match="'b'"):
        encode_columns(Signature((InputSpec("a", "int64"), InputSpec("b", "int64"))), {"a": np.zeros(1)})
    with pytest.raises(DataError, match="'a'"):
        encode_columns(Signature((InputSpec("a", "int64"),)), {"a": np.array(["1"])})
    with pytest.raises(DataError, match="'a'"):
        encode_columns(Signature((InputSpec("a", "int64"),)), {"a": np.array(["1"], object)})


def test_no_features_are_refused() -> None:
    with pytest.raises(DataError, match="at least one feature"):
        fit_signature({}, {})
