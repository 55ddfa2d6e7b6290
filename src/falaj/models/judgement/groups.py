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
    whole = not small and (bool(check.groups) or not found.left_out)
    outcome = _outcome(gaps, bound, complete=whole and not _too_many_unknown(check, found))
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


def _too_many_unknown(check: Fairness, found: Groups) -> bool:
    """Return whether so many rows are of no known group that they could hide what known ones do not show."""
    return found.unknown > check.max_unknown * found.rows


def _excluded(check: Fairness, found: Groups, small: list[Group]) -> str:
    parts = [f"{g.value} ({g.positives} positives, {g.negatives} negatives: too few)" for g in small]
    if check.groups:
        others = [g for g in found.groups if is_known(g) and g.value not in check.groups]
        parts += [f"{g.value} ({g.rows:,} rows, not among those to be judged)" for g in others]
    if found.left_out:
        parts.append(f"{found.left_out} rarer groups with {found.left_out_rows:,} rows")
    if found.unknown:
        share = found.unknown / found.rows
        more = f", more than {check.max_unknown:.1%}" if _too_many_unknown(check, found) else ""
        parts.append(f"{found.unknown:,} rows of no known group ({share:.1%}{more})")
    return f"; left out: {', '.join(parts)}" if parts else ""
