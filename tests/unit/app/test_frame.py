"""Frames in pandas: nothing is rounded because a value beside it is null."""

import pyarrow as pa

from falaj.app.frame import Frame

BIG = 9007199254740993


def test_whole_numbers_and_truth_values_with_nulls_keep_their_values() -> None:
    table = pa.table(
        {
            "full": pa.array([BIG, 1]),
            "n": pa.array([BIG, None]),
            "small": pa.array([7, None], pa.uint8()),
            "flag": pa.array([True, None]),
            "x": pa.array([0.5, None]),
            "l": pa.array([[BIG, None], None], pa.list_(pa.int64())),
        }
    )
    frame = Frame(table).to_pandas()
    assert list(frame.columns) == table.column_names
    assert [str(kind) for kind in frame.dtypes] == ["int64", "Int64", "UInt8", "boolean", "float64", "object"]
    assert frame["n"][0] == BIG
    assert frame["n"].isna().tolist() == frame["flag"].isna().tolist() == [False, True]
    assert list(frame["l"][0]) == [BIG, None]
    assert frame["l"][1] is None
