"""A bucket lets through what its definition lets through, no row more and none less, whoever looks at it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.kernel.errors import StorageError
from falaj.kernel.rate import Rate
from falaj.serving.buckets import _WAYS, Buckets

RATES = st.builds(Rate, st.integers(1, 50), st.sampled_from((1_000_000, 60_000_000)), st.integers(1, 30))
ARRIVALS = st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(1, 12), st.integers(0, 2)), max_size=40)


def allowed(rate: Rate, before: list[tuple[int, int]], at_us: int, count: int) -> bool:
    """The definition: over no stretch of time more than the burst and what came in it."""
    rows = count
    if rows > rate.burst:
        return False
    for earlier_us, earlier in reversed(before):
        rows += earlier
        if rows * rate.period_us > rate.burst * rate.period_us + (at_us - earlier_us) * rate.count:
            return False
    return True


@given(RATES, ARRIVALS)
def test_it_is_the_naive_bucket_over_all_that_share_it(
    tmp_path_factory: pytest.TempPathFactory, rate: Rate, arrivals: list[tuple[int, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("buckets") / "rates"
    workers = [Buckets(path) for _ in range(3)]
    buckets = [worker.bucket("token:a", rate) for worker in workers]
    taken: list[tuple[int, int]] = []
    now_us = 1_000_000
    for pause_us, count, worker in arrivals:
        now_us += pause_us
        wait_us = buckets[worker].take(count, now_us)
        assert (wait_us == 0) == allowed(rate, taken, now_us, count)
        if wait_us == 0:
            taken.append((now_us, count))
        elif count <= rate.burst:
            assert allowed(rate, taken, now_us + wait_us, count)
            assert not allowed(rate, taken, now_us + wait_us - 1, count)
    for each in workers:
        each.close()


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return Buckets(tmp_path / "rates")


def test_what_is_given_back_can_be_taken_again_and_no_more(buckets: Buckets) -> None:
    bucket = buckets.bucket("a", Rate(1, 1_000_000, 5))
    assert bucket.take(5, 0) == 0
    assert bucket.take(-3, 0) == 0
    assert bucket.take(4, 0) > 0
    assert bucket.take(3, 0) == 0
    bucket.take(-100, 0)
    assert bucket.take(6, 0) > 0
    assert bucket.take(5, 0) == 0


def test_a_clock_that_is_set_back_stops_nobody_for_long(buckets: Buckets) -> None:
    bucket = buckets.bucket("a", Rate(10, 1_000_000, 10))
    assert bucket.take(10, 10_000_000_000) == 0
    assert bucket.take(1, 0) == 100_000
    assert bucket.take(10, 10_000_000_000 - 999_999) > 0
    bucket = buckets.bucket("b", Rate(10, 1_000_000, 10))
    assert bucket.take(9, 10_000_000_000) == 0
    assert bucket.take(1, 0) == 0
    assert bucket.take(1, 100_000) == 0
    assert bucket.take(1, 100_000) == 100_000


def test_full_buckets_give_their_place_up_and_others_keep_it(buckets: Buckets) -> None:
    rate = Rate(1, 1_000_000, 1)
    found: dict[int, list[str]] = {}
    names = iter(range(1_000_000))
    while len(found.get(0, ())) <= _WAYS:
        name = f"token:{next(names)}"
        found.setdefault(buckets.bucket(name, rate)._begin, []).append(name)
    first, *others, last = found[0]
    assert buckets.bucket(first, rate).take(1, 5) == 0
    for name in others:
        assert buckets.bucket(name, rate).take(1, 10) == 0
    kept = [buckets.bucket(name, rate) for name in others]
    assert [bucket.take(1, 11) > 0 for bucket in kept] == [True] * len(kept)
    bucket = buckets.bucket(first, rate)
    assert bucket.take(1, 6) > 0
    # The set is full of buckets in use: the one that would be full first gives way.
    assert buckets.bucket(last, rate).take(1, 20) == 0
    assert bucket.take(1, 21) == 0
    assert buckets.bucket(last, rate).take(1, 22) > 0


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent"):
        Buckets(tmp_path / "absent" / "rates")
