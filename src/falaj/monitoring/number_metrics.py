"""Realised quality of predicted numbers: each error with an interval.

The intervals are normal ones by the delta method: what one row adds to a ratio of means is known, and so is the
variance of its mean. They take rows as independent, as those of the other metrics do.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from falaj.monitoring.metrics import Estimate

Floats = NDArray[np.float64]


def number_metrics(outcomes: Floats, predictions: Floats, *, confidence: float = 0.95) -> dict[str, Estimate]:
    """Return rmse, mae, wape and r2; those that are not defined on these rows are absent, all of them of a single row.

    Args:
        outcomes: What came true, float64, (rows,), finite.
        predictions: float64, (rows,), finite.
        confidence: Of each interval.

    Example:
        >>> found = number_metrics(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0]))
        >>> found["mae"].value, found["wape"].value, found["r2"].value
        (1.0, 0.5, -3.5)
    """
    if outcomes.size < 2:
        return {}  # of one row nothing says how far off the figure is
    z = float(ndtri(0.5 + confidence / 2.0))
    errors = predictions - outcomes
    squares, sizes = errors**2, np.abs(errors)
    mean_square = _ratio(squares, np.ones_like(squares), z)
    ends = (mean_square.value, max(0.0, mean_square.lower), mean_square.upper)
    found = {
        "rmse": Estimate(*(float(np.sqrt(end)) for end in ends)),
        "mae": _least(_ratio(sizes, np.ones_like(sizes), z)),
    }
    if np.abs(outcomes).sum() > 0:
        found["wape"] = _least(_ratio(sizes, np.abs(outcomes), z))
    spread = (outcomes - outcomes.mean()) ** 2
    if outcomes.min() < outcomes.max():
        left = _ratio(squares, spread, z)  # the share of the variance that is not explained
        found["r2"] = Estimate(1 - left.value, 1 - left.upper, min(1.0, 1 - left.lower))
    return found


def _ratio(tops: Floats, bottoms: Floats, z: float) -> Estimate:
    """Return the ratio of two means of the same rows, with its interval."""
    value = float(tops.mean() / bottoms.mean())
    influence = (tops - value * bottoms) / bottoms.mean()
    half = z * float(np.sqrt(influence.var(ddof=1) / tops.size))
    return Estimate(value, value - half, value + half)


def _least(found: Estimate) -> Estimate:
    return Estimate(found.value, max(0.0, found.lower), found.upper)
