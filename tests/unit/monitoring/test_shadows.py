"""A shadow beside what decided: every figure against its plain definition."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.monitoring.paired import paired_loss
from falaj.monitoring.performance import QualityPolicy
from falaj.monitoring.shadows import Comparison, Pairs, compare

SCORES = st.one_of(st.floats(0, 1), st.just(math.nan))
ROWS = st.lists(st.tuples(SCORES, SCORES, st.sampled_from([0.0, 1.0, math.nan])), max_size=60)


def compared(rows: list[tuple[float, float, float]], live: float = 0.5, shadow: float = 0.5) -> Comparison:
    columns = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    pairs = Pairs(columns[0], columns[1], columns[2], np.arange(len(rows)), np.arange(len(rows)))
    return compare(
        pairs,
        shadow=QualityPolicy(threshold=shadow),
        live=QualityPolicy(threshold=live),
        now_us=1_000,
        label_delay_us=0,
    )


@given(rows=ROWS, live=st.floats(0, 1), shadow=st.floats(0, 1))
def test_every_figure_is_its_definition(rows: list[tuple[float, float, float]], live: float, shadow: float) -> None:
    found = compared(rows, live, shadow)
    scored = [(a, b, outcome) for a, b, outcome in rows if not math.isnan(a) and not math.isnan(b)]
    assert (found.requests, found.both) == (len(rows), len(scored))
    assert found.shadow_failed == sum(math.isnan(b) and not math.isnan(a) for a, b, _ in rows)
    assert found.live_failed == sum(math.isnan(a) and not math.isnan(b) for a, b, _ in rows)
    assert found.only_shadow == sum(b >= shadow and a < live for a, b, _ in scored)
    assert found.only_live == sum(a >= live and b < shadow for a, b, _ in scored)
    labelled = sum(not math.isnan(outcome) for _, _, outcome in scored)
    assert found.live_quality.labelled == found.shadow_quality.labelled == labelled
    if not scored:
        assert (found.difference, found.changed) == (None, None)
        return
    assert found.difference is not None
    assert found.changed is not None
    sizes = sorted(abs(b - a) for a, b, _ in scored)
    assert found.difference.mean == pytest.approx(statistics.fmean(b - a for a, b, _ in scored))
    assert found.difference.mean_size == pytest.approx(statistics.fmean(sizes))
    assert found.difference.p50_size == pytest.approx(statistics.median(sizes))
    assert found.difference.max_size == sizes[-1]
    assert found.difference.p50_size <= found.difference.p90_size <= found.difference.p99_size <= sizes[-1]
    assert found.changed.value == pytest.approx((found.only_shadow + found.only_live) / len(scored))
    assert found.changed.lower <= found.changed.value <= found.changed.upper


def test_quality_is_measured_on_the_requests_that_both_scored() -> None:
    labels = [float(number % 2) for number in range(200)]
    rows = [(0.5, 0.9 if label else 0.1, label) for label in labels] + [(0.9, math.nan, 0.0)] * 50
    found = compared(rows)
    assert found.shadow_quality.metrics["auc"].value == 1.0
    assert found.live_quality.metrics["auc"].value == 0.5
    assert (found.live_quality.labelled, found.live_quality.outcome) == (200, "PASS")


def test_an_outcome_that_is_no_class_proves_nothing() -> None:
    fair = [(0.5, 0.5, float(n % 2)) for n in range(300)]
    strange = [(0.1, 0.9, 50.0)] * 20  # as of the regression beside it
    found = compared(fair + strange).paired
    assert found == compared(fair).paired
    assert found is not None and (found.outcomes, found.less.value) == (300, 0.0)


@pytest.mark.parametrize("score", [7.0, -7.0, math.inf])
def test_a_score_that_is_no_probability_loses_what_can_be_lost_and_no_more(score: float) -> None:
    outcomes, shadow = np.tile([0.0, 1.0], 100), np.full(200, 0.5)

    def lost(wrong: float) -> object:
        live = np.where(np.arange(200) % 20 == 0, wrong, 0.5)
        return paired_loss("brier", outcomes, live, shadow, thresholds=(0.5, 0.5), cost=None)

    assert lost(score) == lost(math.nan)
