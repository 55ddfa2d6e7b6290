"""Learning a calibration: what share of rows with a score are positive, on rows that the model has not seen."""

import numpy as np
from numpy.typing import NDArray

from falaj.kernel.errors import DataError
from falaj.models.metrics import Floats
from falaj.models.parts import MINIMUM_PER_CLASS
from falaj.models.runtimes.calibrated import Calibration

SHARE = 0.2
"""Of training rows, which are kept back from fitting."""

_MOST_POINTS = 256
_STEEPEST = 60.0
"""How much a probability may rise by a score's rise. Runtimes differ in a float32's last digits, which is 1e-7 where
they agree well; were the map steeper, a row would get another probability from one than from the other."""
_LEAST = 1e-6
_STEPS = 50


def fit_calibration(method: str, scores: Floats, labels: NDArray[np.int64]) -> Calibration:
    """Learn how scores become probabilities.

    Args:
        method: "isotonic" takes whatever rising form the rows show; "sigmoid" a straight line between log-odds (Platt
            1999), for fewer rows.
        scores: Of rows that the model was not fitted to, (rows,).
        labels: 0 and 1, (rows,).

    Raises:
        DataError: There are too few rows of a class.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> scores = rng.random(4000)
        >>> labels = (rng.random(4000) < scores**2).astype(np.int64)
        >>> fit_calibration("isotonic", scores, labels).apply(np.array([0.5])).round(1)
        array([0.2])
    """
    positives = int(labels.sum())
    if min(positives, len(labels) - positives) < MINIMUM_PER_CLASS:
        raise DataError(
            f"{positives} positives and {len(labels) - positives} negatives are kept back from training, and a "
            f"calibration needs {MINIMUM_PER_CLASS} of each",
            hint="ingest more history, or leave calibrate out",
        )
    x, y = _isotonic(scores, labels) if method == "isotonic" else _sigmoid(scores, labels)
    x, y = _less_steep(x, y)
    return Calibration(method, tuple(x.tolist()), tuple(y.tolist()), len(labels))


def _isotonic(scores: Floats, labels: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Pool adjacent violators; the points stand amid the pools (centred isotonic regression, Oron & Flournoy 2017).

    Lines from the middle of one pool to that of the next rank rows as the scores do, where pools alone would tie them.
    """
    from sklearn.isotonic import isotonic_regression

    x, place, rows = np.unique(scores, return_inverse=True, return_counts=True)
    shares = np.bincount(place, labels) / rows
    fitted = isotonic_regression(shares, sample_weight=rows)
    pool = np.cumsum(np.r_[False, np.diff(fitted) > 0])
    weights = np.bincount(pool, rows)
    middle, height = np.bincount(pool, x * rows) / weights, np.bincount(pool, fitted * rows) / weights
    # No row was positive, or all were: that is little more evidence than the number of rows.
    if height[0] == 0:
        height[0] = min(1 / (weights[0] + 2), height[1] / 2)
    if height[-1] == 1:
        height[-1] = max(1 - 1 / (weights[-1] + 2), (1 + height[-2]) / 2)
    if len(middle) > _MOST_POINTS:
        kept = np.unique(np.linspace(0, len(middle) - 1, _MOST_POINTS).astype(np.int64))
        middle, height = middle[kept], height[kept]
    return _to_the_ends(middle, height)


def _sigmoid(scores: Floats, labels: NDArray[np.int64]) -> tuple[Floats, Floats]:
    slope, shift = _platt(_log_odds(scores), labels)
    furthest = -_log_odds(np.array([_LEAST]))[0]
    grid = np.linspace(-furthest, furthest, _MOST_POINTS)
    return _to_the_ends(1 / (1 + np.exp(-grid)), 1 / (1 + np.exp(-(slope * grid + shift))))


def _platt(odds: Floats, labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return slope and shift of the log-odds by Newton's method, with Platt's targets a little inside 0 and 1."""
    positives = labels.sum()
    inside = 1 / (len(labels) - positives + 2)
    targets = np.where(labels > 0, (positives + 1) / (positives + 2), inside)
    columns = np.stack([odds, np.ones_like(odds)], axis=1)
    found = np.array([0.0, np.log(targets.mean() / (1 - targets.mean()))])
    lost = _log_loss(columns @ found, targets)
    for _ in range(_STEPS):
        shares = 1 / (1 + np.exp(-(columns @ found)))
        weights = shares * (1 - shares)
        bent = columns.T @ (columns * weights[:, None]) + 1e-12 * np.eye(2)
        step = np.linalg.solve(bent, columns.T @ (shares - targets))
        size = 1.0
        while size > 1e-10 and _log_loss(columns @ (found - size * step), targets) >= lost:
            size /= 2  # a whole step would lead past the lowest point
        if size <= 1e-10:
            break
        found = found - size * step
        lost = _log_loss(columns @ found, targets)
    if found[0] > 0:
        return float(found[0]), float(found[1])
    share = float(targets.mean())  # greater scores are no likelier to be positive: one probability for all
    return 0.0, float(np.log(share / (1 - share)))


def _log_loss(odds: Floats, targets: Floats) -> float:
    return float(np.mean(np.logaddexp(0.0, odds) - targets * odds))


def _log_odds(scores: Floats) -> Floats:
    inside = np.clip(scores, _LEAST, 1 - _LEAST)
    odds: Floats = np.log(inside / (1 - inside))
    return odds


def _to_the_ends(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Add points for scores of 0 and 1, so that beyond the outermost rows greater scores still get more."""
    if x[0] > 0:
        x, y = np.r_[0.0, x], np.r_[y[0] / 2, y]
    if x[-1] < 1:
        x, y = np.r_[x, 1.0], np.r_[y, (1 + y[-1]) / 2]
    return x, y


def _less_steep(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    limited = [float(y[0])]
    for at in range(1, len(x)):
        limited.append(min(float(y[at]), limited[-1] + _STEEPEST * float(x[at] - x[at - 1])))
    return x, np.array(limited)
