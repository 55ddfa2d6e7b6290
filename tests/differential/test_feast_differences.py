"""Where Feast 0.67.0 answers otherwise than it should, each shown, with our answer beside it.

`docs/explanation/feast-differences.md` lists them. A test that fails after Feast was renewed means that a line of the
page is no longer true.
"""

from collections.abc import Callable
from typing import Any

import pytest
from peers.feast_peer import FeastFailed

from falaj.features.status import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT
from falaj.kernel.errors import InputError
from support.feast_world import SECOND_US, START_US, FeastWorld, Row, row

Make = Callable[..., FeastWorld]
BIG = (1 << 53) + 1
"""The first whole number that a float cannot hold."""


def asked(*times: int, k: Any = 1) -> list[Row]:
    return [{"k": k, "t": t} for t in times]


# --- Training frames: the Dask store, which is the default one ------------------------------------------------------


def test_dask_loses_rows_whose_features_are_older_than_the_ttl(world: Make) -> None:
    both = world(row(at=0, x=1.0), ttl_us=10, offline="dask")
    assert [r["row"] for r in both.feast_history(asked(10, 11))] == [0]
    assert both.our_values(asked(10, 11)) == [[1.0], [None]]


def test_dask_loses_rows_before_the_entitys_first(world: Make) -> None:
    both = world(row(at=0, x=1.0), offline="dask")
    assert [r["row"] for r in both.feast_history(asked(-1, 0))] == [1]
    assert both.our_values(asked(-1, 0)) == [[None], [1.0]]


def test_dask_loses_repeated_rows_and_the_order(world: Make) -> None:
    both = world(row(k=1, x=1.0), row(k=2, x=2.0), offline="dask")
    questions = [*asked(5, k=2), *asked(5, k=1), *asked(5, k=2)]
    assert sorted(r["row"] for r in both.feast_history(questions)) == [1, 2]
    assert both.our_values(questions) == [[2.0], [1.0], [2.0]]


def test_dask_gives_a_null_key_the_row_of_a_null_key(world: Make) -> None:
    both = world(row(k=None, x=1.0), offline="dask", keys={"k": "string"})
    assert both.feast_values(asked(5, k=None)) == [[1.0]]
    assert both.our_values(asked(5, k=None)) == [[None]]


def test_dask_rounds_whole_numbers_where_one_is_absent(world: Make) -> None:
    both = world(row(n=BIG), fields={"n": "int64"}, offline="dask")
    questions = [*asked(5), *asked(5, k=2)]
    assert both.feast_values(questions) == [[BIG - 1], [None]]
    assert both.our_values(questions) == [[BIG], [None]]


# --- Training frames: the DuckDB store ------------------------------------------------------------------------------


def test_duckdb_loses_the_order_of_the_rows(world: Make) -> None:
    both = world(*(row(k=i % 50, at=i, x=float(i)) for i in range(5_000)))
    questions = [{"k": i % 50, "t": (i * 7919) % 5_000} for i in range(5_000)]
    answered = [r["row"] for r in both.feast_history(questions)]
    assert answered != sorted(answered)
    assert both.our_values(questions) == both.feast_values(questions)


def test_duckdb_takes_any_row_of_equal_instants_and_we_the_last_that_arrived(world: Make) -> None:
    rows = [row(at=0, known=0, x=float(i)) for i in range(3)]
    assert world(*rows).feast_values(asked(5)) == [[0.0]]
    both = world(*rows, offline="dask")
    assert both.feast_values(asked(5)) == [[2.0]]  # the two stores differ
    assert both.our_values(asked(5)) == [[2.0]]


def test_duckdb_cannot_read_a_feature_whose_name_ends_in_y(world: Make) -> None:
    both = world(row(pos_y=1.5), fields={"pos_y": "float64"})
    with pytest.raises(FeastFailed, match="Column 'v__pos_y' is not found"):
        both.feast_history(asked(5))
    assert both.our_values(asked(5)) == [[1.5]]


def test_a_null_in_a_frame_of_whole_numbers_makes_keys_meet(world: Make) -> None:
    both = world(row(k=BIG, x=1.0), row(k=BIG - 1, x=2.0))
    questions = [*asked(5, k=BIG), *asked(5, k=None)]
    assert both.feast_values(questions) == [[2.0], [None]]  # a frame is a pandas one, and its keys are floats now
    assert both.our_values(questions) == [[1.0], [None]]


@pytest.mark.parametrize(("offline", "rows"), [("duckdb", [0, 1]), ("dask", [0])])
def test_a_row_without_an_instant_is_answered_or_lost_and_we_refuse_it(
    world: Make, offline: str, rows: list[int]
) -> None:
    both = world(row(x=1.0), offline=offline)
    questions: list[Row] = [*asked(5), {"k": 1, "t": None}]
    assert [r["row"] for r in both.feast_history(questions)] == rows
    with pytest.raises(InputError, match="row 1 of the frame has no event_timestamp"):
        both.our_values(questions)


# --- Online ---------------------------------------------------------------------------------------------------------


def test_the_ttl_is_not_enforced_online(world: Make) -> None:
    both = world(row(at=0, x=1.0), ttl_us=10)
    both.feast_materialise(0)
    assert both.feast_online([{"k": 1}]) == [[1.0]]  # years after
    assert both.feast_statuses([{"k": 1}]) == [[PRESENT]]
    assert both.feast_values(asked(11)) == [[None]]  # it differs from its own training frame
    ours = both.our_online([{"k": 1}], 11)
    assert (ours.values, ours.statuses) == ([[None]], [[OUTSIDE_MAX_AGE]])


def test_a_late_row_never_reaches_the_online_store(world: Make) -> None:
    both = world(row(at=0, x=1.0))
    both.feast_materialise(10)
    both.add([row(at=5, known=15, x=2.0)])
    both.feast_materialise_incrementally(20)
    assert both.feast_online([{"k": 1}]) == [[1.0]]
    assert both.feast_values(asked(20)) == [[2.0]]
    assert both.our_online([{"k": 1}], 20).values == both.our_values(asked(20)) == [[2.0]]


def test_a_correction_never_reaches_the_online_store(world: Make) -> None:
    both = world(row(at=0, x=1.0))
    both.feast_materialise(10)
    both.add([row(at=0, known=15, x=2.0)])
    both.feast_materialise_incrementally(20)
    assert both.feast_online([{"k": 1}]) == [[1.0]]
    assert both.feast_values(asked(20)) == [[2.0]]
    assert both.our_online([{"k": 1}], 20).values == both.our_values(asked(20)) == [[2.0]]


def test_an_older_row_that_is_pushed_replaces_a_newer(world: Make) -> None:
    both = world(row(at=5, x=2.0))
    both.feast_materialise(10)
    both.feast_push([row(at=0, known=20, x=1.0)])
    assert both.feast_online([{"k": 1}]) == [[1.0]]
    both.add([row(at=0, known=20, x=1.0)])
    assert both.our_online([{"k": 1}], 20).values == [[2.0]]


def test_materialising_an_older_span_takes_the_online_store_back(world: Make) -> None:
    both = world(row(at=0, x=1.0), row(at=5, x=2.0))
    both.feast_materialise(10)
    both.feast_materialise(2)
    assert both.feast_online([{"k": 1}]) == [[1.0]]
    assert both.our_online([{"k": 1}], 10).values == [[2.0]]


def test_a_row_from_the_future_is_visible_before_its_time(world: Make) -> None:
    both = world(row(at=0, x=1.0))
    both.feast_materialise(10)
    future = row(at=4_000_000_000 * SECOND_US - START_US, x=9.0)
    both.feast_push([future])
    assert both.feast_online([{"k": 1}]) == [[9.0]]
    both.add([future])
    assert both.our_online([{"k": 1}], 10).values == [[1.0]]


def test_the_first_incremental_materialisation_leaves_out_what_is_older_than_a_year(world: Make) -> None:
    both = world(row(at=0, x=1.0))
    both.feast_materialise_incrementally(10)
    assert both.feast_statuses([{"k": 1}]) == [[NOT_FOUND]]
    assert both.our_online([{"k": 1}], 10).values == [[1.0]]


def test_a_null_value_is_said_to_be_present(world: Make) -> None:
    both = world(row(x=None))
    both.feast_materialise(0)
    assert both.feast_online([{"k": 1}]) == [[None]]
    assert both.feast_statuses([{"k": 1}]) == [[PRESENT]]
    assert both.our_online([{"k": 1}], 0).statuses == [[NULL_VALUE]]


def test_whole_numbers_are_rounded_online_where_another_row_has_none(world: Make) -> None:
    both = world(row(k=1, n=BIG), row(k=2, n=None), fields={"n": "int64"})
    both.feast_materialise(0)
    assert both.feast_online([{"k": 1}]) == [[BIG - 1]]
    assert both.our_online([{"k": 1}], 0).values == [[BIG]]


def test_timestamps_lose_what_is_below_a_second_online(world: Make) -> None:
    when = START_US + 1_500_007
    both = world(row(when=when), fields={"when": "timestamp"})
    both.feast_materialise(0)
    assert both.feast_values(asked(0)) == [[when]]
    assert both.feast_online([{"k": 1}]) == [[when // SECOND_US * SECOND_US]]
    assert both.our_online([{"k": 1}], 0).values == [[when]]


def test_nan_is_null_online_and_nan_offline(world: Make) -> None:
    both = world(row(x=float("nan")))
    both.feast_materialise(0)
    assert str(both.feast_values(asked(0))) == "[[nan]]"
    assert both.feast_online([{"k": 1}]) == [[None]]
    assert str(both.our_online([{"k": 1}], 0).values) == str(both.our_values(asked(0))) == "[[nan]]"


def test_one_null_key_stops_the_materialisation_of_all(world: Make) -> None:
    both = world(row(k=1, x=1.0), row(k=None, x=2.0))
    with pytest.raises(FeastFailed, match="ValueError"):
        both.feast_materialise(0)
    assert both.our_online([{"k": 1}], 0).values == [[1.0]]


def test_a_null_key_is_no_question_online(world: Make) -> None:
    both = world(row(x=1.0))
    both.feast_materialise(0)
    with pytest.raises(FeastFailed, match="TypeError"):
        both.feast_online([{"k": None}])
    assert both.our_online([{"k": None}], 0).statuses == [[NOT_FOUND]]


def test_no_entities_are_no_question_online(world: Make) -> None:
    both = world(row(x=1.0))
    both.feast_materialise(0)
    with pytest.raises(FeastFailed, match="IndexError"):
        both.feast_online([])
    assert both.our_online([], 0).values == []


def test_a_text_is_taken_for_a_whole_number_online(world: Make) -> None:
    both = world(row(x=1.0))
    both.feast_materialise(0)
    assert both.feast_online([{"k": "1"}]) == [[1.0]]
    with pytest.raises(InputError, match="k"):
        both.our_online([{"k": "1"}], 0)


# --- What was suspected and does not occur --------------------------------------------------------------------------


def test_duckdb_honours_created_ttl_nulls_and_repeated_questions(world: Make) -> None:
    both = world(
        row(at=0, known=9, x=1.0), row(at=0, known=5, x=2.0), row(k=2, at=0, x=3.0), row(k=2, at=1, x=None), ttl_us=10
    )
    questions = [*asked(0, 10, 11, 10), *asked(5, k=2), *asked(-1)]
    assert both.feast_values(questions) == both.our_values(questions) == [[1.0], [1.0], [None], [1.0], [None], [None]]


def test_rows_known_later_are_left_out_where_asked(world: Make) -> None:
    both = world(row(at=0, known=0, x=1.0), row(at=1, known=9, x=2.0))
    assert both.feast_values(asked(5)) == both.our_values(asked(5)) == [[2.0]]
    assert both.feast_values(asked(5), known=True) == [[1.0]]


def test_keys_of_32_and_64_bits_meet_online(world: Make) -> None:
    both = world(row(k=1, x=1.0), keys={"k": "int32"}, files={"k": "int64"})
    both.feast_materialise(0)
    assert both.feast_online([{"k": 1}]) == [[1.0]]


def test_composite_keys_that_concatenate_alike_are_kept_apart(world: Make) -> None:
    keys = {"a": "string", "b": "string"}
    rows: list[Row] = [
        {"a": "1", "b": "23", "at": 0, "known": 0, "x": 1.0},
        {"a": "12", "b": "3", "at": 0, "known": 0, "x": 2.0},
    ]
    both = world(*rows, keys=keys)
    both.feast_materialise(0)
    entities = [{"a": "1", "b": "23"}, {"a": "12", "b": "3"}]
    assert both.feast_online(entities) == both.our_online(entities, 0).values == [[1.0], [2.0]]


def test_the_machines_own_zone_does_not_move_what_is_materialised(world: Make) -> None:
    """The fixture runs Feast four hours east of UTC."""
    both = world(row(at=0, x=1.0), row(k=2, at=1, x=2.0))
    both.feast_materialise(0, since=0)
    assert both.feast_online([{"k": 1}, {"k": 2}]) == [[1.0], [None]]
