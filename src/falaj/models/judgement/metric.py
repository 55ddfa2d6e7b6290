"""Bounds on metrics, and on their change against production, on all rows and in each required slice."""

from collections.abc import Callable, Iterator

from falaj.definitions.gate import HIGHER_IS_BETTER, Bound, Change
from falaj.definitions.slices import Slices, column_of, sliced
from falaj.models.bootstrap import Interval
from falaj.models.findings import Findings
from falaj.models.gate_report import CheckResult, Outcome
from falaj.models.judgement.evidence_needed import rows_needed, said
from falaj.models.parts import MOST_SLICES, Part

_SLACK = 1e-12  # bounds are inclusive, and 0.900 - 0.895 is not 0.005 in floating point


def judge_bound(check: Bound, findings: Findings) -> Iterator[CheckResult]:
    """Judge an absolute bound, and the same in each slice.

    Args:
        check: The bound.
        findings: What was measured.
    """
    yield from _everywhere(check.name, check.slices, findings, lambda name, part: _bound(check, name, part))


def judge_change(check: Change, findings: Findings, problem: str = "") -> Iterator[CheckResult]:
    """Judge a change against production, and the same in each slice.

    Args:
        check: The bound.
        findings: What was measured.
        problem: Why production cannot be compared with; empty when it can.
    """
    yield from _everywhere(check.name, check.slices, findings, lambda name, part: _change(check, name, part, problem))


def _everywhere(
    name: str, slices: Slices, findings: Findings, judge: Callable[[str, Part], CheckResult]
) -> Iterator[CheckResult]:
    yield judge(name, findings.whole)
    measured = {found.column: found for found in findings.slices}
    for declared, required in sliced(slices):
        column = column_of(declared)
        found = measured.get(column)
        if found is None or not found.parts:
            yield failed(f"{name} where {column}", f"the slices of {column} were not measured")
            continue
        parts = {part.value: part for part in found.parts}
        if found.left_out and not required:
            yield failed(
                f"{name} where {column}",
                f"{column} has {found.left_out + len(parts)} values, more than {MOST_SLICES}; name those required",
            )
        for value in required or parts:
            label = f"{name} where {column} = {value}"
            yield judge(label, parts[value]) if value in parts else failed(label, "no test row has this value")


def _usable(metric: str, values: dict[str, float | None], rows: int) -> tuple[float, str]:
    if rows == 0:
        return 0.0, "there are no test rows"
    if metric not in values:
        return 0.0, f"{metric} was not measured"
    value = values[metric]
    return (0.0, f"{metric} is not a number") if value is None or value != value else (value, "")


def _bound(check: Bound, name: str, part: Part) -> CheckResult:
    value, problem = _usable(check.metric, part.metrics, part.rows)
    if part.rows and part.too_few:  # of one class a ranking is not a number: too little evidence, and not a fault
        known = None if problem else value
        return CheckResult(name, Outcome.INCONCLUSIVE, part.too_few, known, check.bound)
    if problem:
        return failed(name, problem, bound=check.bound)
    interval = part.intervals.get(check.metric)
    if check.by_interval and interval is None:
        return failed(name, f"the interval of {check.metric} was not measured", bound=check.bound)
    between = _between(interval)
    sign = 1 if check.kind == "at_least" else -1
    low, high = (interval.low, interval.high) if check.by_interval and interval else (value, value)
    worst, best = (low, high) if sign == 1 else (high, low)
    if sign * (worst - check.bound) >= -_SLACK:
        outcome, words = Outcome.PASS, "at least" if sign == 1 else "at most"
    elif sign * (best - check.bound) < -_SLACK:
        outcome, words = Outcome.FAIL, "below" if sign == 1 else "above"
    else:
        outcome, words = Outcome.INCONCLUSIVE, "not surely at least" if sign == 1 else "not surely at most"
    margin = sign * (value - check.bound)
    needed = rows_needed(part.rows, abs(value - (worst if margin > 0 else best)), margin, outcome)
    reason = f"{check.metric} {value:.4f}{between} is {words} {check.bound:g}{said(needed, 'the value stays')}"
    return CheckResult(
        name, outcome, reason, value, check.bound, low=_low(interval), high=_high(interval), rows_needed=needed
    )


def _change(check: Change, name: str, part: Part, problem: str) -> CheckResult:
    value, wrong = _usable(check.metric, part.metrics, part.rows)
    baseline, wrong_baseline = _usable(check.metric, part.baseline, part.rows)
    if problem and not wrong:
        wrong = f"of production: {problem}"
    if part.rows and part.too_few and not problem:
        return CheckResult(name, Outcome.INCONCLUSIVE, part.too_few, None, check.by)
    if wrong or wrong_baseline:
        return failed(name, wrong or f"of production: {wrong_baseline}", bound=check.by)
    change = part.changes.get(check.metric)
    if change is None:
        return failed(name, f"the interval of the change in {check.metric} was not measured", bound=check.by)
    sign = 1 if HIGHER_IS_BETTER[check.metric] else -1
    outcomes = []
    if check.by or check.relative is None:
        outcomes.append(within(sign, change, check.by))
    if check.relative is not None:
        share = part.relative.get(check.metric)
        if abs(baseline) < _SLACK:
            return failed(name, "production's value is zero, of which there is no share", bound=check.relative)
        if share is None:
            return failed(name, f"the relative change in {check.metric} was not measured", bound=check.relative)
        outcomes.append(within(sign, share, check.relative))
    outcome = next((o for o in (Outcome.FAIL, Outcome.INCONCLUSIVE) if o in outcomes), Outcome.PASS)
    words = {Outcome.PASS: "", Outcome.FAIL: ": worse", Outcome.INCONCLUSIVE: ": too close to call"}[outcome]
    needed, when = _needed(check, part, sign, value - baseline, baseline, outcome)
    reason = (
        f"{check.metric} {value:.4f} against production's {baseline:.4f} on the same {part.rows:,} rows, a change of "
        f"{value - baseline:+.4f} ({change.low:+.4f} to {change.high:+.4f}){words}{said(needed, when)}"
    )
    return CheckResult(
        name, outcome, reason, value, check.by, baseline, low=change.low, high=change.high, rows_needed=needed
    )


def _needed(
    check: Change, part: Part, sign: int, change: float, baseline: float, outcome: Outcome
) -> tuple[int | None, str]:
    """Return how many rows would decide about two that are alike; where that says nothing, that differ as seen."""
    interval = part.changes[check.metric]
    worst, best = (interval.low, interval.high) if sign == 1 else (interval.high, interval.low)
    allowed = [check.by] if check.by or check.relative is None else []
    allowed += [] if check.relative is None else [check.relative * abs(baseline)]
    by = min(allowed)
    if 0 < by < abs(change - worst):
        return rows_needed(part.rows, abs(change - worst), by, outcome), "the two are alike"
    margin = sign * change + by
    return rows_needed(part.rows, abs(change - (worst if margin > 0 else best)), margin, outcome), "the change stays"


def within(sign: int, change: Interval, by: float) -> Outcome:
    """Return PASS where all of an interval loses no more than is allowed, FAIL where none of it does.

    Args:
        sign: 1 where more is better, and -1 where less is.
        change: The interval.
        by: How much may be lost.
    """
    worst, best = (change.low, change.high) if sign == 1 else (change.high, change.low)
    if sign * worst >= -by - _SLACK:
        return Outcome.PASS
    return Outcome.FAIL if sign * best < -by - _SLACK else Outcome.INCONCLUSIVE


def failed(name: str, reason: str, *, bound: float | None = None, implicit: bool = False) -> CheckResult:
    """Return a failure for want of something."""
    return CheckResult(name, Outcome.FAIL, reason, None, bound, implicit=implicit)


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f" ({interval.low:.4f} to {interval.high:.4f})"


def _low(interval: Interval | None) -> float | None:
    return None if interval is None else interval.low


def _high(interval: Interval | None) -> float | None:
    return None if interval is None else interval.high
