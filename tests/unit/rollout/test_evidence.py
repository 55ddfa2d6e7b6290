"""E-values: right at every look, quick on a bad canary, and exact against the plain integral."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special, stats

from falaj.kernel.codec import from_json, to_json
from falaj.rollout.evidence import Counts, bad_needed, ratio_log_e, sample_ratio_log_e

ALPHA = 0.05
PROOF = math.log(1 / ALPHA)


def binomial_bound(runs: int, probability: float) -> int:
    """The number that at most one in a million sets of `runs` exceeds if the probability is as stated."""
    return int(stats.binom.isf(1e-6, runs, probability))


def first_alarms(share: float, bound: float, *, runs: int, requests: int, seed: int) -> NDArray[np.int64]:
    """The request at which each run is proven bad, looking after every single one; `requests + 1` for never."""
    needed = np.array([bad_needed(total, bound, PROOF) for total in range(1, requests + 1)])
    bad = np.cumsum(np.random.default_rng(seed).random((runs, requests)) < share, axis=1)
    alarm = bad >= needed
    return np.where(alarm.any(axis=1), alarm.argmax(axis=1) + 1, requests + 1)


@pytest.mark.parametrize("bound", [0.01, 0.05])
def test_looking_after_every_request_keeps_the_false_alarm_rate(bound: float) -> None:
    runs, requests = 1000, 3000
    at_the_bound = first_alarms(bound, bound, runs=runs, requests=requests, seed=1)
    assert (at_the_bound <= requests).sum() <= binomial_bound(runs, ALPHA)
    healthy = first_alarms(bound / 2, bound, runs=runs, requests=requests, seed=2)
    assert (healthy <= requests).sum() <= 5


def test_trap_a_z_test_read_thirty_times() -> None:
    """27.6 % false alarms at a nominal 5 %; the e-value read after every request stays below 5 %."""
    runs, looks, step = 4000, 30, 100
    sums = np.cumsum(np.random.default_rng(3).normal(size=(runs, looks)) * math.sqrt(step), axis=1)
    z = np.abs(sums) / np.sqrt(step * np.arange(1, looks + 1))
    false_alarms = int((z > stats.norm.isf(0.025)).any(axis=1).sum())
    margin = binomial_bound(runs, 0.276) - runs * 0.276
    assert abs(false_alarms - runs * 0.276) <= margin


def test_trap_a_success_rule_on_a_hundred_requests() -> None:
    """`success >= 99 %` on 100 requests ends most canaries whose true success is 98.6 %, though 5 % is allowed."""
    rng, runs = np.random.default_rng(4), 2000
    errors = rng.binomial(100, 0.02, runs)
    assert (errors > 1).mean() > 0.5
    assert all(ratio_log_e(int(number), 100, 0.05) < PROOF for number in errors)


@pytest.mark.parametrize(
    ("share", "bound", "within"), [(0.10, 0.05, 1000), (0.20, 0.05, 150), (1.0, 0.05, 3), (0.05, 0.01, 450)]
)
def test_a_bad_canary_is_found_within(share: float, bound: float, within: int) -> None:
    alarms = first_alarms(share, bound, runs=300, requests=1500, seed=5)
    assert np.quantile(alarms, 0.95) <= within


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.integers(0, 200), st.sampled_from([0.01, 0.05, 0.3, 0.9]))
def test_closed_form_is_the_integral(bad: int, good: int, bound: float) -> None:
    """By the midpoint rule over the log-odds, in which the integrand has no edge and no pole."""
    b, points = 0.25 / bound, 100_000
    root = (np.arange(points) + 0.5) * math.sqrt(300.0) / points  # finest beside the bound, where the weight lies
    odds, width = special.logit(bound) + root**2, 2 * root * math.sqrt(300.0) / points
    log_p, log_q = special.log_expit(odds), special.log_expit(-odds)
    prior = math.log(b) + b * log_q + log_p - b * math.log1p(-bound)  # density of the log-odds
    average = float(special.logsumexp(bad * log_p + good * log_q + prior + np.log(width)))
    expected = average - bad * math.log(bound) - good * math.log1p(-bound)
    if expected > -600:
        assert ratio_log_e(bad, bad + good, bound) == pytest.approx(expected, rel=1e-3, abs=1e-3)
    else:
        assert ratio_log_e(bad, bad + good, bound) < -500


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0.001, 0.999))
def test_any_counts_give_a_finite_logarithm_that_grows_with_bad(bad: int, good: int, bound: float) -> None:
    value = ratio_log_e(bad, bad + good, bound)
    assert math.isfinite(value)
    assert ratio_log_e(bad + 1, bad + good + 1, bound) >= value - 1e-6 * max(1.0, abs(value))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.sampled_from([0.01, 0.05, 0.5]))
def test_bad_needed_is_the_edge(total: int, bound: float) -> None:
    needed = bad_needed(total, bound, PROOF)
    assert needed == 0 or ratio_log_e(needed - 1, total, bound) < PROOF
    assert needed > total or ratio_log_e(needed, total, bound) >= PROOF


def test_a_request_multiplies_the_e_value_by_one_at_most_on_average() -> None:
    """The supermartingale itself, exactly, at the bound and below it."""
    for bound in (0.01, 0.05, 0.4):
        for bad, good in [(0, 0), (0, 20), (3, 10), (9, 200), (40, 100)]:
            now = math.exp(ratio_log_e(bad, bad + good, bound))
            worse = math.exp(ratio_log_e(bad + 1, bad + good + 1, bound))
            better = math.exp(ratio_log_e(bad, bad + good + 1, bound))
            assert bound * worse + (1 - bound) * better == pytest.approx(now, rel=1e-9)
            assert 0.5 * bound * worse + (1 - 0.5 * bound) * better <= now * (1 + 1e-9)


def test_sample_ratio_looked_at_after_every_unit() -> None:
    weights, runs, units = {"champion": 90.0, "candidate": 10.0}, 300, 1500
    got = np.cumsum(np.random.default_rng(6).random((runs, units)) < 0.1, axis=1)
    looks = range(0, units, 25)
    alarms = 0
    for run in got:
        pairs = [(int(run[at]), at + 1 - int(run[at])) for at in looks]
        values = [sample_ratio_log_e([(weights, {"candidate": c, "champion": r})]) for c, r in pairs]
        alarms += max(values) >= PROOF
    assert alarms <= binomial_bound(runs, ALPHA)


def test_sample_ratio_over_epochs_adds_up_and_finds_a_wrong_split() -> None:
    early = ({"a": 9.0, "b": 1.0}, {"a": 880, "b": 120})
    late = ({"a": 1.0, "b": 1.0}, {"a": 480, "b": 520})
    both = sample_ratio_log_e([early, late])
    assert both == pytest.approx(sample_ratio_log_e([early]) + sample_ratio_log_e([late]))
    assert sample_ratio_log_e([({"a": 1.0, "b": 1.0}, {"a": 4400, "b": 5600})]) > math.log(1000)
    assert sample_ratio_log_e([({"a": 1.0, "b": 0.0}, {"a": 10, "b": 1})]) == math.inf
    assert sample_ratio_log_e([({"a": 1.0, "b": 0.0}, {"a": 10, "b": 0})]) == pytest.approx(0.0)
    assert sample_ratio_log_e([]) == 0.0


counts = st.builds(
    Counts, st.integers(0, 50), st.integers(0, 50), st.dictionaries(st.sampled_from([5.0, 10.0]), st.integers(0, 9))
)


@settings(max_examples=150, deadline=None)
@given(counts, counts)
def test_counters_since_an_earlier_reading(earlier: Counts, more: Counts) -> None:
    gathered = earlier.plus(more).since(earlier)
    assert (gathered.total, gathered.errors) == (more.total, more.errors)
    assert all(gathered.over[ms] == more.over.get(ms, 0) for ms in gathered.over)
    assert from_json(to_json(earlier), Counts) == earlier


def test_counters_that_began_anew() -> None:
    assert Counts(2, 0, {10.0: 1}).since(Counts(9, 1, {10.0: 3})) == Counts(2, 0, {10.0: 1})
    assert Counts(9, 0).since(Counts(9, 1)) == Counts(9, 0)
    assert Counts(9, 1, {10.0: 0}).since(Counts(9, 1, {10.0: 3})).over == {10.0: 0}
