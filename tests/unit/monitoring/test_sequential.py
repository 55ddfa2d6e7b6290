"""An interval for every look: against its definition, against its promise, and that it finds what is there."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.monitoring.sequential import sequential_mean


def naive(values: list[float], confidence: float) -> tuple[float, float]:
    """The definition, value by value."""
    risk = math.log(2 / (1 - confidence))
    total, squares, staked, weighted, surprise = 0.5, 0.25, 0.0, 0.0, 0.0
    for t, value in enumerate(values, 1):
        mean, variance = total / t, squares / t
        bet = min(math.sqrt(2 * risk / (variance * t * math.log(1 + t))), 0.5)
        staked, weighted = staked + bet, weighted + bet * value
        surprise += 4 * (value - mean) ** 2 * (-math.log(1 - bet) - bet) / 4
        total += value
        squares += (value - total / (t + 1)) ** 2
    centre, reach = weighted / staked, (risk + surprise) / staked
    return max(0.0, centre - reach), min(1.0, centre + reach)


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=40),
    low=st.floats(-5, 5),
    width=st.floats(0.1, 9),
    confidence=st.sampled_from([0.9, 0.95, 0.99]),
)
def test_it_is_its_definition(values: list[float], low: float, width: float, confidence: float) -> None:
    found = sequential_mean(np.array(values) * width + low, low, low + width, confidence=confidence)
    lower, upper = naive(values, confidence)
    assert (found.lower, found.upper) == pytest.approx((low + width * lower, low + width * upper), abs=1e-7)
    assert found.lower <= found.value <= found.upper


def test_of_healthy_streams_looked_at_all_along_few_are_ever_wrong() -> None:
    looks = [*range(20, 400, 20), *range(400, 4_001, 200)]
    wrong = ordinary = 0
    for seed in range(300):
        values = np.random.default_rng(seed).choice([-1.0, 0.0, 0.3, 0.7], 4_000, p=[0.2, 0.54, 0.2, 0.06])
        true = -0.2 + 0.2 * 0.3 + 0.06 * 0.7
        found = [sequential_mean(values[:rows], -1.0, 1.0) for rows in looks]
        wrong += any(not one.lower <= true <= one.upper for one in found)
        means, errors = zip(*[(values[:n].mean(), values[:n].std() / math.sqrt(n)) for n in looks], strict=True)
        ordinary += any(abs(mean - true) > 1.96 * error for mean, error in zip(means, errors, strict=True))
    assert wrong <= 15  # 5 in 100 of 300
    assert ordinary > 45  # what an interval for one look does, looked at as often


def test_a_difference_is_found_and_no_value_says_nothing() -> None:
    values = np.random.default_rng(1).normal(0.05, 0.1, 3_000).clip(-1, 1)
    found = sequential_mean(values, -1.0, 1.0)
    assert 0 < found.lower < 0.05 < found.upper < 0.1
    nothing = sequential_mean(values[:0], -1.0, 1.0)
    assert (nothing.lower, nothing.upper) == (-1.0, 1.0)
