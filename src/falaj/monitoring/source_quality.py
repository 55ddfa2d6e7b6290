"""Source quality: are the newest rows of a source as good as is asked, and did any come at all?"""

from collections.abc import Mapping

import msgspec

from falaj.definitions.verdict import Outcome, Verdict
from falaj.kernel.codec import to_builtins
from falaj.kernel.duration import format_duration
from falaj.monitoring.metrics import Estimate, proportion

QUALITY = "data_quality"
FRESHNESS = "freshness"
ALPHA = 0.01
MIN_ROWS = 100


class Share(msgspec.Struct, frozen=True):
    """How many of the new rows have a fault.

    Attributes:
        fault: What it is, as the check says it.
        rows: Rows with it.
        most: The share that is allowed.
    """

    fault: str
    rows: int
    most: float


def judge_rows(source: str, shares: list[Share], rows: int, *, at_us: int, evidence: Mapping[str, int]) -> Verdict:
    """Judge the shares of faults among so many new rows.

    FAIL when the exact lower bound of some share is above what is allowed; the bounds hold together, for all faults
    of one judgement, with probability 1 - `ALPHA`. PASS when no share is above it. INCONCLUSIVE in between.

    Args:
        source: The source.
        shares: What was found.
        rows: How many rows were looked at.
        at_us: When, in microseconds.
        evidence: What else to keep.

    Example:
        >>> judge_rows("tx", [Share("amount is null", 30, 0.01)], 1000, at_us=0, evidence={}).reason
        '3.0 % of 1000 new rows: amount is null; 1 % is allowed'
    """
    estimates = [_bounds(share, rows, len(shares)) for share in shares]
    told = {
        share.fault: {**to_builtins(estimate), "rows": share.rows, "most": share.most}
        for share, estimate in zip(shares, estimates, strict=True)
    }
    pairs = list(zip(shares, estimates, strict=True))
    broken = [(share, one) for share, one in pairs if one.lower > share.most]
    above = [(share, one) for share, one in pairs if one.value > share.most]
    outcome: Outcome = "PASS"
    reason = f"{rows} new rows are as good as is asked"
    if rows < MIN_ROWS:
        outcome, reason = "INCONCLUSIVE", f"{rows} new rows; {MIN_ROWS} are needed"
    elif broken or above:
        share, one = max(broken or above, key=lambda pair: pair[1].value - pair[0].most)
        outcome = "FAIL" if broken else "INCONCLUSIVE"
        reason = f"{100 * one.value:.1f} % of {rows} new rows: {share.fault}; {100 * share.most:.3g} % is allowed"
    return Verdict(QUALITY, source, outcome, reason, {**evidence, "rows": rows, "faults": told}, at_us)


def judge_freshness(source: str, last_us: int, now_us: int, stale_after_us: int) -> Verdict:
    """Judge how long ago the last row of a source arrived.

    By when it arrived and not by its own time: a source whose history is loaded today is fresh.

    Args:
        source: The source.
        last_us: When the last row arrived, in microseconds.
        now_us: The present.
        stale_after_us: How long is allowed.

    Example:
        >>> judge_freshness("tx", 0, 3_600_000_001, 3_600_000_000).reason
        'no row arrived for more than 1h'
    """
    allowed = format_duration(stale_after_us)
    stale = now_us - last_us > stale_after_us
    reason = f"no row arrived for more than {allowed}" if stale else f"rows arrive within {allowed}"
    # What moves with every row is left out where all is well: each pass would find something new to keep.
    evidence = {"last_us": last_us} if stale else {}
    return Verdict(FRESHNESS, source, "FAIL" if stale else "PASS", reason, evidence, now_us)


def _bounds(share: Share, rows: int, questions: int) -> Estimate:
    if not rows:
        return Estimate(0.0, 0.0, 1.0)
    return proportion(share.rows, rows, confidence=1.0 - 2.0 * ALPHA / max(1, questions))
