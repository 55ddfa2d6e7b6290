"""Answer: what an engine's statements returned, as one column per feature in the order of the questions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from falaj.definitions.aggregation import COUNTS
from falaj.definitions.service_spec import ViewSpec
from falaj.features.arrow_types import ARROW_TYPES
from falaj.features.engines.port import Questions
from falaj.kernel.errors import DataError


def in_order(answer: pa.Table, number: str, rows: int) -> dict[str, Any]:
    """Return the answer's columns in the order of the questions, null where one has no answer.

    Args:
        answer: At most one row per question.
        number: The column that says which; questions are numbered from 0.
        rows: How many questions there are.
    """
    place = np.full(rows, -1, np.int64)  # a null key matches nothing, and is not in the answer
    place[answer[number].to_numpy()] = np.arange(answer.num_rows)
    taken = answer.drop_columns([number]).take(pa.array(place, mask=place < 0))
    return {name: taken[name] for name in taken.column_names}


def named_columns(view: ViewSpec, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return a view's features under the names that datasets have, in their types; a count of nothing is 0."""
    named = {}
    for feature in view.features:
        column = columns[feature.name]
        if feature.function in COUNTS:
            column = column.fill_null(0)
        named[view.column_name(feature.name)] = column.cast(ARROW_TYPES[feature.dtype])
    return named


def asked_table(view: ViewSpec, questions: Questions) -> pa.Table:
    """Return the relation `asked` of a view: `_question`, `_t` less the view's delay, `_k0`, `_k1`, ..."""
    keys = {f"_k{i}": questions.keys[name] for i, (name, _) in enumerate(view.keys)}
    at = pc.subtract(questions.times_us, view.delay_us)
    return pa.table({"_question": np.arange(questions.rows, dtype=np.int64), "_t": at, **keys})


def rows_of(view: ViewSpec, tables: Mapping[str, Any]) -> Any:
    """Return the rows of a view's source.

    Raises:
        DataError: They were not given.
    """
    if view.source not in tables:
        raise DataError(f"the rows of source {view.source!r} were not given", hint="ingest the source first")
    return tables[view.source]


def chunk(column: Any) -> Any:
    """Return a column as one piece."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def source_columns(view: ViewSpec) -> list[str]:
    """Return the columns of a source's table that a view reads."""
    wanted = ["_event_ts", "_created", "_ingest_seq", *(name for name, _ in (*view.keys, *view.inputs))]
    return list(dict.fromkeys(wanted if view.id_column is None else [*wanted, view.id_column]))
