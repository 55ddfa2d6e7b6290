"""What is read for some decisions says of their entities what the whole table says, and little else is read."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.definitions.aggregation import column, count
from falaj.features.event_sample import SHIFT_US, EventSample
from falaj.features.history import EVERYTHING, History
from falaj.features.naive import reach, visible
from falaj.kernel.errors import DataError
from support.feature_worlds import World, make_service, row, table, worlds

DAY = 24 * 3_600_000_000


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.integers(0, 20), st.sampled_from([0, DAY, -400 * DAY]))
def test_it_says_what_the_whole_table_says(world: World, seq: int, later: int) -> None:
    view, asked = world.view, world.questions[:2]
    sample = EventSample(view)
    for entity, at in asked:
        sample.add(entity, [at, at + later])
    whole = table(world.rows)
    histories = History(view, whole), History(view, sample.read(ds.dataset(whole)))
    for entity, at in asked:
        instants = (at, at + later, at - view.delay_us, at + view.delay_us, at + SHIFT_US, at - SHIFT_US)
        for number, versions in ((seq, False), (seq, True), (EVERYTHING, False)):
            expected, found = (history.events(entity, number, versions=versions) for history in histories)
            for instant in instants:
                for feature in view.features:
                    # As text, because NaN is not equal to itself
                    of_all = repr(visible(view, feature, expected, instant))
                    assert repr(visible(view, feature, found, instant)) == of_all
                near = histories[1].events(entity, number, versions=versions, within=reach(view, instant))
                for feature in view.features:
                    of_all = repr(visible(view, feature, found, instant))
                    assert repr(visible(view, feature, near, instant)) == of_all


def test_the_same_events_are_the_same_list() -> None:
    view = make_service(c=column("amount")).views[0]
    history = History(view, table([row("x", at=1), row("y", at=5), row("x", at=2, known=1)]))
    before, all_of_it = (history.events({"a": "1"}, seq, within=(3, 9)) for seq in (2, EVERYTHING))
    assert before is all_of_it
    assert [event.seq for event in before] == [2]
    assert [event.seq for event in history.events({"a": "1"}, 2)] == [1, 2]
    assert [event.seq for event in history.events({"a": "1"}, EVERYTHING)] == [3, 2]


def read(
    rows: list[dict[str, Any]], *asked: tuple[dict[str, Any], int], entity: str = "text", **more: Any
) -> list[int]:
    """Return the numbers of the rows that are read for entities at instants."""
    sample = EventSample(make_service(entity, **more).views[0])
    for who, at in asked:
        sample.add(who, [at])
    numbers: list[int] = sample.read(ds.dataset(table(rows)))["_ingest_seq"].to_pylist()
    return numbers


def test_rows_of_others_are_not_read() -> None:
    rows = [row("x", a="1"), row("y", a="2"), row("x", a="3", known=1), row("z", a="3"), row(None, a="1")]
    assert read(rows, ({"a": "1"}, 5), c=column("amount")) == [1, 3, 5]  # the third is a version of the first
    assert read(rows, ({"a": None}, 5), ({"a": 7}, 5), ({}, 5), c=column("amount")) == []


def test_keys_are_taken_together() -> None:
    rows = [row("v", a="1", b="3"), row("w", a="1", b="4"), row("x", a="2", b="3"), row("y", a="2", b="4")]
    asked = (({"a": "1", "b": "3"}, 5), ({"a": "2", "b": "4"}, 5))
    assert read(rows, *asked, entity="pair", c=column("amount")) == [1, 4]


def test_without_an_entity_time_bounds_what_is_read() -> None:
    rows = [row(str(day), at=day * DAY) for day in range(100)]
    asked: list[tuple[dict[str, Any], int]] = [({}, 10 * DAY), ({}, 60 * DAY)]
    assert read(rows, ({}, 60 * DAY), entity="all", n=count(window="2d")) == [59, 60, 61]
    assert len(read(rows, *asked, entity="all", n=count(window="2d"))) == 3 + 3
    assert len(read(rows, *asked, entity="all", n=count(window="2d"), c=column("amount"))) == 100
    everywhen: list[tuple[dict[str, Any], int]] = [({}, day * DAY) for day in range(0, 200, 3)]
    assert len(read(rows, *everywhen, entity="all", n=count(window="1h"))) == 100


def test_a_column_of_another_type_is_refused_by_name() -> None:
    view = make_service("number", c=column("amount")).views[0]
    sample = EventSample(view)
    sample.add({"n": 1}, [5])
    rows = table([row("x", n=1)])
    text = rows.set_column(rows.column_names.index("n"), "n", pa.array(["one"]))
    with pytest.raises(DataError, match="column 'n' is string"):
        History(view, sample.read(ds.dataset(text)))
    with pytest.raises(DataError, match="no column 'n'"):
        History(view, sample.read(ds.dataset(rows.drop_columns(["n"]))))


def test_files_are_read_in_the_order_of_arrival(tmp_path: Path) -> None:
    for part in (2, 0, 1):
        rows = [row(f"{part}/{i}", a=str(i)) for i in range(100)]
        pq.write_table(table(rows, part * 100 + 1), tmp_path / f"{9 - part}.parquet")
    sample = EventSample(make_service(c=column("amount")).views[0])
    sample.add({"a": "7"}, [5])
    assert sample.read(ds.dataset(tmp_path))["_ingest_seq"].to_pylist() == [8, 108, 208]
