"""Source content: rows in the order of their numbers, whatever order and pieces the table has them in."""

import pyarrow as pa
import pyarrow.dataset as ds

from falaj.data.source_content import source_content

US = pa.timestamp("us", "UTC")


def rows(values: list[int], numbers: list[int]) -> pa.Table:
    times = pa.array(values, US)
    return pa.table({"n": values, "other": numbers, "_event_ts": times, "_created": times, "_ingest_seq": numbers})


def content(*tables: pa.Table) -> str:
    return source_content(ds.dataset(pa.concat_tables(tables)), ["n"])


def test_numbers_pieces_and_other_columns_do_not_count() -> None:
    whole = content(rows([5, 6, 7], [1, 2, 3]))
    assert content(rows([5], [10]), rows([6, 7], [20, 30])) == whole
    assert content(rows([6, 7], [20, 30]), rows([5], [10])) == whole, "landed later, but numbered before"
    assert content(rows([7, 5, 6], [3, 1, 2])) == whole


def test_values_and_their_order_count() -> None:
    found = [content(rows(*given)) for given in (([5, 6], [1, 2]), ([5, 6], [2, 1]), ([5], [1]), ([5, 7], [1, 2]))]
    assert len({*found, content(rows([], []).cast(rows([5], [1]).schema))}) == 5
