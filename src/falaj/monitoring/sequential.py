"""Sequential: a mean with an interval that holds at every look together, however often somebody looks."""

import math

import numpy as np

from falaj.monitoring.metrics import Estimate, Floats

_LARGEST_BET = 0.5


def sequential_mean(values: Floats, low: float, high: float, *, confidence: float = 0.95) -> Estimate:
    """Return the mean of bounded values with an interval that may be looked at after each of them.

    The interval is the predictable plug-in empirical-Bernstein confidence sequence of Waudby-Smith and Ramdas
    ("Estimating means of bounded random variables by betting", 2023, theorem 2). With the stated confidence it holds
    the true mean at all lengths at once, provided that earlier values stay where they are and each is drawn as the
    ones before it. Who looks daily and stops at the first good day has lost nothing by it.

    Args:
        values: Float64, (rows,), in the order in which they became known; each between `low` and `high`.
        low: The least value that there can be.
        high: The greatest.
        confidence: Of all looks together.

    Example:
        >>> found = sequential_mean(np.full(2_000, 0.3), 0.0, 1.0)
        >>> round(found.value, 3), 0.2 < found.lower < 0.3 < found.upper < 0.4
        (0.3, True)
    """
    rows = values.size
    if rows == 0:
        return Estimate(0.0, low, high)
    unit = (values - low) / (high - low)
    number = np.arange(1, rows + 1)
    mean = (0.5 + np.cumsum(unit)) / (number + 1)
    variance = (0.25 + np.cumsum((unit - mean) ** 2)) / (number + 1)
    # What is bet on a value may rest on those before it alone.
    mean_before, variance_before = np.r_[0.5, mean[:-1]], np.r_[0.25, variance[:-1]]
    risk = math.log(2.0 / (1.0 - confidence))
    bets = np.minimum(np.sqrt(2.0 * risk / (variance_before * number * np.log1p(number))), _LARGEST_BET)
    surprise = (unit - mean_before) ** 2 * (-np.log1p(-bets) - bets)
    staked = bets.sum()
    centre, reach = float((bets * unit).sum() / staked), float((risk + surprise.sum()) / staked)
    scale = high - low
    lower, upper = low + scale * max(0.0, centre - reach), low + scale * min(1.0, centre + reach)
    return Estimate(float(np.clip(values.mean(), lower, upper)), float(lower), float(upper))
