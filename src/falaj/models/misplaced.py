"""Misplaced rows: positives below negatives, and negatives above positives, of which rankings lose."""

import numpy as np

from falaj.models.metrics import Floats, Scored

_UNSEEN = 3.84
"""As many rows as Wilson's 95 % interval allows to be out of order where none was seen: the square of 1.96."""


def misplaced(scored: Scored) -> tuple[Floats, Floats]:
    """Return the share of negatives above each positive, and of positives below each negative; ties count half.

    Example:
        >>> above, below = misplaced(Scored(np.array([0.9, 0.5, 0.7, 0.1]), np.array([1, 1, 0, 0]), 0.5))
        >>> above.tolist(), below.tolist()
        ([0.0, 0.5], [0.5, 0.0])
    """
    ones, zeros = (np.sort(scored.scores[scored.labels == label]) for label in (1, 0))
    positives, negatives = (scored.scores[scored.labels == label] for label in (1, 0))
    over = (np.searchsorted(zeros, positives, "right") + np.searchsorted(zeros, positives, "left")) / 2
    under = (np.searchsorted(ones, negatives, "right") + np.searchsorted(ones, negatives, "left")) / 2
    return 1 - over / max(len(zeros), 1), under / max(len(ones), 1)


def precision_at(scored: Scored) -> Floats:
    """Return the precision of deciding positive from each positive's score on, (positives,): AP is its mean."""
    positive = scored.labels == 1
    ranked, ones = np.sort(scored.scores), np.sort(scored.scores[positive])
    at = scored.scores[positive]
    hits = len(ones) - np.searchsorted(ones, at, "left")
    found: Floats = hits / (len(ranked) - np.searchsorted(ranked, at, "left"))
    return found


def intruders(losses: Floats, positives: int) -> float:
    """Return what average precision loses by negatives that rank first and were not seen; less, the more were seen."""
    squares = float((losses**2).sum())
    seen = 0.0 if squares <= 0 else float(losses.sum()) ** 2 / squares
    unseen = _UNSEEN * _UNSEEN / (seen + _UNSEEN)
    places = np.arange(1, positives + 1)
    return float((unseen / (places + unseen)).mean())
