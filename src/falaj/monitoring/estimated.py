"""Estimated quality: what the scores alone let one expect, before any outcome is known.

Confidence-based performance estimation (CBPE): each decision is a positive with its calibrated probability, and the
expected entries of the confusion matrix give the metrics. It holds while a score means what it meant on the version's
test rows: it follows traffic that became harder or easier, and is blind to a world in which the same features come to
mean something else. So it is called estimated wherever it stands, opens no alert, and no gate looks at it.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.verdict import Outcome, Verdict
from falaj.kernel.codec import to_builtins
from falaj.monitoring.calibration import Calibration, isotonic
from falaj.monitoring.histogram import Counts
from falaj.monitoring.metrics import Estimate

KIND = "estimated_performance"
METHOD = "CBPE"
_DRAWS = 200
_MOST_OUTSIDE = 0.02
_LEAST_PER_CLASS = 20

Floats = NDArray[np.float64]


class Estimated(msgspec.Struct, frozen=True):
    """What is expected of one window of decisions.

    Attributes:
        outcome: PASS where the figures may be read, INCONCLUSIVE where they may not; never FAIL.
        reason: Why, as one sentence that says "estimated".
        rows: The window's scored decisions.
        outside: Share of them whose score is beyond those of the test rows.
        metrics: By name, each with the interval that holds the realised figure of this window in 95 of 100 cases.
        method: How they were estimated.
    """

    outcome: Outcome
    reason: str
    rows: int
    outside: float
    metrics: dict[str, Estimate]
    method: str = METHOD

    def to_verdict(self, subject: str, at_us: int, version: str = "") -> Verdict:
        """Return the shared value."""
        return Verdict(KIND, subject, self.outcome, self.reason, to_builtins(self), at_us, version)


def estimate(
    calibration: Calibration, window: Counts, *, min_rows: int = 100, confidence: float = 0.95, seed: int = 0
) -> Estimated:
    """Estimate precision, recall, AUC and the share of positives of a window.

    The interval draws the calibration's rows again and the window's outcomes with them.

    Args:
        calibration: Of the score.
        window: Counts in the score's cells, as its reference gives them.
        min_rows: Fewer are inconclusive.
        confidence: Of the intervals.
        seed: Of the draws, so that the interval can be computed again.

    Example:
        >>> calibration = Calibration((500, 500), (50, 450), (0.1, 0.9), 0.5)
        >>> found = estimate(calibration, np.array([0, 90, 10, 0, 0, 0]))
        >>> round(found.metrics["precision"].value, 2), round(found.metrics["recall"].value, 2)
        (0.9, 0.5)
    """
    scored = window[:-2].astype(np.float64)
    rows = int(scored.sum())
    outside = float(scored[0] + scored[-1]) / rows if rows else 0.0
    decided = scored[1:-1].copy()
    if decided.size:  # a score beyond the bins is as sure as the outermost one
        decided[0] += scored[0]
        decided[-1] += scored[-1]
    lacking = _lacking(calibration, rows, outside, min_rows)
    metrics = {} if not rows or not sum(calibration.rows) else _metrics(calibration, decided, confidence, seed)
    return Estimated(
        outcome="INCONCLUSIVE" if lacking else "PASS",
        reason=lacking or f"estimated by {METHOD} from {rows} scores, without outcomes",
        rows=rows,
        outside=outside,
        metrics=metrics,
    )


def _lacking(calibration: Calibration, rows: int, outside: float, min_rows: int) -> str:
    positives = sum(calibration.positives)
    fewest = min(positives, sum(calibration.rows) - positives)
    if rows < min_rows:
        return f"not estimated: {rows} scores; {min_rows} are needed"
    if fewest < _LEAST_PER_CLASS:
        return f"not estimated: the test rows have {fewest} of one class; {_LEAST_PER_CLASS} are needed"
    if outside > _MOST_OUTSIDE:
        return f"not estimated: {outside:.0%} of the scores are beyond those of the test rows"
    return ""


def _metrics(calibration: Calibration, decided: Floats, confidence: float, seed: int) -> dict[str, Estimate]:
    rng = np.random.default_rng(seed)
    rows, positives = (np.asarray(one, dtype=np.float64) for one in (calibration.rows, calibration.positives))
    chosen = calibration.chosen
    expected = _figures(decided * isotonic(positives, rows), decided, chosen)
    table = np.concatenate([positives, rows - positives])
    again = rng.multinomial(int(table.sum()), table / table.sum(), _DRAWS).astype(np.float64)
    draws: dict[str, list[float]] = {name: [] for name in expected}
    whole = decided.astype(np.int64)
    for one in again:
        hits, misses = np.split(one, 2)
        outcomes = rng.binomial(whole, isotonic(hits, hits + misses)).astype(np.float64)
        for name, value in _figures(outcomes, decided, chosen).items():
            if name in draws:
                draws[name].append(value)
    tails = [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0]
    found = {}
    for name, value in expected.items():
        if draws[name]:
            lower, upper = np.quantile(draws[name], tails).tolist()
            found[name] = Estimate(value, min(lower, value), max(upper, value))
    return found


def _figures(positives: Floats, rows: Floats, chosen: NDArray[np.bool_]) -> dict[str, float]:
    """Return the metrics of counts per bin; those that are not defined are absent."""
    negatives = rows - positives
    p, n = float(positives.sum()), float(negatives.sum())
    hits, taken = float(positives[chosen].sum()), float(rows[chosen].sum())
    found = {"positive_share": p / (p + n)}
    if taken:
        found["precision"] = hits / taken
    if p:
        found["recall"] = hits / p
    if p and n:
        below = np.cumsum(negatives) - negatives / 2.0  # a tie within a bin counts half
        found["auc"] = float(positives @ below) / (p * n)
    return found
