"""Gates: what was measured of a candidate, judged by declared checks and by five that always apply."""

import math
from collections.abc import Iterable, Iterator, Sequence

from falaj.definitions.gate import Bound, Change, Fairness, GateCheck, Latency, Leakage
from falaj.kernel.digest import digest_value
from falaj.models.gate_report import CheckResult, Evidence, GateReport, Outcome
from falaj.models.judgement.groups import judge_fairness
from falaj.models.judgement.leaks import judge_label, judge_leaks
from falaj.models.judgement.metric import failed, judge_bound, judge_change
from falaj.models.judgement.perturbed import judge_robustness
from falaj.models.probe import CALLS, Probe


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
    results = [result for check in declared for result in _judged(check, candidate, production)]
    if not declared:
        results.append(failed("checks declared", "the model declares no gate, so no version of it is blessed"))
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
        candidate.findings,
        at_us,
    )


def _overall(results: Sequence[CheckResult]) -> Outcome:
    found = {result.outcome for result in results}
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
        if outcome in found:
            return outcome
    return Outcome.PASS


def _judged(check: GateCheck, candidate: Evidence, production: Evidence | None) -> Iterator[CheckResult]:
    if isinstance(check, Latency):
        yield _judge_latency(check, candidate.probe)
    elif isinstance(check, Bound):
        yield from judge_bound(check, candidate.findings)
    elif isinstance(check, Leakage):
        yield from judge_leaks(check, candidate.findings)
    elif isinstance(check, Fairness):
        yield from judge_fairness(check, candidate.findings)
    elif production is None and (isinstance(check, Change) or check.against == "production"):
        reason = "nothing is in production to compare with"
        yield CheckResult(check.name, Outcome.SKIPPED, reason, bound=check.by)
    elif isinstance(check, Change):
        same = production is not None and production.dataset_digest == candidate.dataset_digest
        yield from judge_change(check, candidate.findings, "" if same else "it was scored on another snapshot")
    else:
        yield from judge_robustness(check, candidate.findings)


def _judge_latency(check: Latency, probe: Probe | None) -> CheckResult:
    if probe is None or probe.error or not math.isfinite(probe.p99_ms) or probe.calls == 0:
        return failed(check.name, "latency was not measured", bound=check.p99_ms)
    reason = f"p99 {probe.p99_ms:.3f} ms over {probe.calls:,} single rows in the serving runtime"
    if probe.calls < CALLS:
        outcome = Outcome.INCONCLUSIVE
        reason = f"{probe.calls} timed rows are too few to judge; {CALLS} are needed"
    else:
        outcome = Outcome.PASS if probe.p99_ms <= check.p99_ms else Outcome.FAIL
    return CheckResult(check.name, outcome, reason, probe.p99_ms, check.p99_ms)


def _implicit(candidate: Evidence, production: Evidence | None) -> Iterator[CheckResult]:
    probe, parity = candidate.probe, candidate.parity
    name = f"loads and answers in the {candidate.artifact.runtime} runtime"
    if probe is None:
        yield failed(name, "it was not tried", implicit=True)
    else:
        yield CheckResult(
            name,
            Outcome.FAIL if probe.error else Outcome.PASS,
            probe.error or f"it answered {probe.calls:,} single rows",
            implicit=True,
        )
    told = "predictions" if candidate.findings.whole.positives is None else "scores"
    name = f"served {told} equal the trained model's"
    if parity is None or parity.max_abs is None:
        yield failed(name, "they were not compared, or a score is not a number", implicit=True)
    else:
        reason = f"largest difference {parity.max_abs:.2g} over {parity.rows:,} rows"
        outcome = Outcome.PASS if parity.holds else Outcome.FAIL
        yield CheckResult(name, outcome, reason, parity.max_abs, parity.tolerance, implicit=True)
    yield judge_label(candidate.findings)
    yield _whole_signature(candidate)
    yield _compatible(candidate, production)
    if production is not None and _answers_alike(candidate, production):
        # Nothing is wrong with it, and nothing is gained: whoever is asked for an approval wants to know.
        reason = f"its file and features are those of version {production.version}: only a threshold can differ"
        yield CheckResult("answers otherwise than production", Outcome.SKIPPED, reason, implicit=True)


def _answers_alike(candidate: Evidence, production: Evidence) -> bool:
    features = [None if one.service is None else one.service.digest for one in (candidate, production)]
    return candidate.artifact.digest == production.artifact.digest and features[0] == features[1]


def _whole_signature(candidate: Evidence) -> CheckResult:
    name = "signature matches the feature service"
    inputs = tuple((spec.name, spec.dtype) for spec in candidate.signature.inputs)
    if candidate.service is not None and inputs != candidate.service.model_inputs:
        return failed(name, "the model's inputs are not the service's outputs, in order", implicit=True)
    return CheckResult(name, Outcome.PASS, f"{len(inputs)} inputs", implicit=True)


def _compatible(candidate: Evidence, production: Evidence | None) -> CheckResult:
    name = "callers of production need to send nothing new"
    if production is None:
        return CheckResult(name, Outcome.SKIPPED, "nothing is in production", implicit=True)
    new = sorted(_asked_of_callers(candidate) - _asked_of_callers(production))
    if new:
        listed = ", ".join(f"{field} ({dtype})" for field, dtype in new)
        return failed(name, f"it asks for {listed}, which callers do not send", implicit=True)
    return CheckResult(name, Outcome.PASS, "entity keys and request fields are those of production", implicit=True)


def _asked_of_callers(evidence: Evidence) -> set[tuple[str, str]]:
    if evidence.service is None:
        return {(spec.name, spec.dtype) for spec in evidence.signature.inputs}
    return {*evidence.service.entity_keys, *((field.name, field.dtype) for field in evidence.service.request)}
