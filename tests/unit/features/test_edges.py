"""Edges of windows, order, identity and keys, asked of all engines at once."""

import math
import statistics
from typing import Any

import pyarrow as pa
import pytest

from falaj.definitions.aggregation import column, count, first, last, last_non_null, max, mean, min, std, sum, var
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.offline import training_frame
from falaj.features.online import OnlineReader
from falaj.features.status import NOT_FOUND, OUTSIDE_MAX_AGE, OUTSIDE_RETENTION, PRESENT
from falaj.kernel.errors import InputError
from support.feature_worlds import World, ask, make_service, offline, online, online_store, row, table

ONE = {"a": "1"}


def service(**features: Any) -> ServiceSpec:
    return make_service(lateness="1h", **features)


def test_window_has_its_start_and_not_its_end() -> None:
    spec = service(n=count(window="10us"))
    rows = [row("x", at=0)]
    asked = [(ONE, t) for t in (-1, 0, 1, 10, 11)]
    assert ask(spec, rows, *asked) == [[0], [0], [1], [1], [0]]


def test_windows_before_1970() -> None:
    rows = [row("x", at=-1_000_000), row("y", at=-999_995, amount=2.0)]
    assert ask(service(n=count(window="10us"), s=sum("amount", window="5us")), rows, (ONE, -999_990)) == [[2, 2.0]]


def test_plain_column_sees_the_event_at_t_and_last_does_not() -> None:
    spec = service(now=column("country"), before=last("country"))
    rows = [row("x", at=0, country="AE"), row("y", at=5, country="OM")]
    assert ask(spec, rows, (ONE, 5), (ONE, 0), (ONE, -1)) == [["OM", "AE"], ["AE", None], [None, None]]


def test_ttl_is_closed_at_both_ends() -> None:
    spec = make_service(lateness="1h", ttl="10us", now=column("amount"), before=last("amount"))
    rows = [row("x", at=0, amount=1.0)]
    assert ask(spec, rows, (ONE, 10), (ONE, 11)) == [[1.0, 1.0], [None, None]]
    assert online(World(spec, rows, [], [(ONE, 11)])).statuses == [[OUTSIDE_MAX_AGE, OUTSIDE_MAX_AGE]]


@pytest.mark.parametrize("has_id", [True, False])
def test_of_equal_instants_the_later_known_wins_and_then_the_later_numbered(has_id: bool) -> None:
    spec = make_service(has_id=has_id, lateness="1h", now=column("country"))
    known = [row("x", at=0, known=2, country="AE"), row("y", at=0, known=1, country="OM")]
    assert ask(spec, known, (ONE, 0)) == [["AE"]]
    assert ask(spec, [row("x", country="AE"), row("y", country="OM")], (ONE, 0)) == [["OM"]]
    assert ask(spec, [row("x", known=-5, country="AE"), row("y", country="OM")], (ONE, 0)) == [["AE"]]


def test_a_late_event_never_beats_a_newer_one() -> None:
    rows = [row("x", at=10, country="AE"), row("y", at=5, country="OM", known=99)]
    assert ask(service(now=column("country"), n=count(window="10us")), rows, (ONE, 11), cuts=[1]) == [["AE", 2]]


@pytest.mark.parametrize("cuts", [[], [1], [1, 2]])
def test_the_same_id_counts_once_and_a_later_created_corrects(cuts: list[int]) -> None:
    spec = service(s=sum("amount", window="20us"))
    rows = [row("x", known=1, amount=1.0), row("x", known=1, amount=7.0), row("x", known=0, amount=9.0)]
    assert ask(spec, rows, (ONE, 5), cuts=cuts) == [[1.0]]
    assert ask(spec, [*rows, row("x", at=3, known=2, amount=4.0)], (ONE, 5), cuts=cuts) == [[4.0]]


@pytest.mark.parametrize("cuts", [[], [1], [2], [1, 2]])
def test_a_correction_moves_the_event_to_another_entity_and_a_duplicate_does_not(cuts: list[int]) -> None:
    spec = service(n=count(window="20us"), now=column("country"))
    first = row("x", a="1", country="AE")
    asked = [({"a": "1"}, 5), ({"a": "12"}, 5)]
    assert ask(spec, [first, row("x", a="12")], *asked, cuts=[1]) == [[1, "AE"], [0, None]]
    moved = [first, row("x", a="12", country="OM", known=1)]
    assert ask(spec, moved, *asked, cuts=[1]) == [[0, None], [1, "OM"]]
    back = [*moved, row("x", a="1", country="SA", known=2)]
    assert ask(spec, back, *asked, cuts=cuts) == [[1, "SA"], [0, None]]
    lost = [*moved, row("x", a=None, known=3)]
    assert ask(spec, lost, *asked, cuts=cuts) == [[0, None], [0, None]]


def test_composite_keys_that_concatenate_alike_stay_apart() -> None:
    spec = make_service("pair", lateness="1h", n=count(window="20us"))
    rows = [row("x", a="1", b="23"), row("y", a="12", b="3"), row("z", a="12", b="3")]
    assert ask(spec, rows, ({"a": "1", "b": "23"}, 5), ({"a": "12", "b": "3"}, 5)) == [[1], [2]]


def test_null_keys_match_nothing() -> None:
    spec = make_service("pair", lateness="1h", n=count(window="20us"), now=column("country"))
    rows = [row("x", a=None, b="3", country="AE")]
    question = ({"a": None, "b": "3"}, 5)
    assert ask(spec, rows, question) == [[0, None]]
    assert online(World(spec, rows, [], [question])).statuses == [[NOT_FOUND, NOT_FOUND]]


def test_keys_are_strict_about_type_and_presence() -> None:
    reader = OnlineReader(online_store(World(make_service("number"), [row("x", n=1)], [], [])))
    spec = make_service("number")
    for wrong in ("1", 1.0, True, 1 << 63):
        with pytest.raises(InputError, match="'n'"):
            reader.read(spec, [{"n": wrong}], [0])
    with pytest.raises(InputError, match="'n' is missing"):
        reader.read(spec, [{"a": "1"}], [0])
    assert reader.read(spec, [], []).values == []


def test_no_events_is_not_the_same_as_only_nulls() -> None:
    features = {"n": count(window="9us"), "v": count("amount", window="9us"), "s": sum("amount", window="9us")}
    assert ask(service(**features), [row("x")], (ONE, 5), (ONE, 50)) == [[1, 0, None], [0, 0, None]]


def test_nan_poisons_and_null_is_skipped() -> None:
    features = {f.__name__: f("amount", window="20us") for f in (sum, mean, min, max, std)}
    rows = [row("x", amount=1.0), row("y", amount=None), row("z", amount=3.0)]
    assert ask(service(**features), rows, (ONE, 5)) == [[4.0, 2.0, 1.0, 3.0, math.sqrt(2)]]
    poisoned = ask(service(**features), [*rows, row("n", amount=math.nan)], (ONE, 5))
    assert all(math.isnan(value) for value in poisoned[0])
    assert ask(service(**features), [row("n", at=-30, amount=math.nan), *rows], (ONE, 5))[0][0] == 4.0


def test_infinities_add_up_as_infinities_do() -> None:
    features = {f.__name__: f("amount", window="20us") for f in (sum, mean, min, max, std)}
    rows = [row("x", amount=math.inf), row("y", amount=1.0)]
    answer = ask(service(**features), rows, (ONE, 5))[0]
    assert answer[:4] == [math.inf, math.inf, 1.0, math.inf]
    assert math.isnan(answer[4])
    assert math.isnan(ask(service(**features), [*rows, row("z", amount=-math.inf)], (ONE, 5))[0][0])


def test_deviation_needs_two_rows_and_survives_great_numbers() -> None:
    spec = service(d=std("amount", window="20us"))
    assert ask(spec, [row("x", amount=math.nan)], (ONE, 5)) == [[None]]
    answer = ask(spec, [row("x", amount=1e200), row("y", amount=-1e200)], (ONE, 5))[0][0]
    assert answer == pytest.approx(math.sqrt(2) * 1e200)


@pytest.mark.parametrize("offset", [0.0, 1e9, -1e15])
def test_deviation_does_not_suffer_from_where_its_values_lie(offset: float) -> None:
    """What is stored for the tails is as good as what two passes over the values give."""
    spec = service(d=std("amount", window="900us"), w=std("points", window="900us"))
    far = [row(f"f{i}", at=-1_000 - i, amount=-1e18 * (-1) ** i, points=10**15) for i in range(50)]
    near = [row(f"n{i}", at=i, amount=offset + i % 7, points=int(offset) + i % 7) for i in range(200)]
    wanted = statistics.stdev([r["amount"] for r in near])
    for late in ([], [row("z", at=5_000, amount=1e6, points=3)]):  # with a later event the window is no tail
        answer = online(World(spec, [*far, *near, *late], [], [(ONE, 500)])).values[0]
        assert answer == [pytest.approx(wanted, rel=1e-12), pytest.approx(wanted, rel=1e-12)]


def test_sums_are_exact_however_great_the_history() -> None:
    spec = service(s=sum("amount", window="10us"), m=mean("amount", window="10us"))
    for past in (1e3, 1e17, 1e250):
        rows = [row("p", at=-50, amount=past), row("x", amount=0.1), row("y", amount=0.2), row("z", at=1, amount=-0.25)]
        world = World(spec, rows, [], [(ONE, 5)])
        assert online(world).values[0][0] == pytest.approx(0.05, rel=1e-14, abs=0)
        assert offline(world)[0][0] == pytest.approx(0.05, rel=1e-14, abs=0)


def test_a_whole_sum_beyond_64_bits_is_null() -> None:
    spec = service(s=sum("points", window="20us"), m=mean("points", window="20us"))
    rows = [row("x", points=(1 << 63) - 1), row("y", points=1)]
    assert ask(spec, rows, (ONE, 5)) == [[None, float(1 << 62)]]
    assert ask(spec, rows[:1], (ONE, 5))[0][0] == (1 << 63) - 1


def test_pruning_keeps_what_a_plain_column_needs() -> None:
    spec = make_service(now=column("country"), n=count(window="10us"))
    rows = [row("x", at=0, country="AE"), row("y", at=1, country="OM"), row("z", a="12", at=100)]
    world = World(spec, [*rows, row("w", at=-7, country="SA")], [3], [(ONE, 100), (ONE, 0), (ONE, 5)])
    answers = online(world)
    assert answers.values == [["OM", 0], [None, None], ["OM", None]]
    assert answers.statuses == [
        [PRESENT, PRESENT],
        [OUTSIDE_RETENTION, OUTSIDE_RETENTION],
        [PRESENT, OUTSIDE_RETENTION],
    ]


def test_a_future_event_is_not_visible_before_its_time() -> None:
    rows = [row("x", country="AE"), row("y", at=1_000, country="OM")]
    assert ask(service(now=column("country"), n=count(window="2h")), rows, (ONE, 999), (ONE, 1_000)) == [
        ["AE", 1],
        ["OM", 1],
    ]


def test_frames_may_mix_units_and_widths() -> None:
    spec = make_service("number", lateness="1h", n_10=count(window="10us"))
    frame = pa.table(
        {
            "n": pa.array([1, 1, 2], pa.int32()),
            "event_timestamp": pa.array([5_000, 5_000, 5_000], pa.timestamp("ns", "Asia/Dubai")),
            "note": ["kept", "kept", "kept too"],
        }
    )
    result = training_frame(spec, frame, {"tx": table([row("x", n=1)])})
    assert result["v__n_10"].to_pylist() == [1, 1, 0]
    assert result["note"].to_pylist() == ["kept", "kept", "kept too"]


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ({"n": [1], "event_timestamp": pa.array([5], pa.timestamp("us"))}, "a time without a zone"),
        ({"n": [1], "event_timestamp": pa.array([None], pa.timestamp("us", "UTC"))}, "row 0"),
        ({"n": [1]}, "no column 'event_timestamp'"),
        ({"m": [1], "event_timestamp": pa.array([5], pa.timestamp("us", "UTC"))}, "no column 'n'"),
        ({"n": ["1"], "event_timestamp": pa.array([5], pa.timestamp("us", "UTC"))}, "'n' .* is string"),
        ({"n": [1], "v__x": [1], "event_timestamp": pa.array([5], pa.timestamp("us", "UTC"))}, "'v__x'"),
    ],
)
def test_bad_frames_are_named(frame: dict[str, Any], says: str) -> None:
    spec = make_service("number", x=count(window="10us"))
    with pytest.raises(InputError, match=says):
        training_frame(spec, pa.table(frame), {"tx": table([row("x", n=1)])})


def test_a_window_within_what_is_kept_is_answered_beside_one_that_is_not() -> None:
    spec = make_service(has_id=False, short=count(window="10us"), long=count(window="25us"), now=column("amount"))
    rows = [row(at=0), row(at=-3), row(at=26)]
    answers = online(World(spec, rows, [], [(ONE, 8)]))
    assert (answers.values[0][:2], answers.statuses[0][:2]) == ([1, None], [PRESENT, OUTSIDE_RETENTION])


def test_where_a_correction_moves_the_latest_away_the_next_is_read_from_the_source() -> None:
    """The record knows no more which of the pruned ones was next; what came late is not it."""
    spec = make_service(
        has_id=True, before=last("country", window="10us"), now=column("country"), long=count(window="25us")
    )
    rows = [
        row("x", at=0, country="AE"), row("y", at=0, country="OM"), row("z", at=26, a="12"),
        row("y", at=0, a="12", known=0), row("w", at=-10, country="IN"),
    ]  # fmt: skip
    answers = online(World(spec, rows, [3], [(ONE, 1)]))
    assert answers.values[0] == ["AE", "AE", None]
    assert answers.statuses[0] == [PRESENT, PRESENT, OUTSIDE_RETENTION]
    assert online(World(spec, [*rows, row("v", at=1, country="US")], [3], [(ONE, 2)])).values[0][:2] == ["US", "US"]


def test_a_single_row_kept_for_another_feature_does_not_stand_for_a_window() -> None:
    """Of what was pruned the first value is kept at any age, and not the latest of a window that began there."""
    spec = make_service(ever=first("amount"), known=last_non_null("amount", window="10us"), long=count(window="25us"))
    rows = [row("x", at=0, amount=1.0), row("y", at=2, amount=2.0), row("z", at=28, a="12"), row("w", at=4)]
    answers = online(World(spec, rows, [3], [(ONE, 3), (ONE, 28)]))
    assert (answers.values[0], answers.values[1]) == ([1.0, None, None], [1.0, None, 1])
    assert answers.statuses[0] == [PRESENT, OUTSIDE_RETENTION, OUTSIDE_RETENTION]


def test_a_deviation_with_the_least_whole_number_is_right() -> None:
    spec = service(spread=std("points", window="20us"), variance=var("points", window="20us"))
    rows = [row("x", points=1 << 52), row("y", at=1, points=0), row("z", at=2, points=-(1 << 63))]
    ask(spec, rows, (ONE, 5))
    ask(spec, [*rows, row("u", at=3, points=-1), row("v", at=3, points=-(1 << 63))], (ONE, 5))


@pytest.mark.parametrize("amounts", [[1e308, -1e308], [1.7e308, -1e308, 1.5e308], [1.7e308, 1.6e308, 0.0]])
def test_a_deviation_of_the_greatest_floats_is_right(amounts: list[float]) -> None:
    spec = service(spread=std("amount", window="20us"), variance=var("amount", window="20us"))
    world = World(spec, [row(f"e{i}", at=i, amount=value) for i, value in enumerate(amounts)], [], [(ONE, 9)])
    expected = statistics.stdev([value / 1e10 for value in amounts]) * 1e10
    for spread, variance in (*online(world).values, *offline(world)):
        assert (spread, variance) == (pytest.approx(expected, rel=1e-9), math.inf)
