"""The canary: whatever is counted, it goes up one step at a time, stops on proof, and does not wait for ever."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from falaj.definitions.rollout import AbortRule, Canary, canary, error_ratio, p99_ms
from falaj.kernel.codec import from_json, to_json
from falaj.kernel.duration import duration_us
from falaj.rollout.canary import ABORT_ALPHA, CanaryState, Decision, decide, replay, thresholds_ms
from falaj.rollout.evidence import Counts

PLAN = canary(steps=[10, 50, 100], bake="10m", abort_if=[error_ratio > 0.05, p99_ms > 10], deadline="1h")
BAKE_US = duration_us("10m")
HOUR_US = duration_us("1h")


def counted(total: int, errors: int = 0, slow: int = 0) -> Counts:
    return Counts(total, errors, {10.0: slow})


def at(now_us: int, counts: Counts | None, step: int = 0, plan: Canary = PLAN) -> Decision:
    return decide(plan, CanaryState(step, 0), counts, now_us)


@pytest.mark.parametrize(("step", "action", "after"), [(0, "advance", 1), (1, "advance", 2), (2, "promote", 2)])
def test_a_healthy_candidate_goes_up_step_by_step(step: int, action: str, after: int) -> None:
    decision = at(BAKE_US, counted(1000, errors=3, slow=2), step)
    assert (decision.action, decision.step) == (action, after)
    assert decision.to_verdict("fraud").outcome == "PASS"


def test_it_bakes_first() -> None:
    decision = at(BAKE_US - 1, counted(1_000_000))
    assert (decision.action, decision.code, decision.step) == ("hold", "baking", 0)


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        (None, "no_data"),
        (Counts(), "few_requests"),
        (counted(99), "few_requests"),
        (Counts(1000), "unmeasured"),
        (counted(120, errors=8), "doubtful"),
        (counted(150, slow=4), "doubtful"),
    ],
)
def test_too_little_evidence_holds_and_at_the_deadline_rolls_back(counts: Counts | None, code: str) -> None:
    early, late = at(HOUR_US - 1, counts), at(HOUR_US, counts)
    assert (early.action, early.code) == ("hold", code)
    assert (late.action, late.code) == ("roll_back", code)
    assert late.reason.startswith("no decision after 1h: ")
    assert early.to_verdict("fraud").outcome == late.to_verdict("fraud").outcome == "INCONCLUSIVE"


@pytest.mark.parametrize("now_us", [0, 1, BAKE_US, HOUR_US, 10 * HOUR_US])
@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("counts", [counted(60, errors=30), counted(300, slow=30), counted(10_000, 900, 0)])
def test_a_proven_rule_aborts_at_any_time(now_us: int, step: int, counts: Counts) -> None:
    decision = at(now_us, counts, step)
    assert (decision.action, decision.code, decision.step) == ("abort", "broken", step)
    assert decision.to_verdict("fraud").outcome == "FAIL"


def test_a_percentile_needs_two_hundred_requests_and_errors_fifty() -> None:
    assert at(0, counted(199, slow=199)).action == "hold"
    assert at(0, counted(200, slow=199)).action == "abort"
    assert at(0, counted(49, errors=49)).action == "hold"
    assert at(0, counted(50, errors=49)).action == "abort"


def test_without_rules_it_needs_time_and_requests_only() -> None:
    plan = canary(steps=[100], bake="1m", min_requests=1)
    assert at(duration_us("1m"), Counts(1, errors=1), plan=plan).action == "promote"
    assert at(duration_us("1m"), Counts(0), plan=plan).action == "hold"


def test_a_deadline_within_the_bake_waits_for_the_bake() -> None:
    plan = canary(steps=[100], bake="10m", deadline="1m")
    assert at(BAKE_US - 1, None, plan=plan).action == "hold"
    assert at(BAKE_US, None, plan=plan).action == "roll_back"
    assert at(BAKE_US, Counts(100), plan=plan).action == "promote"


def test_thresholds_are_those_of_the_rules() -> None:
    assert thresholds_ms(canary(abort_if=[p99_ms > 20, error_ratio > 0.1, p99_ms > 5, p99_ms > 20])) == (5.0, 20.0)


rules = st.one_of(
    st.builds(AbortRule, st.just("error_ratio"), st.floats(0.001, 0.999)),
    st.builds(AbortRule, st.just("p99_ms"), st.sampled_from([5.0, 10.0])),
)
plans = st.builds(
    Canary,
    st.sets(st.integers(1, 99), max_size=3).map(lambda steps: (*sorted(steps), 100)),
    st.sampled_from(["0s", "1s", "10m"]),
    st.lists(rules, max_size=3).map(tuple),
    st.integers(1, 300),
    st.sampled_from(["1s", "5m", "1d"]),
)


@st.composite
def counts_of(draw: st.DrawFn) -> Counts | None:
    if draw(st.booleans()) and draw(st.booleans()):
        return None
    total = draw(st.integers(0, 5000))
    few = st.integers(0, total)
    return Counts(total, draw(few), draw(st.dictionaries(st.sampled_from([5.0, 10.0]), few)))


@settings(max_examples=400, deadline=None)
@given(plans, counts_of(), st.integers(0, 2 * 86_400_000_000), st.data())
def test_laws(plan: Canary, counts: Counts | None, now_us: int, data: st.DataObject) -> None:
    state = CanaryState(data.draw(st.integers(0, len(plan.steps) - 1)), 0)
    decision = decide(plan, state, counts, now_us)
    bake_us, last = duration_us(plan.bake), state.step == len(plan.steps) - 1
    assert replay(decision) == decision
    assert replay(from_json(to_json(decision), Decision)) == decision
    assert decision.step - state.step == (decision.action == "advance")
    if decision.action in ("advance", "promote"):
        assert (decision.action == "promote") == last
        assert now_us >= bake_us
        assert counts is not None
        assert counts.total >= plan.min_requests
        assert all(reading.standing == "clear" for reading in decision.readings)
    if decision.action == "abort":
        assert any(r.log_e >= r.log_e_needed and r.total >= r.min_requests for r in decision.readings)
    if decision.action == "hold":
        later = decide(plan, state, counts, now_us + 2 * 86_400_000_000)
        assert later.action != "hold"  # nothing waits for ever
    # More time alone never turns an end into a wait.
    if decision.action in ("abort", "roll_back", "promote", "advance"):
        assert decide(plan, state, counts, now_us + 1).action == decision.action


def test_a_version_at_its_bounds_is_seldom_aborted_and_a_bad_one_soon_is() -> None:
    """The whole rollout, read every 20 requests: three steps, two rules, 2,000 requests each."""
    rng, runs, pieces = np.random.default_rng(7), 60, 100
    aborted = sum(_aborts(rng, 0.05, 0.01, pieces) is not None for _ in range(runs))
    assert aborted <= stats.binom.isf(1e-6, runs, ABORT_ALPHA)
    bad = [_aborts(rng, 0.15, 0.01, pieces) for _ in range(20)]
    assert all(requests is not None and requests <= 1000 for requests in bad)


def _aborts(rng: np.random.Generator, errors: float, slow: float, pieces: int) -> int | None:
    for step in range(3):
        bad, late = np.cumsum(rng.binomial(20, errors, pieces)), np.cumsum(rng.binomial(20, slow, pieces))
        for piece in range(pieces):
            counts = counted(20 * (piece + 1), int(bad[piece]), int(late[piece]))
            if at(0, counts, step).action == "abort":
                return step * 20 * pieces + counts.total
    return None
