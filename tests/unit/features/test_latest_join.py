"""The latest row by sorting and searching, against looking at all rows; and a source that is read in parts."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.features.engines.duckdb import DuckDbEngine
from falaj.features.latest_join import key_codes, latest_rows
from falaj.features.offline import training_frame
from support.feature_worlds import ARROW, INSTANT, World, table, worlds


class Parts(DuckDbEngine):
    """An engine that reads every source in many parts."""

    @property
    def budget_bytes(self) -> int:
        return 200


CODES = st.integers(-1, 3)
TIMES = st.one_of(st.integers(-3, 3), st.sampled_from([-(1 << 62), 1 << 62]))


@given(
    st.lists(st.tuples(CODES, TIMES), max_size=8),
    st.lists(st.tuples(CODES, TIMES, st.integers(0, 2)), max_size=12),
    st.booleans(),
)
def test_it_finds_the_greatest_row_that_is_not_after(
    asked: list[tuple[int, int]], known: list[tuple[int, int, int]], before: bool
) -> None:
    """Spans of time that leave no room beside the key are there too."""
    expected = []
    for code, at in asked:
        seen = [
            (t, created, i)
            for i, (c, t, created) in enumerate(known)
            if c == code >= 0 and (t < at or (t == at and not before))
        ]
        expected.append(max(seen)[2] if seen else -1)
    one = tuple(np.array([q[i] for q in asked], np.int64) for i in range(2))
    two = tuple(np.array([r[i] for r in known], np.int64) for i in range(3))
    order = (two[2], np.arange(len(known)))
    found = latest_rows((one[0], one[1]), (two[0], two[1]), order, before=before)
    assert found.tolist() == expected


def test_composite_keys_that_concatenate_alike_have_codes_of_their_own() -> None:
    asked = [pa.array(["1", "12", None, "1"]), pa.array(["23", "3", "3", "23"])]
    known = [pa.array(["12", "1", "1", None]), pa.array(["3", "23", "3", "3"])]
    one, two = key_codes(asked, known)
    assert one[0] == one[3] == two[1]
    assert one[1] == two[0]
    assert one[0] != one[1]
    assert one[2] == two[2] == two[3] == -1


@given(worlds())
@settings(deadline=None)  # it starts an engine for each part
def test_a_source_read_in_parts_gives_the_same(world: World) -> None:
    keys = dict(world.spec.entity_keys)
    frame: dict[str, Any] = {
        key: pa.array([e[key] for e, _ in world.questions], ARROW[dtype]) for key, dtype in keys.items()
    }
    frame["event_timestamp"] = pa.array([at for _, at in world.questions], INSTANT)
    source = {"tx": table(world.rows)}
    whole = training_frame(world.spec, pa.table(frame), source)
    parts = training_frame(world.spec, pa.table(frame), source, engine=Parts())
    assert str(parts.to_pylist()) == str(whole.to_pylist())  # as text, for NaN is not equal to itself


@pytest.mark.parametrize("rows", [0, 5])
def test_no_question_is_answered_by_no_row(rows: int) -> None:
    none = np.empty(0, np.int64)
    some = np.zeros(rows, np.int64)
    assert latest_rows((none, none), (some, some), (some,), before=False).tolist() == []
    assert latest_rows((some, some), (none, none), (none,), before=False).tolist() == [-1] * rows
