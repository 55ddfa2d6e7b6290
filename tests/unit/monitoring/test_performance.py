"""Realised quality: late, duplicate and unordered outcomes, label maturity, and too little evidence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from falaj.kernel.codec import to_json
from falaj.kernel.errors import InputError
from falaj.monitoring.performance import Joined, QualityPolicy, join_feedback, judge_floor, measure

DAY_US = 86_400_000_000


def joined(rows: int = 1000, *, known: float = 1.0, skill: float = 2.0, seed: int = 0) -> Joined:
    """Decisions one a minute; the score is a probability that knows the outcome as well as `skill` says."""
    rng = np.random.default_rng(seed)
    outcomes = (rng.random(rows) < 0.2).astype(np.float64)
    scores = 1 / (1 + np.exp(-rng.normal(skill * (outcomes - 0.5) * 2, 1.0)))
    outcomes[rng.random(rows) >= known] = np.nan
    return Joined(scores, outcomes, np.arange(rows) * 60_000_000, 0, 0)


def test_metrics_are_those_of_the_mature_labelled_decisions() -> None:
    data = joined(known=0.8)
    now = 700 * 60_000_000 + 7 * DAY_US
    quality = measure(data, now_us=now, label_delay_us=7 * DAY_US)
    usable = (np.arange(1000) <= 700) & ~np.isnan(data.outcomes)
    assert (quality.decisions, quality.mature, quality.labelled) == (1000, 701, int(usable.sum()))
    assert quality.early == int((~np.isnan(data.outcomes)).sum()) - quality.labelled
    assert quality.label_maturity == quality.labelled / 701
    assert quality.positives == int(data.outcomes[usable].sum())
    assert quality.outcome == "PASS"
    labels, scores = data.outcomes[usable], data.scores[usable]
    assert quality.metrics["auc"].value == pytest.approx(roc_auc_score(labels, scores))
    assert quality.metrics["average_precision"].value == pytest.approx(average_precision_score(labels, scores))
    assert set(quality.metrics) == {"precision", "recall", "auc", "average_precision", "log_loss", "brier"}


def test_early_bad_news_does_not_raise_the_share_of_positives() -> None:
    data = joined()
    young = np.arange(1000) > 500
    data.outcomes[young & (data.outcomes == 0)] = np.nan  # so far only frauds were reported
    now = 500 * 60_000_000 + DAY_US
    quality = measure(data, now_us=now, label_delay_us=DAY_US)
    assert quality.label_maturity == 1.0
    assert quality.positives is not None and quality.positives / quality.labelled < 0.3
    assert quality.early > 0


@pytest.mark.parametrize(
    ("rows", "known", "outcomes", "reason"),
    [
        (50, 1.0, None, "50 mature outcomes; 100 are needed"),
        (0, 1.0, None, "0 mature outcomes; 100 are needed"),
        (1000, 1.0, 0.0, "0 positive outcomes; 20 are needed"),
        (1000, 1.0, 1.0, "0 negative outcomes; 20 are needed"),
        (1000, 0.3, None, "outcomes came for"),
    ],
)
def test_too_little_evidence_is_inconclusive(rows: int, known: float, outcomes: float | None, reason: str) -> None:
    data = joined(rows, known=known)
    if outcomes is not None:
        data.outcomes[:] = outcomes
    quality = measure(data, now_us=10**15, label_delay_us=0)
    assert quality.outcome == "INCONCLUSIVE"
    assert quality.reason.startswith(reason)
    assert "auc" not in quality.metrics or outcomes is None
    assert judge_floor(quality, {"auc": 0.0}, subject="fraud", at_us=1).outcome == "INCONCLUSIVE"


def test_failed_decisions_have_no_score_and_are_left_out() -> None:
    data = joined()
    data.scores[:10] = np.nan
    quality = measure(data, now_us=10**15, label_delay_us=0)
    assert quality.labelled == 990
    assert np.isfinite(quality.metrics["log_loss"].value)


def test_a_score_that_is_no_probability_has_no_log_loss() -> None:
    data = joined()
    shifted = Joined(data.scores * 10 - 5, data.outcomes, data.decided_us, 0, 0)
    quality = measure(shifted, now_us=10**15, label_delay_us=0, policy=QualityPolicy(threshold=0.0))
    assert "log_loss" not in quality.metrics
    assert "auc" in quality.metrics


def test_a_floor_fails_only_when_the_whole_interval_is_below() -> None:
    quality = measure(joined(skill=1.0), now_us=10**15, label_delay_us=0)
    area = quality.metrics["auc"]
    for bound, outcome in [(area.lower - 0.01, "PASS"), (area.value, "INCONCLUSIVE"), (area.upper + 0.001, "FAIL")]:
        assert judge_floor(quality, {"auc": bound}, subject="fraud", at_us=1).outcome == outcome
    loss = quality.metrics["brier"]
    assert judge_floor(quality, {"brier": loss.upper + 0.01}, subject="fraud", at_us=1).outcome == "PASS"
    assert judge_floor(quality, {"brier": loss.lower - 0.01}, subject="fraud", at_us=1).outcome == "FAIL"
    assert judge_floor(quality, {"brier": 1.0, "auc": 1.0}, subject="fraud", at_us=1).outcome == "FAIL"
    assert judge_floor(quality, {"unknown": 0.5}, subject="fraud", at_us=1).outcome == "INCONCLUSIVE"
    assert judge_floor(quality, {}, subject="fraud", at_us=1).outcome == "INCONCLUSIVE"
    verdict = judge_floor(quality, {"auc": 0.1}, subject="fraud", at_us=1)
    assert verdict.kind == "performance"
    assert to_json(verdict)
    assert to_json(quality.to_verdict("fraud", 1))


feedback_rows = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0, 1.0]), st.integers(0, 3)), max_size=20)


@settings(max_examples=150, deadline=None)
@given(feedback_rows)
def test_the_latest_outcome_wins_in_whatever_order_they_arrive(rows: list[tuple[int, float, int]]) -> None:
    ids = [f"r{n}" for n in range(5)]
    expected: dict[str, tuple[int, float]] = {}
    for number, outcome, at in rows:
        key = f"r{number}"
        if key not in expected or at >= expected[key][0]:
            expected[key] = (at, outcome)
    feedback = (
        [f"r{number}" for number, _, _ in rows],
        np.array([outcome for _, outcome, _ in rows]),
        np.array([at for _, _, at in rows], dtype=np.int64),
    )
    result = join_feedback((ids, np.zeros(5), np.zeros(5, dtype=np.int64)), feedback)
    for row, request_id in enumerate(ids):
        if request_id in expected:
            assert result.outcomes[row] == expected[request_id][1]
        else:
            assert np.isnan(result.outcomes[row])
    named = sum(number < 5 for number, _, _ in rows)
    assert result.orphans == len(rows) - named
    assert result.repeated == named - sum(key in ids for key in expected)


def test_a_decision_logged_twice_is_one() -> None:
    result = join_feedback(
        (["a", "a", "b"], np.array([0.1, 0.2, 0.3]), np.array([1, 2, 3])), (["a"], np.array([1.0]), np.array([9]))
    )
    assert result.scores.tolist() == [0.1, 0.3]
    assert result.outcomes[0] == 1.0


def test_an_outcome_that_is_not_binary_is_refused() -> None:
    with pytest.raises(InputError, match="not 0 or 1"):
        join_feedback((["a"], np.zeros(1), np.zeros(1, dtype=np.int64)), (["a"], np.array([0.5]), np.array([1])))
