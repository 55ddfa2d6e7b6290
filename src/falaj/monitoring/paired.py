"""Paired: what two versions lost on the same decisions, once the outcomes are known; the interval holds at any look."""

import msgspec
import numpy as np

from falaj.definitions.challenger import Loss
from falaj.definitions.cost import Cost
from falaj.monitoring.metrics import Estimate, Floats
from falaj.monitoring.sequential import sequential_mean

_ERRORS = Cost(false_positive=1.0, false_negative=1.0)


class Paired(msgspec.Struct, frozen=True):
    """How much less a shadow loses on a decision than the version that decided.

    Attributes:
        by: What is lost: brier, errors or cost.
        outcomes: Decisions with a known, mature outcome.
        live: What the deciding version lost on one, on average.
        shadow: What the shadow would have.
        less: The first less the second, with the 95 % interval that holds at every look; above 0 the shadow is better.
    """

    by: Loss
    outcomes: int
    live: float
    shadow: float
    less: Estimate


def paired_loss(
    by: Loss, outcomes: Floats, live: Floats, shadow: Floats, *, thresholds: tuple[float, float], cost: Cost | None
) -> Paired:
    """Compare two versions on the same decisions.

    A version that failed on a request is held to have lost as much there as can be lost, and so is one whose score is
    no probability and farther off: the interval is one of bounded values.

    Args:
        by: What is lost.
        outcomes: 0 or 1, float64, (decisions,), in the order in which they could be counted.
        live: Scores that decided, NaN where it failed.
        shadow: Scores of the shadow, likewise.
        thresholds: From which score on each decides positive: what decided, and the shadow.
        cost: What decisions cost; needed by "cost".

    Example:
        >>> outcomes, live = np.tile([0.0, 1.0], 500), np.full(1_000, 0.5)
        >>> found = paired_loss("brier", outcomes, live, np.abs(outcomes - 0.1), thresholds=(0.5, 0.5), cost=None)
        >>> round(found.less.value, 2), found.less.lower > 0.1
        (0.24, True)
    """
    if by == "brier":
        least, most = 0.0, 1.0
        losses = [np.fmin((scores - outcomes) ** 2, most) for scores in (live, shadow)]  # of a missing one, the most
    else:
        used = cost if by == "cost" and cost is not None else _ERRORS
        amounts = msgspec.structs.astuple(used)
        least, most = min(amounts), max(amounts)
        losses = [
            _costs(scores, outcomes, one, used, most) for scores, one in zip((live, shadow), thresholds, strict=True)
        ]
    width = most - least
    less = sequential_mean(losses[0] - losses[1], -width, width)
    means = [float(loss.mean()) if loss.size else 0.0 for loss in losses]
    return Paired(by, outcomes.size, means[0], means[1], less)


def _costs(scores: Floats, outcomes: Floats, threshold: float, cost: Cost, most: float) -> Floats:
    positive, true = scores >= threshold, outcomes > 0.5
    right = np.where(true, cost.true_positive, cost.true_negative)
    wrong = np.where(true, cost.false_negative, cost.false_positive)
    found: Floats = np.where(np.isnan(scores), most, np.where(positive == true, right, wrong))
    return found
