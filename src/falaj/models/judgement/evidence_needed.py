"""Evidence needed: how many test rows would decide what these do not."""

import math

from falaj.models.gate_report import Outcome

_MOST = 1_000_000_000


def rows_needed(rows: int, half: float, margin: float, outcome: Outcome) -> int | None:
    """Return how many rows of the same kind would decide, by the width of an interval shrinking with their square root.

    Args:
        rows: How many there are.
        half: How far the interval reaches from the value towards the bound.
        margin: How far it may reach; a value beyond the bound counts as far as it is.
        outcome: Of the check; None is needed where it is decided.

    Returns:
        None where the check is decided, or no number of rows would.

    Example:
        >>> rows_needed(1_000, 0.02, 0.01, Outcome.INCONCLUSIVE)
        4000
    """
    if outcome is not Outcome.INCONCLUSIVE or margin == 0 or not math.isfinite(half / margin):
        return None
    needed = math.ceil(round(rows * (half / margin) ** 2, 6))
    return needed if rows < needed <= _MOST else None


def said(needed: int | None, when: str) -> str:
    """Return the end of a reason: how many rows, rounded to two digits, and when they would do.

    Example:
        >>> said(12_345, "the two are alike")
        '; about 12,000 test rows like these would decide if the two are alike'
    """
    if needed is None:
        return ""
    step = 10 ** max(0, math.floor(math.log10(needed)) - 1)
    return f"; about {round(needed / step) * step:,} test rows like these would decide if {when}"
