"""Leakage: whether a feature knows the label too well, is the label, or comes from after its event."""

from collections.abc import Iterator

from falaj.definitions.gate import Leakage
from falaj.definitions.slices import column_of
from falaj.models.findings import Findings
from falaj.models.gate_report import CheckResult, Outcome
from falaj.models.judgement.metric import failed
from falaj.models.leakage import Alone, Leaks
from falaj.models.proportions import rows_for, share

NO_LABEL = "no feature is the label"
LEAST_LATE = 0.01
"""What "none" is held to: no number of rows shows a share of zero, and so many as show this one are computed again."""


def judge_label(findings: Findings) -> CheckResult:
    """Judge whether a feature says the label in so many words; it applies without being declared.

    Args:
        findings: What was measured.
    """
    if findings.leaks is None:
        return failed(NO_LABEL, "the features were not looked at", implicit=True)
    same = [one.feature for one in findings.leaks.alone if one.is_label]
    if same:
        return failed(NO_LABEL, f"{', '.join(same)} says the label in 999 of 1,000 rows or more", implicit=True)
    return CheckResult(NO_LABEL, Outcome.PASS, f"{len(findings.leaks.alone)} inputs looked at", implicit=True)


def judge_leaks(check: Leakage, findings: Findings) -> Iterator[CheckResult]:
    """Judge each feature alone, and the features that are instants.

    Args:
        check: The bound, and what is let off.
        findings: What was measured.
    """
    leaks = findings.leaks
    if leaks is None:
        yield failed(check.name, "the features were not looked at", bound=check.bound)
        return
    allowed = {column_of(name) for name in check.allow}
    judged = [one for one in leaks.alone if one.feature not in allowed]
    few = findings.whole.too_few
    if few:
        yield CheckResult(check.name, Outcome.INCONCLUSIVE, few, None, check.bound)
    else:
        yield _alone(check, judged)
    if check.late is not None:
        yield _known_then(check.late, allowed, leaks)
    yield _later_than_events(allowed, leaks)


def _later_than_events(allowed: set[str], leaks: Leaks) -> CheckResult:
    name = "no feature is later than its event"
    late = {feature: rows for feature, rows in leaks.late.items() if feature not in allowed}
    if late:
        return failed(name, ", ".join(f"{one} is in {rows:,} rows" for one, rows in late.items()))
    if leaks.instants is None:
        return CheckResult(name, Outcome.SKIPPED, "the rows have no time to be later than")
    held = [feature for feature in leaks.instants if feature not in allowed]
    if not held:
        return CheckResult(name, Outcome.SKIPPED, "no feature is an instant")
    return CheckResult(name, Outcome.PASS, f"no instant among the features is after the row's own: {', '.join(held)}")


def _known_then(bound: float, allowed: set[str], leaks: Leaks) -> CheckResult:
    name = f"features rest on what was known then, but for {100 * bound:g}% of rows"
    if not leaks.compared:
        reason = "nothing was computed again: the rows have no time, or no feature is computed of a source's rows"
        return CheckResult(name, Outcome.INCONCLUSIVE, reason, None, bound)
    counts = {feature: rows for feature, rows in leaks.unknown.items() if feature not in allowed}
    if not counts:
        return _none_unknown(name, bound, leaks.compared)
    worst = max(counts, key=lambda feature: counts[feature])
    found = share(counts[worst], leaks.compared)
    outcome = Outcome.FAIL if found.low > bound else Outcome.PASS if found.high <= bound else Outcome.INCONCLUSIVE
    reason = (
        f"{worst} is another value in {counts[worst]:,} of {leaks.compared:,} rows, computed of what was known "
        f"at their instants: {found.value:.1%} ({found.low:.1%} to {found.high:.1%})"
    )
    return CheckResult(name, outcome, reason, found.value, bound, low=found.low, high=found.high)


def _none_unknown(name: str, bound: float, compared: int) -> CheckResult:
    found, needed = share(0, compared), rows_for(bound or LEAST_LATE)
    reason = f"none is another value in {compared:,} rows that were computed again"
    if compared >= needed:
        return CheckResult(name, Outcome.PASS, reason, 0.0, bound, low=found.low, high=found.high)
    reason += f", which may still be up to {found.high:.1%} of all; {needed:,} such rows are needed"
    low, high = found.low, found.high
    return CheckResult(name, Outcome.INCONCLUSIVE, reason, 0.0, bound, low=low, high=high, rows_needed=needed)


def _alone(check: Leakage, judged: list[Alone]) -> CheckResult:
    sure = [one for one in judged if one.low is not None and one.low > check.bound]
    perhaps = [one for one in judged if one.high is not None and one.high > check.bound]
    outcome = Outcome.FAIL if sure else Outcome.INCONCLUSIVE if perhaps else Outcome.PASS
    worst = (sure or perhaps or judged)[:3]
    said = ", ".join(f"{one.feature} {_number(one.value)}{_between(one)}" for one in worst)
    reason = f"alone reach: {said}" if judged else "no feature is judged"
    first = worst[0] if worst else Alone("", None)
    return CheckResult(check.name, outcome, reason, first.value, check.bound, low=first.low, high=first.high)


def _number(value: float | None) -> str:
    return "no figure" if value is None else f"{value:.4f}"


def _between(one: Alone) -> str:
    return "" if one.low is None or one.high is None else f" ({one.low:.4f} to {one.high:.4f})"
