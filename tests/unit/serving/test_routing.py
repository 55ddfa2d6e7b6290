"""Routing: stable units, exact weights, growing canaries that keep whom they have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.kernel.errors import CorruptionError
from falaj.serving.routing import BUCKETS, Chooser
from support.serving_world import route, variant


def chooser(candidate: int, endpoint: str = "fraud") -> Chooser[str]:
    pair = (variant("champion", 1, BUCKETS - candidate), variant("candidate", 2, candidate))
    return Chooser(route(*pair, endpoint=endpoint), ["champion", "candidate"])


UNITS = [f"card-{number}" for number in range(20_000)]


@pytest.mark.parametrize("weight", [0, 1, 1_000, 5_000, 9_999, 10_000])
def test_shares_are_those_of_the_buckets(weight: int) -> None:
    chosen = chooser(weight)
    expected = ["candidate" if chosen.bucket(unit) >= BUCKETS - weight else "champion" for unit in UNITS]
    assert [chosen.live(unit) for unit in UNITS] == expected


def test_buckets_are_even() -> None:
    buckets = [chooser(0).bucket(unit) for unit in UNITS]
    assert min(buckets) >= 0
    assert max(buckets) < BUCKETS
    tenths = [sum(b // 1000 == tenth for b in buckets) for tenth in range(10)]
    assert all(abs(count - 2000) < 6 * 2000**0.5 for count in tenths)


def test_a_growing_canary_keeps_its_units() -> None:
    had: set[str] = set()
    for weight in (500, 1_000, 5_000, 10_000):
        has = {unit for unit in UNITS if chooser(weight).live(unit) == "candidate"}
        assert had <= has
        had = has
    assert had == set(UNITS)


def test_endpoints_assign_independently() -> None:
    one = {unit for unit in UNITS if chooser(1_000, "fraud").live(unit) == "candidate"}
    other = {unit for unit in UNITS if chooser(1_000, "limits").live(unit) == "candidate"}
    assert len(one & other) < 0.2 * len(one)


def test_weights_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(CorruptionError, match="add up to 9999"):
        Chooser(route(variant(weight=9_999)), [1])
    with pytest.raises(CorruptionError, match="add up to 0"):
        Chooser(route(variant(role="shadow")), [1])


@given(st.text(), st.integers(0, BUCKETS))
def test_any_unit_has_exactly_one_variant(unit: str, weight: int) -> None:
    shadowed = route(variant(), variant("candidate", 2, weight, role="shadow"))
    chosen = Chooser(shadowed, ["champion", "candidate"])
    assert chosen.live(unit) == "champion"
    assert chosen.shadows(unit) == (["candidate"] if chosen.bucket(unit) < weight else [])
