"""Gates: what was measured of a candidate, judged by declared checks and by four that always apply."""

import math
from collections.abc import Iterable, Iterator, Sequence

from falaj.definitions.gate import HIGHER_IS_BETTER, GateCheck
from falaj.kernel.digest import digest_value
from falaj.models.gate_report import CheckResult, Evidence, GateReport, Outcome
from falaj.models.probe import CALLS, Probe

MINIMUM_PER_CLASS = 10
"""With fewer rows of a class the interval of every metric is wider than any bound worth declaring."""

_SLACK = 1e-12  # bounds are inclusive, and 0.900 - 0.895 is not 0.005 in floating point


def judge(
    checks: Iterable[GateCheck], candidate: Evidence, production: Evidence | None = None, *, at_us: int
) -> GateReport:
    """Judge a candidate.

    Args:
        checks: The declared checks.
        candidate: What was measured of it.
        production: The same of the version in production, scored by its own artifact on the same rows.
        at_us: The present instant, in microseconds.

    Returns:
        PASS, FAIL if any check failed or none is declared, INCONCLUSIVE if any had too little evidence.
    """
    declared = tuple(checks)
    results = [_judge_check(check, candidate, production) for check in declared]
    if not declared:
        results.append(_failed("checks declared", "the model declares no gate, so no version of it is blessed"))
    results += _implicit(candidate, production)
    return GateReport(
        candidate.model,
        _overall(results),
        tuple(results),
        candidate.dataset_digest,
        candidate.artifact.digest,
        production.artifact.digest if production else None,
        production.version if production else None,
        digest_value(declared),
        candidate.rows,
        candidate.positives,
        at_us,
    )


def _overall(results: Sequence[CheckResult]) -> Outcome:
    found = {result.outcome for result in results}
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
        if outcome in found:
            return outcome
    return Outcome.PASS


def _judge_check(check: GateCheck, candidate: Evidence, production: Evidence | None) -> CheckResult:
    if check.kind == "latency":
        return _judge_latency(check, candidate.probe)
    if check.kind != "no_worse_than_production":
        return _judge_bound(check, candidate)
    if production is None:
        return CheckResult(check.name, Outcome.SKIPPED, "nothing is in production to compare with", bound=check.bound)
    return _judge_change(check, candidate, production)


def _usable(metric: str, evidence: Evidence) -> tuple[float, str]:
    value = evidence.metrics.get(metric)
    if evidence.rows == 0:
        return math.nan, "there are no test rows"
    if value is None:
        return math.nan, f"{metric} was not measured"
    return value, "" if math.isfinite(value) else f"{metric} is not a number"


def _too_few(evidence: Evidence) -> str:
    negatives = evidence.rows - evidence.positives
    if min(evidence.positives, negatives) >= MINIMUM_PER_CLASS:
        return ""
    return (
        f"{evidence.positives} positives and {negatives} negatives are too few to judge; "
        f"{MINIMUM_PER_CLASS} of each are needed"
    )


def _judge_bound(check: GateCheck, candidate: Evidence) -> CheckResult:
    value, problem = _usable(check.metric, candidate)
    if problem:
        return _failed(check.name, problem, bound=check.bound)
    few = _too_few(candidate)
    if few:
        return CheckResult(check.name, Outcome.INCONCLUSIVE, few, value, check.bound)
    at_least = check.kind == "at_least"
    holds = value >= check.bound - _SLACK if at_least else value <= check.bound + _SLACK
    words = ("at least" if at_least else "at most") if holds else ("below" if at_least else "above")
    reason = f"{check.metric} {value:.4f} is {words} {check.bound:g}"
    return CheckResult(check.name, Outcome.PASS if holds else Outcome.FAIL, reason, value, check.bound)


def _judge_change(check: GateCheck, candidate: Evidence, production: Evidence) -> CheckResult:
    value, problem = _usable(check.metric, candidate)
    baseline, baseline_problem = _usable(check.metric, production)
    if production.dataset_digest != candidate.dataset_digest:
        baseline_problem = "it was scored on another snapshot"
    if problem or baseline_problem:
        return _failed(check.name, problem or f"of production: {baseline_problem}", bound=check.bound)
    few = _too_few(candidate)
    if few:
        return CheckResult(check.name, Outcome.INCONCLUSIVE, few, value, check.bound, baseline)
    loss = baseline - value if HIGHER_IS_BETTER[check.metric] else value - baseline
    outcome = Outcome.PASS if loss <= check.bound + _SLACK else Outcome.FAIL
    reason = f"{check.metric} {value:.4f} against production's {baseline:.4f} on the same {candidate.rows:,} rows"
    return CheckResult(check.name, outcome, reason, value, check.bound, baseline)


def _judge_latency(check: GateCheck, probe: Probe | None) -> CheckResult:
    if probe is None or probe.error or not math.isfinite(probe.p99_ms) or probe.calls == 0:
        return _failed(check.name, "latency was not measured", bound=check.bound)
    reason = f"p99 {probe.p99_ms:.3f} ms over {probe.calls:,} single rows in the serving runtime"
    if probe.calls < CALLS:
        outcome = Outcome.INCONCLUSIVE
        reason = f"{probe.calls} timed rows are too few to judge; {CALLS} are needed"
    else:
        outcome = Outcome.PASS if probe.p99_ms <= check.bound else Outcome.FAIL
    return CheckResult(check.name, outcome, reason, probe.p99_ms, check.bound)


def _implicit(candidate: Evidence, production: Evidence | None) -> Iterator[CheckResult]:
    probe, parity = candidate.probe, candidate.parity
    name = f"loads and answers in the {candidate.artifact.runtime} runtime"
    if probe is None:
        yield _failed(name, "it was not tried", implicit=True)
    else:
        yield CheckResult(
            name,
            Outcome.FAIL if probe.error else Outcome.PASS,
            probe.error or f"it answered {probe.calls:,} single rows",
            implicit=True,
        )
    name = "served scores equal the trained model's"
    if parity is None or parity.max_abs is None:
        yield _failed(name, "they were not compared, or a score is not a number", implicit=True)
    else:
        reason = f"largest difference {parity.max_abs:.2g} over {parity.rows:,} rows"
        outcome = Outcome.PASS if parity.holds else Outcome.FAIL
        yield CheckResult(name, outcome, reason, parity.max_abs, parity.tolerance, implicit=True)
    yield _whole_signature(candidate)
    yield _compatible(candidate, production)


def _whole_signature(candidate: Evidence) -> CheckResult:
    name = "signature matches the feature service"
    inputs = tuple((spec.name, spec.dtype) for spec in candidate.signature.inputs)
    if candidate.service is not None and inputs != candidate.service.model_inputs:
        return _failed(name, "the model's inputs are not the service's outputs, in order", implicit=True)
    return CheckResult(name, Outcome.PASS, f"{len(inputs)} inputs", implicit=True)


def _compatible(candidate: Evidence, production: Evidence | None) -> CheckResult:
    name = "callers of production need to send nothing new"
    if production is None:
        return CheckResult(name, Outcome.SKIPPED, "nothing is in production", implicit=True)
    new = sorted(_asked_of_callers(candidate) - _asked_of_callers(production))
    if new:
        listed = ", ".join(f"{field} ({dtype})" for field, dtype in new)
        return _failed(name, f"it asks for {listed}, which callers do not send", implicit=True)
    return CheckResult(name, Outcome.PASS, "entity keys and request fields are those of production", implicit=True)


def _asked_of_callers(evidence: Evidence) -> set[tuple[str, str]]:
    if evidence.service is None:
        return {(spec.name, spec.dtype) for spec in evidence.signature.inputs}
    return {*evidence.service.entity_keys, *((field.name, field.dtype) for field in evidence.service.request)}


def _failed(name: str, reason: str, *, bound: float | None = None, implicit: bool = False) -> CheckResult:
    return CheckResult(name, Outcome.FAIL, reason, None, bound, implicit=implicit)
