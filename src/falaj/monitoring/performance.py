"""How good were the decisions? Scores joined with the outcomes that came later, and how far to believe them."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.task import Task
from falaj.definitions.verdict import Outcome, Verdict
from falaj.kernel.codec import to_builtins
from falaj.kernel.errors import InputError
from falaj.monitoring.metrics import (
    Estimate,
    auc,
    average_precision_interval,
    brier,
    log_loss,
    precision_recall,
)
from falaj.monitoring.number_metrics import number_metrics

_BOOTSTRAP_ROWS = 20_000_000  # about a second; more resamples would not move an interval of so many rows
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "rmse", "mae", "wape"})


class Joined(msgspec.Struct, frozen=True, eq=False):
    """Decisions with the outcome known for each.

    Attributes:
        scores: Float64, (decisions,).
        outcomes: Float64, (decisions,); NaN where none arrived.
        decided_us: T of each decision in microseconds, int64, (decisions,).
        orphans: Feedback that names no decision here.
        repeated: Feedback replaced by a later one for the same decision.
    """

    scores: NDArray[np.float64]
    outcomes: NDArray[np.float64]
    decided_us: NDArray[np.int64]
    orphans: int
    repeated: int


class Quality(msgspec.Struct, frozen=True):
    """Realised quality over the decisions old enough to have an outcome.

    Attributes:
        outcome: PASS where the metrics may be believed, INCONCLUSIVE where evidence is too little.
        reason: Why, as one sentence.
        decisions: All decisions.
        mature: Decisions older than the label delay.
        labelled: Mature decisions whose outcome came; the metrics are over these.
        positives: Labelled decisions whose outcome is 1; None of a regression.
        early: Outcomes of decisions that are not mature, left out of the metrics.
        unknown: Outcomes of request ids that no decision has; they count for nothing.
        label_maturity: `labelled / mature`; 0 without mature decisions.
        metrics: By name; those that are not defined on these rows are absent.
        segments: "column=value" to the quality of that segment's decisions, believed or not by itself.
    """

    outcome: Outcome
    reason: str
    decisions: int
    mature: int
    labelled: int
    positives: int | None
    early: int
    unknown: int
    label_maturity: float
    metrics: dict[str, Estimate]
    segments: "dict[str, Quality]" = {}

    def to_verdict(self, subject: str, at_us: int, version: str = "") -> Verdict:
        """Return the shared value."""
        return Verdict("performance", subject, self.outcome, self.reason, to_builtins(self), at_us, version)


class QualityPolicy(msgspec.Struct, frozen=True):
    """What is needed before realised metrics are believed.

    Attributes:
        min_outcomes: Least labelled decisions.
        min_per_class: Least positives, and least negatives.
        min_maturity: Least share of mature decisions whose outcome came; below it those that came may be a selection.
        threshold: Score from which a decision counts as positive, for precision and recall.
        confidence: Of every interval.
        resamples: Most draws of the interval of average precision, which costs most; 0 to leave that metric out.
        task: What was predicted; of a regression threshold, classes and draws count for nothing.
    """

    min_outcomes: int = 100
    min_per_class: int = 20
    min_maturity: float = 0.5
    threshold: float = 0.5
    confidence: float = 0.95
    resamples: int = 400
    task: Task = "classification"


def join_feedback(
    decisions: tuple[Sequence[str], NDArray[np.float64], NDArray[np.int64]],
    feedback: tuple[Sequence[str], NDArray[np.float64], NDArray[np.int64]],
) -> Joined:
    """Join outcomes to decisions by request id; the latest outcome wins, and of equally late ones the last.

    Args:
        decisions: Request ids, scores, and T in microseconds. An id that repeats is one decision, its first record.
        feedback: Request ids, outcomes 0 or 1, and when each became known in microseconds; in any order.

    Raises:
        InputError: An outcome is not 0 or 1.

    Example:
        >>> ids, times = ["a", "b"], np.array([0, 0])
        >>> later = (["b", "b", "x"], np.array([0.0, 1.0, 1.0]), np.array([5, 9, 9]))
        >>> joined = join_feedback((ids, np.array([0.1, 0.9]), times), later)
        >>> joined.outcomes.tolist(), joined.orphans, joined.repeated
        ([nan, 1.0], 1, 1)
    """
    position: dict[str, int] = {}
    for row, request_id in enumerate(decisions[0]):
        position.setdefault(request_id, row)
    kept = np.fromiter(position.values(), dtype=np.int64, count=len(position))
    if not np.isin(feedback[1], (0.0, 1.0)).all():
        raise InputError("an outcome is not 0 or 1", hint="send the outcome as 0 or 1")
    outcomes = np.full(len(decisions[0]), np.nan)
    orphans = repeated = 0
    for index in np.argsort(feedback[2], kind="stable").tolist():
        row_or_none = position.get(feedback[0][index])
        if row_or_none is None:
            orphans += 1
            continue
        repeated += not np.isnan(outcomes[row_or_none])
        outcomes[row_or_none] = feedback[1][index]
    return Joined(
        np.asarray(decisions[1], dtype=np.float64)[kept],
        outcomes[kept],
        np.asarray(decisions[2], dtype=np.int64)[kept],
        orphans,
        int(repeated),
    )


def measure(joined: Joined, *, now_us: int, label_delay_us: int, policy: QualityPolicy | None = None) -> Quality:
    """Measure realised quality over the mature decisions.

    Outcomes of younger decisions are left out even where they are known: bad outcomes tend to be reported sooner
    than good ones are confirmed, and counting them as they come would make the share of positives too high.

    Args:
        joined: Decisions with outcomes.
        now_us: The present on the time line of the decisions' T, in microseconds.
        label_delay_us: How long an outcome takes, in microseconds.
        policy: What is needed to believe the metrics.
    """
    policy = policy or QualityPolicy()
    known, mature = ~np.isnan(joined.outcomes), joined.decided_us <= now_us - label_delay_us
    usable = known & mature & np.isfinite(joined.scores)
    if policy.task == "classification":
        usable &= (joined.outcomes == 0) | (joined.outcomes == 1)
    outcomes, scores = joined.outcomes[usable], joined.scores[usable]
    matured, labelled = int(mature.sum()), int(usable.sum())
    positives = None if policy.task == "regression" else int((outcomes > 0.5).sum())
    maturity = labelled / matured if matured else 0.0
    lacking = _lacking(labelled, positives, maturity, policy)
    return Quality(
        outcome="INCONCLUSIVE" if lacking else "PASS",
        reason=lacking
        or f"measured on {labelled} outcomes" + ("" if positives is None else f", {positives} of them positive"),
        decisions=joined.scores.size,
        mature=matured,
        labelled=labelled,
        positives=positives,
        early=int((known & ~mature).sum()),
        unknown=joined.orphans,
        label_maturity=maturity,
        metrics=number_metrics(outcomes, scores, confidence=policy.confidence)
        if policy.task == "regression"
        else _metrics(outcomes > 0.5, scores, policy),
    )


def measure_segments(
    joined: Joined,
    segments: Mapping[str, Sequence[str | None]],
    *,
    now_us: int,
    label_delay_us: int,
    policy: QualityPolicy,
    most: int = 20,
) -> dict[str, Quality]:
    """Measure realised quality within the commonest values of columns.

    Each figure has its own interval; among many segments some are low by chance, which the intervals do not allow for.

    Args:
        joined: Decisions with outcomes.
        segments: Column to each decision's value, None where it is not known.
        now_us: As for `measure`.
        label_delay_us: As for `measure`.
        policy: What is needed to believe the metrics, of each segment by itself.
        most: Most segments of one column.

    Returns:
        "column=value" to its quality.
    """
    found = {}
    for column, values in segments.items():
        names = np.asarray(values, dtype=object)
        common = Counter(name for name in values if name is not None).most_common(most)
        for value, _ in common:
            rows = names == value
            part = Joined(joined.scores[rows], joined.outcomes[rows], joined.decided_us[rows], 0, 0)
            found[f"{column}={value}"] = measure(
                part,
                now_us=now_us,
                label_delay_us=label_delay_us,
                policy=msgspec.structs.replace(policy, resamples=0),
            )
    return found


def judge_floor(quality: Quality, floors: Mapping[str, float], *, subject: str, at_us: int) -> Verdict:
    """Say whether realised metrics fell below their bounds.

    FAIL only when the whole interval of some metric is on the wrong side; PASS when every interval is on the right
    side; INCONCLUSIVE in between, and when the evidence is too little.

    Args:
        quality: As measured.
        floors: Metric to the least value allowed; of those that are better low, such as rmse, the greatest.
        subject: The endpoint or model.
        at_us: When, in microseconds.
    """
    sides = {name: _side(name, quality.metrics.get(name), bound) for name, bound in floors.items()}
    evidence = {**to_builtins(quality), "floors": dict(floors), "sides": sides}
    failed = sorted(name for name, side in sides.items() if side == "FAIL")
    unclear = sorted(name for name, side in sides.items() if side == "INCONCLUSIVE")
    outcome: Outcome = "PASS"
    reason = "every realised metric holds its bound"
    if quality.outcome == "INCONCLUSIVE":
        outcome, reason = "INCONCLUSIVE", quality.reason
    elif failed:
        outcome, reason = "FAIL", f"realised {', '.join(failed)} is worse than its bound"
    elif unclear or not floors:
        outcome, reason = "INCONCLUSIVE", f"not proven either way: {', '.join(unclear) or 'no bounds were given'}"
    return Verdict("performance", subject, outcome, reason, evidence, at_us)


def _side(name: str, estimate: Estimate | None, bound: float) -> Outcome:
    if estimate is None:
        return "INCONCLUSIVE"
    lower, upper = estimate.lower - bound, estimate.upper - bound
    if name in LOWER_IS_BETTER:
        lower, upper = -upper, -lower
    if upper < 0:
        return "FAIL"
    return "PASS" if lower >= 0 else "INCONCLUSIVE"


def _lacking(labelled: int, positives: int | None, maturity: float, policy: QualityPolicy) -> str:
    if labelled < policy.min_outcomes:
        return f"{labelled} mature outcomes; {policy.min_outcomes} are needed"
    fewest = policy.min_per_class if positives is None else min(positives, labelled - positives)
    if fewest < policy.min_per_class:
        kind = "positive" if positives == fewest else "negative"
        return f"{fewest} {kind} outcomes; {policy.min_per_class} are needed"
    if maturity < policy.min_maturity:
        return f"outcomes came for {maturity:.0%} of mature decisions; {policy.min_maturity:.0%} are needed"
    return ""


def _metrics(labels: NDArray[np.bool_], scores: NDArray[np.float64], policy: QualityPolicy) -> dict[str, Estimate]:
    confidence = policy.confidence
    if not labels.size:
        return {}
    precision, recall = precision_recall(labels, scores, threshold=policy.threshold, confidence=confidence)
    metrics = {"precision": precision, "recall": recall}
    if labels.any() and not labels.all():
        metrics["auc"] = auc(labels, scores, confidence=confidence)
    if labels.any() and policy.resamples:
        resamples = max(100, min(policy.resamples, _BOOTSTRAP_ROWS // labels.size))
        metrics["average_precision"] = average_precision_interval(
            labels, scores, confidence=confidence, resamples=resamples
        )
    if bool(np.all((scores >= 0.0) & (scores <= 1.0))):  # a score that is no probability has neither
        metrics["log_loss"] = log_loss(labels, scores, confidence=confidence)
        metrics["brier"] = brier(labels, scores, confidence=confidence)
    return {name: estimate for name, estimate in metrics.items() if estimate is not None}
