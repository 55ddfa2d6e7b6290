"""Robustness: whether perturbed inputs cost a metric more than is allowed."""

from collections.abc import Iterator

from falaj.definitions.gate import HIGHER_IS_BETTER, Robustness
from falaj.models.findings import Findings
from falaj.models.gate_report import CheckResult, Outcome
from falaj.models.judgement.evidence_needed import rows_needed, said
from falaj.models.judgement.metric import failed, within
from falaj.models.parts import Part
from falaj.models.robustness import Perturbed


def judge_robustness(check: Robustness, findings: Findings) -> Iterator[CheckResult]:
    """Judge the worst perturbation of each kind.

    Args:
        check: The bound.
        findings: What was measured.
    """
    found = next((one for one in findings.robustness if one.check == check.name), None)
    worst = {} if found is None else {one.kind: one for one in found.worst}
    other = "production" if check.against == "production" else "unperturbed"
    for kind in check.under:
        name = f"{check.metric} under {kind} no worse than {other} by {check.by:g}"
        if kind in worst:
            yield _judged(check, name, worst[kind], other)
        else:
            yield failed(name, f"{kind} was not tried", bound=check.by)


def _judged(check: Robustness, name: str, found: Perturbed, other: str) -> CheckResult:
    few = Part(found.rows, found.positives).too_few
    if few:
        return CheckResult(name, Outcome.INCONCLUSIVE, few, None, check.by)
    if found.value is None or found.baseline is None or found.change is None:
        return failed(name, f"with {found.label} {check.metric} is not a number", bound=check.by)
    sign = 1 if HIGHER_IS_BETTER[check.metric] else -1
    of = f", the worst of {found.tried}" if found.tried > 1 else ""
    against = "production's under the same" if other == "production" else "its own without it"
    outcome, change = within(sign, found.change, check.by), found.value - found.baseline
    margin = sign * change + check.by
    end = found.change.low if (margin > 0) == (sign == 1) else found.change.high
    needed = rows_needed(found.rows, abs(change - end), margin, outcome)
    reason = (
        f"with {found.label}{of}, {check.metric} is {found.value:.4f} against {against}, {found.baseline:.4f}: "
        f"{change:+.4f} ({found.change.low:+.4f} to {found.change.high:+.4f}){said(needed, 'the change stays')}"
    )
    low, high = found.change.low, found.change.high
    return CheckResult(
        name, outcome, reason, found.value, check.by, found.baseline, low=low, high=high, rows_needed=needed
    )
