"""Limitations: what a card's reader must know, derived from the facts of the version."""

from collections.abc import Iterator

from falaj.kernel.duration import format_duration
from falaj.models.card_facts import CardFacts
from falaj.models.encoding import MAX_CATEGORIES
from falaj.models.gate_report import Outcome

_FEW_POSITIVES = 100
_FEW_ROWS = 500
_RARE = 0.1
_WIDE = 0.05
_ONE_FEATURE = 0.5
_OFF = 0.05
_POOR = 0.2


def limitations(facts: CardFacts) -> list[str]:
    """Return sentences, the gravest first.

    Args:
        facts: What the card tells.
    """
    return [
        *_of_origin(facts),
        *_of_evidence(facts),
        *_of_time(facts),
        *_of_scores(facts),
        *_of_inputs(facts),
        *_not_measured(facts),
    ]


def _of_origin(facts: CardFacts) -> Iterator[str]:
    if facts.version.adopted:
        yield (
            "It was trained elsewhere, on rows that are not known here: if test rows are among them, every metric and "
            "every change against production is too good."
        )


def _of_evidence(facts: CardFacts) -> Iterator[str]:
    positives, rows = facts.split.test_positives, facts.split.test_rows
    if positives is None and rows < _FEW_ROWS:
        yield f"Only {rows:,} rows test; every metric rests on them."
    if positives is not None and positives < _FEW_POSITIVES:
        yield f"Only {positives} of {rows:,} test rows are positive; every metric rests on them."
    for name, interval in facts.evaluation.intervals.items():
        wide = _WIDE if positives is not None or name in ("r2", "wape") else _WIDE * abs(facts.evaluation.metrics[name])
        if interval.high - interval.low > wide:
            yield (
                f"{name} is known to within {interval.low:.3f} to {interval.high:.3f} (95 %), a width of "
                f"{interval.high - interval.low:.3f}."
            )
    if facts.report is not None:
        for check in facts.report.checks:
            if check.outcome in (Outcome.SKIPPED, Outcome.INCONCLUSIVE) and not check.implicit:
                yield f"The check '{check.name}' was {check.outcome.lower()}: {check.reason}."


def _of_time(facts: CardFacts) -> Iterator[str]:
    if facts.split.test_start_us is None:
        yield (
            "Test rows were drawn at random, not from a later time: the metrics do not show how the model does when "
            "behaviour changes."
        )
    elif facts.data.delay_us:
        delay = format_duration(facts.data.delay_us)
        yield (
            f"A label is known {delay} after its event, so the model has learned nothing from the {delay} before the "
            f"test began ({facts.split.dropped_rows:,} rows were left out)."
        )


def _of_scores(facts: CardFacts) -> Iterator[str]:
    curves = facts.evaluation.curves
    if curves is None or facts.data.positives is None:
        yield from _of_numbers(facts)
        return
    share = facts.data.positives / max(1, facts.data.rows)
    if share < _RARE:
        yield f"{share:.2%} of rows are positive: accuracy says little, precision and recall say more."
    gap, score, observed = max(
        (abs(score - observed), score, observed)
        for score, observed in zip(curves.mean_score, curves.observed_share, strict=True)
    )
    if gap > _OFF:
        yield f"Scores are not calibrated: rows that score {score:.2f} on average are positive in {observed:.0%}."
    if "cost" in facts.evaluation.metrics:
        yield f"The threshold {facts.evaluation.threshold:.4g} costs least on training rows, at the costs declared."
    else:
        yield (
            f"The threshold {facts.evaluation.threshold:.4g} has the best F1 on training rows; it weighs a missed "
            "positive like a false alarm, which costs rarely do."
        )


def _of_numbers(facts: CardFacts) -> Iterator[str]:
    r2 = facts.evaluation.metrics.get("r2", 1.0)
    if r2 < _POOR:
        yield f"It explains {r2:.0%} of the label's variance: the mean label would be nearly as good."
    yield "It gives one number for a row, and not how sure it is of it."
    if facts.version.artifact.runtime in ("lightgbm", "xgboost") or "trees" in facts.version.artifacts:
        yield "Trees predict nothing beyond the labels that they have seen: a trend that goes on is not followed."


def _of_inputs(facts: CardFacts) -> Iterator[str]:
    for name, share in facts.importance.items():
        if share > _ONE_FEATURE:
            yield f"{name} carries {share:.0%} of what the model learned; where it is wrong, so is the score."
    texts = [spec for spec in facts.version.signature.inputs if spec.dtype == "string"]
    for spec in texts:
        kept = len(spec.categories)
        known = f"{kept:,} most frequent in" if kept == MAX_CATEGORIES else f"{kept} seen in"
        yield f"{spec.name}: values other than the {known} training count as missing."


def _not_measured(facts: CardFacts) -> Iterator[str]:
    yield "Intervals take rows as independent; where one customer has many rows, the truth is wider."
    findings = None if facts.report is None else facts.report.findings
    if facts.version.task == "classification" and (findings is None or not findings.fairness):
        yield "Fairness between groups was not measured."
    if findings is None or not any(found.worst for found in findings.robustness):
        yield "Robustness to perturbed inputs was not measured."
