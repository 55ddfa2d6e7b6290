"""What to do with a canary now: a pure function of its plan, where it stands, what was counted, and the time.

hold ──────────► hold            too early, too few requests, no data, or doubt
  ├────────────► advance, promote  baked, enough requests, nothing against it
  ├────────────► abort           a rule is proven broken: at once, at any time
  └────────────► roll_back       the deadline came before the evidence did
"""

import math
from typing import Literal

import msgspec

from falaj.definitions.rollout import AbortRule, Canary
from falaj.definitions.verdict import Outcome, Verdict
from falaj.kernel.codec import to_builtins
from falaj.kernel.duration import duration_us, format_duration
from falaj.rollout.evidence import (
    MIN_REQUESTS_ERRORS,
    MIN_REQUESTS_P99,
    P99_SHARE,
    Counts,
    ratio_log_e,
)

ABORT_ALPHA = 0.05
"""Chance at most that a whole rollout of a version at its bounds is aborted; a healthy one lies below its bounds."""

Action = Literal["hold", "advance", "promote", "abort", "roll_back"]
Standing = Literal["broken", "doubtful", "clear", "unmeasured"]
_OUTCOMES: dict[Action, Outcome] = {
    "hold": "INCONCLUSIVE",
    "advance": "PASS",
    "promote": "PASS",
    "abort": "FAIL",
    "roll_back": "INCONCLUSIVE",
}


class CanaryState(msgspec.Struct, frozen=True):
    """Where a canary stands.

    Attributes:
        step: Index into the plan's steps.
        step_started_us: When this step's weights took force, in microseconds.
    """

    step: int
    step_started_us: int


class RuleReading(msgspec.Struct, frozen=True):
    """One abort rule, read against the counts.

    Attributes:
        metric: "error_ratio" or "p99_ms".
        bound: The rule's bound.
        standing: "broken" when proven; "doubtful" when the counts are above the bound without proof; "clear" when
            they are not above it; "unmeasured" when nothing was counted for it.
        bad: Requests that count against it.
        total: All requests.
        allowed_ratio: The share of bad requests that the bound allows.
        log_e: Logarithm of the e-value against "no more than allowed".
        log_e_needed: From which it is proof.
        min_requests: Fewer prove nothing.
    """

    metric: str
    bound: float
    standing: Standing
    bad: int
    total: int
    allowed_ratio: float
    log_e: float
    log_e_needed: float
    min_requests: int


class Decision(msgspec.Struct, frozen=True):
    """What to do, why, and all that it was decided from: `replay` gives the same decision again.

    Attributes:
        action: What to do.
        code: The reason as one stable word.
        reason: The reason as one sentence.
        step: Index of the step that is in force after it; unchanged but for "advance".
        readings: Each rule, as read.
        plan: As given to `decide`.
        state: As given.
        counts: As given.
        now_us: As given.
    """

    action: Action
    code: str
    reason: str
    step: int
    readings: tuple[RuleReading, ...]
    plan: Canary
    state: CanaryState
    counts: Counts | None
    now_us: int

    def to_verdict(self, endpoint: str) -> Verdict:
        """Return the shared value: PASS grows, FAIL aborts, INCONCLUSIVE holds or rolls back."""
        return Verdict("canary", endpoint, _OUTCOMES[self.action], self.reason, to_builtins(self), self.now_us)


def decide(plan: Canary, state: CanaryState, counts: Counts | None, now_us: int) -> Decision:
    """Say what to do with a canary now.

    Args:
        plan: The endpoint's rollout.
        state: Where it stands.
        counts: What the candidate answered since the step began; None when the counters cannot be read.
        now_us: The present, in microseconds.

    Example:
        >>> from falaj.definitions.rollout import canary, error_ratio
        >>> plan = canary(steps=[10, 100], bake="1m", abort_if=[error_ratio > 0.05])
        >>> decide(plan, CanaryState(0, 0), Counts(500, 2), 60_000_000).action
        'advance'
        >>> decide(plan, CanaryState(0, 0), Counts(60, 30), 1_000_000).reason
        'error_ratio is above 0.05: 30 of 60 requests, where 5 % are allowed'
    """
    readings = tuple(_read(rule, counts, _log_e_needed(plan)) for rule in plan.abort_if)
    action, code, reason = _judge(plan, state, counts, now_us, readings)
    step = state.step + 1 if action == "advance" else state.step
    return Decision(action, code, reason, step, readings, plan, state, counts, now_us)


def replay(decision: Decision) -> Decision:
    """Decide again from what a recorded decision was decided from."""
    return decide(decision.plan, decision.state, decision.counts, decision.now_us)


def thresholds_ms(plan: Canary) -> tuple[float, ...]:
    """Return the latencies that the gateway must count exactly for the plan's rules.

    Example:
        >>> from falaj.definitions.rollout import canary, p99_ms
        >>> thresholds_ms(canary(abort_if=[p99_ms > 10]))
        (10.0,)
    """
    return tuple(sorted({rule.bound for rule in plan.abort_if if rule.metric == "p99_ms"}))


def _judge(
    plan: Canary, state: CanaryState, counts: Counts | None, now_us: int, readings: tuple[RuleReading, ...]
) -> tuple[Action, str, str]:
    broken = [reading for reading in readings if reading.standing == "broken"]
    if broken:
        return "abort", "broken", _sentence(broken[0])
    bake_us = duration_us(plan.bake)
    elapsed_us = now_us - state.step_started_us
    lacking = _lacking(plan, counts, readings)
    if lacking:
        # A deadline inside the bake would end a rollout that was not allowed to go on yet.
        if elapsed_us >= max(duration_us(plan.deadline), bake_us):
            return "roll_back", lacking[0], f"no decision after {plan.deadline}: {lacking[1]}"
        return "hold", *lacking
    if elapsed_us < bake_us:
        return "hold", "baking", f"{plan.steps[state.step]} % bakes for {format_duration(bake_us)}"
    if state.step + 1 < len(plan.steps):
        return (
            "advance",
            "clear",
            f"nothing against it at {plan.steps[state.step]} %: on to {plan.steps[state.step + 1]} %",
        )
    return "promote", "clear", f"nothing against it at {plan.steps[state.step]} %"


def _lacking(plan: Canary, counts: Counts | None, readings: tuple[RuleReading, ...]) -> tuple[str, str] | None:
    """Return the code and the sentence of what evidence is missing, if any is."""
    if counts is None:
        return "no_data", "the candidate's counters cannot be read"
    if counts.total < plan.min_requests:
        return "few_requests", f"{counts.total} requests of the {plan.min_requests} that are needed"
    for reading in readings:
        if reading.standing == "unmeasured":
            return "unmeasured", f"{reading.metric} > {reading.bound:g} is not counted by the gateway"
        if reading.standing == "doubtful":
            return "doubtful", f"{reading.metric} > {reading.bound:g} looks broken but is not proven"
    return None


def _read(rule: AbortRule, counts: Counts | None, needed: float) -> RuleReading:
    errors = rule.metric == "error_ratio"
    allowed = rule.bound if errors else P99_SHARE
    least = MIN_REQUESTS_ERRORS if errors else MIN_REQUESTS_P99
    total = counts.total if counts else 0
    bad = None if counts is None else counts.errors if errors else counts.over.get(rule.bound)
    log_e = ratio_log_e(bad, total, allowed) if bad is not None else 0.0
    standing: Standing = "clear"
    if bad is None:
        standing = "unmeasured"
    elif log_e >= needed and total >= least:
        standing = "broken"
    elif bad > allowed * total:
        standing = "doubtful"
    return RuleReading(rule.metric, rule.bound, standing, bad or 0, total, allowed, log_e, needed, least)


def _log_e_needed(plan: Canary) -> float:
    """Return the logarithm that keeps all rules at all steps together within `ABORT_ALPHA`."""
    return math.log(len(plan.steps) * max(1, len(plan.abort_if)) / ABORT_ALPHA)


def _sentence(reading: RuleReading) -> str:
    slow = "" if reading.metric == "error_ratio" else " that slow"
    return (
        f"{reading.metric} is above {reading.bound:g}: {reading.bad} of {reading.total} requests{slow}, "
        f"where {reading.allowed_ratio * 100:g} % are allowed"
    )
