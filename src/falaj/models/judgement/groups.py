"""Fairness: whether groups are decided about alike."""

from collections.abc import Iterator

from falaj.definitions.gate import Fairness
from falaj.definitions.slices import column_of
from falaj.models.fairness import RATES, Gap, Group, Groups, is_known, widest_gap
from falaj.models.findings import Findings
from falaj.models.gate_report import CheckResult, Outcome
from falaj.models.judgement.metric import failed

_SLACK = 1e-12


def judge_fairness(check: Fairness, findings: Findings) -> Iterator[CheckResult]:
    """Judge demographic parity and equalised odds between groups, those of them that are declared.

    Args:
        check: The bounds.
        findings: What was measured.
    """
    found = next((one for one in findings.fairness if one.attribute == column_of(check.attribute)), None)
    criteria = (
        ("demographic parity", check.demographic_parity, RATES[:1]),
        ("equalised odds", check.equalised_odds, RATES[1:]),
    )
    for criterion, bound, rates in criteria:
        if bound is None:
            continue
        name = f"{criterion} by {check.attribute} within {bound:g}"
        if found is None:
            yield failed(name, f"the groups of {check.attribute} were not counted", bound=bound)
        else:
            yield _criterion(check, name, bound, rates, found)


def _criterion(check: Fairness, name: str, bound: float, rates: tuple[str, ...], found: Groups) -> CheckResult:
    known = {group.value: group for group in found.groups if is_known(group)}
    absent = [value for value in check.groups if value not in known]
    if absent:
        return failed(name, f"no test row is of group {absent[0]!r}", bound=bound)
    wanted = [known[value] for value in check.groups] or list(known.values())
    small = [group for group in wanted if _is_small(check, group)]
    judged = [group for group in wanted if group not in small]
    excluded = _excluded(check, found, small)
    if len(judged) < 2:
        reason = f"{len(judged)} of {len(wanted)} groups have enough rows to be compared{excluded}"
        return CheckResult(name, Outcome.INCONCLUSIVE, reason, None, bound)
    gaps = [widest_gap(judged, rate) for rate in rates]
    outcome = _outcome(gaps, bound, complete=not small and not found.left_out)
    worst = max(gaps, key=lambda gap: gap.value)
    reason = (
        f"{worst.rate} of {worst.most} is {worst.value:.3f} ({worst.low:.3f} to {worst.high:.3f}) above that of "
        f"{worst.least}; no difference is above {max(gap.at_most for gap in gaps):.3f}{excluded}"
    )
    return CheckResult(name, outcome, reason, worst.value, bound, low=worst.low, high=worst.high)


def _outcome(gaps: list[Gap], bound: float, *, complete: bool) -> Outcome:
    if any(gap.at_least > bound + _SLACK for gap in gaps):
        return Outcome.FAIL
    if complete and all(gap.at_most <= bound + _SLACK for gap in gaps):
        return Outcome.PASS
    return Outcome.INCONCLUSIVE


def _is_small(check: Fairness, group: Group) -> bool:
    return group.positives < check.min_positives or group.negatives < check.min_negatives


def _excluded(check: Fairness, found: Groups, small: list[Group]) -> str:
    parts = [f"{g.value} ({g.positives} positives, {g.negatives} negatives: too few)" for g in small]
    if check.groups:
        parts += [f"{g.value} (not among those to be judged)" for g in found.groups if g.value not in check.groups]
    else:
        parts += [f"{g.positives + g.negatives} rows of no known group" for g in found.groups if not is_known(g)]
    parts += [f"{found.left_out} rarer groups"] if found.left_out else []
    return f"; left out: {', '.join(parts)}" if parts else ""
