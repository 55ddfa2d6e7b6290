"""Two-sample tests: the false-alarm rate is what it says, and the field's known traps are shown beside them.

A rate measured in `runs` seeded simulations is compared with `binomial_bound(runs, alpha)`: the count that a
correct test exceeds with probability below one in a million.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from falaj.monitoring.categorical_reference import CategoricalReference
from falaj.monitoring.many_tables import compare_tables
from falaj.monitoring.numeric_reference import NumericReference
from falaj.monitoring.two_sample import (
    Comparison,
    benjamini_hochberg,
    compare,
    holm,
    rate_change_p_value,
    rate_p_value,
)

Draw = NDArray[np.float64]


def binomial_bound(runs: int, alpha: float) -> int:
    return int(stats.binom.isf(1e-6, runs, alpha))


def compare_numbers(reference: Draw, window: Draw, max_groups: int = 20) -> Comparison:
    fitted = NumericReference.fit(reference)
    counts = fitted.count(window)
    return compare(np.array(fitted.counts)[:-2], counts[:-2], max_groups=max_groups, ordered=True)


@pytest.mark.parametrize(("n", "m"), [(100, 100), (1000, 200), (5000, 1000), (500, 5000)])
@pytest.mark.parametrize("kind", ["normal", "lognormal", "poisson", "half_zero"])
def test_false_alarms_of_numbers_stay_at_the_nominal_rate(n: int, m: int, kind: str) -> None:
    rng, runs = np.random.default_rng(n + m), 600

    def draw(size: int) -> Draw:
        if kind == "poisson":
            return rng.poisson(3.0, size).astype(np.float64)
        if kind == "half_zero":
            return np.where(rng.random(size) < 0.5, 0.0, rng.exponential(size=size))
        return rng.normal(size=size) if kind == "normal" else rng.lognormal(sigma=2.0, size=size)

    results = [compare_numbers(draw(n), draw(m)) for _ in range(runs)]
    assert sum(result.p_value < 0.05 for result in results) <= binomial_bound(runs, 0.05)
    assert sum(result.psi_p_value < 0.05 for result in results) <= binomial_bound(runs, 0.05)


@pytest.mark.parametrize("categories", [3, 400, 10_000])
def test_false_alarms_of_categories_stay_at_the_nominal_rate(categories: int) -> None:
    rng, runs = np.random.default_rng(categories), 120
    alarms = unseen = 0
    for _ in range(runs):
        fitted = CategoricalReference.fit(rng.integers(0, categories, 2000))
        r, w = np.array(fitted.counts), fitted.count(rng.integers(0, categories, 1000))
        alarms += compare(r[:-1], w[:-1], max_groups=20, ordered=False).p_value < 0.05
        unseen += rate_p_value(int(r[-2]), 1000, int(w[-2]), 1000) < 0.05
    assert alarms <= binomial_bound(runs, 0.05)
    assert unseen <= binomial_bound(runs, 0.05)


def test_psi_on_its_calibrated_scale_is_chi_square() -> None:
    rng, cells = np.random.default_rng(5), np.full(10, 0.1)
    pairs = zip(rng.multinomial(5000, cells, 1500), rng.multinomial(2000, cells, 1500), strict=True)
    scaled = [compare(r, w, max_groups=20, ordered=True).psi / (1 / 5000 + 1 / 2000) for r, w in pairs]
    assert stats.kstest(scaled, stats.chi2(9).cdf).pvalue > 1e-3


def test_trap_one_sample_chi_square() -> None:
    """Taking the reference's shares for the truth forgets that they are a sample too."""
    rng, cells, runs = np.random.default_rng(6), np.full(20, 0.05), 500
    r, w = rng.multinomial(1000, cells, runs), rng.multinomial(1000, cells, runs)
    one_sample = stats.chi2.sf((((w - r) ** 2) / r).sum(axis=1), 19) < 0.05
    two_sample = [compare(a, b, max_groups=20, ordered=True).p_value < 0.05 for a, b in zip(r, w, strict=True)]
    assert one_sample.mean() > 0.23
    assert sum(two_sample) <= binomial_bound(runs, 0.05)


def test_trap_bins_over_reference_and_current() -> None:
    """One outlier stretches equal-width bins until everything else is in one of them."""
    rng = np.random.default_rng(7)
    reference, window = rng.normal(size=5000), rng.normal(1.0, 1.0, 1000)
    window[0] = 1e9
    edges = np.histogram_bin_edges(np.concatenate([reference, window]), bins=10)
    p, q = np.histogram(reference, edges)[0] / 5000 + 1e-4, np.histogram(window, edges)[0] / 1000 + 1e-4
    assert float(np.sum((q - p) * np.log(q / p))) < 0.1
    frozen = compare_numbers(reference, window)
    assert frozen.psi_excess > 0.5
    assert frozen.p_value < 1e-12


def test_trap_fixed_threshold_at_a_hundred_rows() -> None:
    rng, runs = np.random.default_rng(8), 300
    results = [compare_numbers(rng.normal(size=100), rng.normal(size=100)) for _ in range(runs)]
    assert np.mean([result.psi > 0.1 for result in results]) > 0.75
    assert sum(result.psi_p_value < 0.05 for result in results) <= binomial_bound(runs, 0.05)


def test_trap_fifty_uncorrected_columns() -> None:
    p_values = np.random.default_rng(9).random((1000, 50))
    assert (p_values.min(axis=1) < 0.05).mean() > 0.9
    corrected = np.array([holm(row).min() < 0.05 for row in p_values])
    assert corrected.sum() <= binomial_bound(1000, 0.05)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=2, max_size=40), st.data(), st.booleans())
def test_any_counts_give_figures_in_range(r: list[int], data: st.DataObject, ordered: bool) -> None:
    w = data.draw(st.lists(st.integers(0, 60), min_size=len(r), max_size=len(r)))
    result = compare(np.array(r), np.array(w), max_groups=20, ordered=ordered)
    assert 0.0 <= result.p_value <= 1.0
    assert 0.0 <= result.cramers_v <= 1.0 + 1e-9
    assert -1.0 <= result.shift <= 1.0
    assert np.isfinite(result.psi)
    assert result.groups <= max(len(r), 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(200, 900), st.integers(200, 900)), min_size=2, max_size=8))
def test_statistic_without_merging_is_scipys(cells: list[tuple[int, int]]) -> None:
    table = np.array(cells).T
    result = compare(table[0], table[1], max_groups=100, ordered=False)
    expected = stats.chi2_contingency(table, correction=False)
    assert result.groups == table.shape[1]
    assert result.chi_square == pytest.approx(expected.statistic, abs=1e-9)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 50), st.integers(1, 400), st.integers(0, 30), st.integers(1, 300))
def test_exact_rate_tests_are_fishers(rh: int, extra_r: int, wh: int, extra_w: int) -> None:
    n, m = rh + extra_r, wh + extra_w
    table = [[wh, m - wh], [rh, n - rh]]
    more = stats.fisher_exact(table, alternative="greater").pvalue
    fewer = stats.fisher_exact(table, alternative="less").pvalue
    assert rate_p_value(rh, n, wh, m) == pytest.approx(more, rel=1e-9)
    assert rate_change_p_value(rh, n, wh, m) == pytest.approx(min(1.0, 2 * min(more, fewer)), rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrections(values: list[float]) -> None:
    p = np.array(values)
    fdr = stats.false_discovery_control(p)
    assert benjamini_hochberg(p) == pytest.approx(fdr)
    corrected = holm(p)
    assert (corrected >= p).all()
    assert (corrected >= benjamini_hochberg(p) - 1e-12).all()
    assert (corrected <= np.minimum(1.0, p * p.size) + 1e-12).all()


tables = st.integers(1, 8).flatmap(
    lambda cells: st.lists(
        st.tuples(*[st.lists(st.integers(0, 40), min_size=cells, max_size=cells)] * 2), min_size=1, max_size=6
    )
)


@settings(max_examples=150, deadline=None)
@given(tables)
def test_many_tables_at_once_are_each_as_alone(pairs: list[tuple[list[int], list[int]]]) -> None:
    r, w = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    p_values, excess = compare_tables(r, w)
    alone = [compare(a, b, max_groups=a.size, ordered=False) for a, b in zip(r, w, strict=True)]
    assert p_values == pytest.approx([one.p_value for one in alone], rel=1e-9)
    assert excess == pytest.approx([one.psi_excess for one in alone], abs=1e-12)


def test_shift_has_a_direction() -> None:
    rng = np.random.default_rng(3)
    up = compare_numbers(rng.normal(size=4000), rng.normal(1.0, size=4000))
    down = compare_numbers(rng.normal(size=4000), rng.normal(-1.0, size=4000))
    expected = 2 * stats.norm.cdf(1 / np.sqrt(2)) - 1
    assert up.shift == pytest.approx(expected, abs=0.04)
    assert down.shift == pytest.approx(-expected, abs=0.04)


def test_nothing_to_compare() -> None:
    empty = np.zeros(3, dtype=np.int64)
    assert compare(empty, empty, max_groups=20, ordered=True).p_value == 1.0
    assert compare(np.array([9, 0]), np.array([3, 0]), max_groups=20, ordered=True).groups == 1
