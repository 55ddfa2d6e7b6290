"""Routing: stable units, exact weights, growing canaries that keep whom they have."""

import functools
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.kernel.errors import CorruptionError
from falaj.serving.routing import BUCKETS, HashRouter
from support.serving_world import route, variant


def hashed(candidate: int, endpoint: str = "fraud") -> HashRouter[str]:
    pair = (variant("champion", 1, BUCKETS - candidate), variant("candidate", 2, candidate))
    return HashRouter(route(*pair, endpoint=endpoint), ["champion", "candidate"])


UNITS = [f"card-{number}" for number in range(20_000)]


@pytest.mark.parametrize("weight", [0, 1, 1_000, 5_000, 9_999, 10_000])
def test_shares_are_those_of_the_buckets(weight: int) -> None:
    chosen = hashed(weight)
    expected = ["candidate" if chosen.bucket(unit) >= BUCKETS - weight else "champion" for unit in UNITS]
    assert [chosen.live(unit) for unit in UNITS] == expected


def test_buckets_are_even() -> None:
    buckets = [hashed(0).bucket(unit) for unit in UNITS]
    assert min(buckets) >= 0
    assert max(buckets) < BUCKETS
    tenths = [sum(b // 1000 == tenth for b in buckets) for tenth in range(10)]
    assert all(abs(count - 2000) < 6 * 2000**0.5 for count in tenths)


def test_a_growing_canary_keeps_its_units() -> None:
    had: set[str] = set()
    for weight in (500, 1_000, 5_000, 10_000):
        has = {unit for unit in UNITS if hashed(weight).live(unit) == "candidate"}
        assert had <= has
        had = has
    assert had == set(UNITS)


def test_endpoints_assign_independently() -> None:
    one = {unit for unit in UNITS if hashed(1_000, "fraud").live(unit) == "candidate"}
    other = {unit for unit in UNITS if hashed(1_000, "limits").live(unit) == "candidate"}
    assert len(one & other) < 0.2 * len(one)


def test_weights_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(CorruptionError, match="add up to 9999"):
        HashRouter(route(variant(weight=9_999)), [1])
    with pytest.raises(CorruptionError, match="add up to 0"):
        HashRouter(route(variant(role="shadow")), [1])


@given(st.text(), st.integers(0, BUCKETS))
def test_any_unit_has_exactly_one_variant(unit: str, weight: int) -> None:
    shadowed = route(variant(), variant("candidate", 2, weight, role="shadow"))
    chosen = HashRouter(shadowed, ["champion", "candidate"])
    assert chosen.live(unit) == "champion"
    assert chosen.shadows(unit) == (["candidate"] if chosen.bucket(unit) < weight else [])


@st.composite
def weighted(draw: st.DrawFn) -> list[int]:
    """Weights of one to five live variants that add up to the whole."""
    cuts = sorted(draw(st.lists(st.integers(0, BUCKETS), max_size=4)))
    return [after - before for before, after in zip([0, *cuts], [*cuts, BUCKETS], strict=True)]


def of_weights(weights: list[int]) -> HashRouter[int]:
    variants = [variant(f"v{number}", number, weight) for number, weight in enumerate(weights)]
    return HashRouter(route(*variants), list(range(len(weights))))


@given(weighted())
@settings(max_examples=50, deadline=None)
def test_each_variant_has_exactly_its_weight_of_the_buckets(weights: list[int]) -> None:
    """One unit for each bucket: the shares over them are the weights, to the unit."""
    router = of_weights(weights)
    chosen = [router.live(unit) for unit in unit_of_each_bucket()]
    assert [chosen.count(number) for number in range(len(weights))] == weights


@given(weighted(), weighted())
@settings(max_examples=50, deadline=None)
def test_as_few_units_change_hands_as_the_weights_demand(before: list[int], after: list[int]) -> None:
    """Of two variants: who moves is exactly the difference of the weights, and all move the same way."""
    one, other = of_weights([before[0], BUCKETS - before[0]]), of_weights([after[0], BUCKETS - after[0]])
    moved = [(one.live(unit), other.live(unit)) for unit in unit_of_each_bucket() if one.live(unit) != other.live(unit)]
    assert len(moved) == abs(before[0] - after[0])
    assert len(set(moved)) <= 1


@functools.cache
def unit_of_each_bucket() -> tuple[str, ...]:
    router, found = hashed(0), dict[int, str]()
    for number in itertools.count():
        found.setdefault(router.bucket(f"unit-{number}"), f"unit-{number}")
        if len(found) == BUCKETS:
            return tuple(found.values())
    raise AssertionError
