"""Source quality: bad rows are told when they are proven, and a source at its bound is not."""

import numpy as np
import pytest
from scipy import stats

from falaj.monitoring.source_quality import ALPHA, Share, judge_freshness, judge_rows


def test_sources_at_their_very_bounds_alarm_no_more_often_than_alpha() -> None:
    """Twenty checks, each broken by exactly as many rows as is allowed on average."""
    rng, runs, rows = np.random.default_rng(71), 2000, 300
    failed = 0
    for hits in rng.binomial(rows, 0.05, (runs, 20)):
        shares = [Share(f"check {number}", int(one), 0.05) for number, one in enumerate(hits)]
        failed += judge_rows("tx", shares, rows, at_us=0, evidence={}).outcome == "FAIL"
    assert failed <= stats.binom.isf(1e-3, runs, ALPHA)


@pytest.mark.parametrize(
    ("bad", "rows", "outcome"),
    [(5, 1000, "PASS"), (10, 1000, "PASS"), (14, 1000, "INCONCLUSIVE"), (40, 1000, "FAIL"), (40, 99, "INCONCLUSIVE")],
)
def test_a_share_is_held_against_its_bound(bad: int, rows: int, outcome: str) -> None:
    found = judge_rows("tx", [Share("amount is null", bad, 0.01)], rows, at_us=0, evidence={"through": 7})
    assert found.outcome == outcome
    assert found.evidence["through"] == 7


def test_nothing_found_is_as_good_as_is_asked() -> None:
    assert judge_rows("tx", [], 1000, at_us=0, evidence={}).outcome == "PASS"


def test_a_source_is_stale_by_when_rows_arrived() -> None:
    assert judge_freshness("tx", 0, 60_000_000, 60_000_000).outcome == "PASS"
    stale = judge_freshness("tx", 5, 60_000_006, 60_000_000)
    assert (stale.kind, stale.outcome, stale.evidence) == ("freshness", "FAIL", {"last_us": 5})
    assert stale.reason == "no row arrived for more than 1m"
