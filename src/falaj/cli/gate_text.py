"""A gate report for the terminal."""

from collections.abc import Iterator

import click

from falaj.cli.command import plain
from falaj.models.bootstrap import Interval
from falaj.models.fairness import RATES
from falaj.models.findings import Findings
from falaj.models.gate_report import GateReport
from falaj.models.proportions import Share

COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "SKIPPED": "white"}
_MOST = 10


def gate_lines(report: GateReport) -> Iterator[str]:
    """Give the lines of a gate report: the outcome, each check with its reason, and what was measured.

    Args:
        report: The report.
    """
    whole = report.findings.whole
    positive = "" if whole.positives is None else f", {whole.positives:,} positive"
    against = f", against version {report.baseline_version}" if report.baseline_version else ""
    yield f"{_styled(report.outcome)}  {report.model} on {whole.rows:,} rows{positive}{against}"
    for check in report.checks:
        yield f"  {_styled(check.outcome, 12)} {plain(check.name)}{' (always)' if check.implicit else ''}"
        yield f"               {plain(check.reason)}"
    yield from _measured(report.findings)
    yield f"report {report.digest}"


def _styled(outcome: str, width: int = 0) -> str:
    return click.style(f"{outcome:<{width}}", fg=COLOURS.get(outcome), bold=not width)


def _measured(found: Findings) -> Iterator[str]:
    whole = found.whole
    yield _row(("metric", 20), ("value", -9), ("95 % interval", 18), ("production", -10), ("change", 0))
    for name, value in whole.metrics.items():
        change = whole.changes.get(name)
        moved = "" if change is None else f"{change.low:+.4f} to {change.high:+.4f}"
        before = _number(whole.baseline.get(name)) if whole.baseline else ""
        interval = _between(whole.intervals.get(name))
        yield _row((name, 20), (_number(value), -9), (interval, 18), (before, -10), (moved, 0))
    for sliced in found.slices:
        positives = [] if whole.positives is None else [("positives", -9)]
        yield _row((sliced.column, 20), ("rows", -9), *positives, (whole.lead, -9), ("95 % interval", 0))
        for part in sliced.parts:
            interval = _between(part.intervals.get(whole.lead)) or "too few to judge"
            counts = [(f"{part.rows:,}", -9)]
            counts += [] if part.positives is None else [(f"{part.positives:,}", -9)]
            led = _number(part.metrics.get(whole.lead)), -9
            yield _row((f"  {plain(part.value)}", 20), *counts, led, (interval, 0))
        if sliced.left_out:
            yield f"  and {sliced.left_out} rarer values"
    for groups in found.fairness:
        yield _row((groups.attribute, 20), ("positives", -9), ("negatives", -9), *((rate, 22) for rate in RATES))
        for group in groups.groups:
            of_class = (f"{group.positives:,}", -9), (f"{group.negatives:,}", -9)
            rates = [(_share(group.rate(rate)), 22) for rate in RATES]
            yield _row((f"  {plain(group.value)}", 20), *of_class, *rates)
    yield from _rests_on(found)


def _row(*cells: tuple[str, int]) -> str:
    """Return cells side by side, each as wide as said; to the right where the width is below zero."""
    return "  ".join(f"{text:>{-width}}" if width < 0 else f"{text:<{width}}" for text, width in cells).rstrip()


def _rests_on(found: Findings) -> Iterator[str]:
    if found.leaks is not None and found.leaks.alone:
        best = [f"{one.feature} {_number(one.value)}" for one in found.leaks.alone[:3]]
        yield f"{'r2' if found.whole.positives is None else 'auc'} of one feature alone: {', '.join(best)}"
    explanation = found.explanation
    if explanation is None:
        return
    if explanation.attributions:
        what = "predictions" if found.whole.positives is None else "scores"
        yield f"{what} rest on, by {explanation.by}:"
    for one in explanation.attributions[:_MOST]:
        arrow = "" if one.direction is None or abs(one.direction) < 0.3 else "up" if one.direction > 0 else "down"
        yield f"  {one.feature:<40} {one.amount:>8.4f}  {arrow}".rstrip()
    if explanation.examples:
        yield f"{len(explanation.examples)} rows are explained one by one with --json, and on the page of --html FILE"
    if explanation.note:
        yield plain(explanation.note)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _share(share: Share | None) -> str:
    return "" if share is None else f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f})"


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}"
