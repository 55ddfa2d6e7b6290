"""Two histograms of the same cells: are they samples of one distribution, and how far apart are they?"""

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, gammaln

from falaj.monitoring.histogram import Counts

MIN_EXPECTED = 5.0


class Comparison(msgspec.Struct, frozen=True):
    """How two histograms differ over groups of cells that are large enough to compare.

    Attributes:
        groups: Groups of cells compared; below 2 nothing can differ.
        chi_square: Pearson's statistic of the 2 x groups contingency table.
        p_value: Of `chi_square`, with groups - 1 degrees of freedom.
        psi: Population stability index over the groups.
        psi_p_value: Of `psi` on its calibrated scale.
        psi_excess: `psi` less what sampling alone gives on average, not below zero: the effect size.
        cramers_v: Association between sample and group, 0 to 1.
        shift: P(window > reference) - P(window < reference) over the ordered cells, -1 to 1.
    """

    groups: int
    chi_square: float
    p_value: float
    psi: float
    psi_p_value: float
    psi_excess: float
    cramers_v: float
    shift: float


def compare(reference: Counts, window: Counts, *, max_groups: int, ordered: bool) -> Comparison:
    """Compare two histograms after merging cells until every expected count is at least 5.

    Whether cells are merged depends on the sum of both histograms only, which under no drift says nothing about
    the difference between them; this is what keeps the false-alarm rate. No group is empty in the sum; one that
    is empty in one histogram counts as half a row there (Jeffreys), or PSI would be infinite.

    Under no drift `psi / (1/n + 1/m)` follows chi-square(groups - 1): the second-order expansion of PSI is
    Pearson's statistic times `1/n + 1/m` (Yurdakul, "Statistical properties of population stability index", 2018).

    Args:
        reference: Counts per cell, int64.
        window: Counts of the same cells, int64.
        max_groups: Most groups for ordered cells; fewer see a smooth shift sooner, more see a narrow one.
        ordered: Whether neighbouring cells are alike; otherwise the rarest are merged with each other.

    Example:
        >>> same = compare(np.array([500, 500]), np.array([52, 48]), max_groups=20, ordered=True)
        >>> same.groups, round(same.p_value, 2), same.psi_excess
        (2, 0.7, 0.0)
    """
    n, m = int(reference.sum()), int(window.sum())
    if n == 0 or m == 0:
        return Comparison(0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    shift = _shift(reference, window) if ordered else 0.0
    r, w = _grouped(reference, window, max_groups=max_groups, ordered=ordered)
    freedom = len(r) - 1
    if freedom < 1:
        return Comparison(len(r), 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, shift)
    chi_square = float(np.sum((r * np.sqrt(m / n) - w * np.sqrt(n / m)) ** 2 / (r + w)))
    p, q = (r + 0.5) / (n + 0.5 * len(r)), (w + 0.5) / (m + 0.5 * len(w))
    psi = float(np.sum((q - p) * np.log(q / p)))
    scale = 1 / n + 1 / m
    return Comparison(
        groups=len(r),
        chi_square=chi_square,
        p_value=float(chdtrc(freedom, chi_square)),
        psi=psi,
        psi_p_value=float(chdtrc(freedom, psi / scale)),
        psi_excess=max(0.0, psi - freedom * scale),
        cramers_v=float(np.sqrt(chi_square / (n + m))),
        shift=shift,
    )


def rate_p_value(reference_hits: int, reference_rows: int, window_hits: int, window_rows: int) -> float:
    """Return the exact one-sided probability of so many or more hits in the window under one common rate.

    Fisher's test: given the sum of hits, those in the window are hypergeometric. It holds for any counts, so that
    a rate of nothing in a large reference and a few in a window needs no merging of cells.

    Args:
        reference_hits: Hits among `reference_rows`.
        reference_rows: Rows of the reference.
        window_hits: Hits among `window_rows`.
        window_rows: Rows of the window.

    Example:
        >>> round(rate_p_value(0, 900, 2, 100), 4)  # (100 / 1000) * (99 / 999)
        0.0099
    """
    hits, rows = reference_hits + window_hits, reference_rows + window_rows
    k = np.arange(window_hits, min(hits, window_rows) + 1, dtype=np.float64)
    log_p = _log_choose(window_rows, k) + _log_choose(reference_rows, hits - k) - _log_choose(rows, np.float64(hits))
    return min(1.0, float(np.sum(np.exp(log_p))))


def rate_change_p_value(reference_hits: int, reference_rows: int, window_hits: int, window_rows: int) -> float:
    """Return the exact two-sided probability of so different a number of hits: twice the smaller tail."""
    more = rate_p_value(reference_hits, reference_rows, window_hits, window_rows)
    fewer = rate_p_value(reference_rows - reference_hits, reference_rows, window_rows - window_hits, window_rows)
    return min(1.0, 2.0 * min(more, fewer))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values corrected so that any false alarm among all of them has probability alpha at most.

    Holm, "A simple sequentially rejective multiple test procedure", 1979.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(p_values.size, 0, -1)
    return _unsorted(np.minimum(1.0, np.maximum.accumulate(steps)), order)


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values corrected so that alpha bounds the expected share of false alarms among the alarms.

    Benjamini and Hochberg, "Controlling the false discovery rate", 1995.

    Example:
        >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(2).tolist()
        [0.03, 0.04, 0.04]
    """
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * p_values.size / np.arange(1, p_values.size + 1)
    return _unsorted(np.minimum(1.0, np.minimum.accumulate(steps[::-1])[::-1]), order)


def _unsorted(values: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.float64]:
    result = np.empty_like(values)
    result[order] = values
    return result


def _grouped(
    reference: Counts, window: Counts, *, max_groups: int, ordered: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both histograms over groups whose expected counts are at least `MIN_EXPECTED` in both."""
    pooled = reference + window
    total = int(pooled.sum())
    least = MIN_EXPECTED * total / min(int(reference.sum()), int(window.sum()))
    order = np.arange(pooled.size)
    if ordered:
        least = max(least, total / max_groups)
    else:
        order = np.argsort(-pooled, kind="stable")
    group, filled, groups = 0, 0, np.zeros(pooled.size, dtype=np.int64)
    for position, number in enumerate(pooled[order].tolist()):
        if filled >= least:
            group, filled = group + 1, 0
        groups[position] = group
        filled += number
    if filled < least and group > 0:  # the rest is too small to stand alone
        groups[groups == group] = group - 1
    return (
        np.bincount(groups, weights=reference[order]).astype(np.float64),
        np.bincount(groups, weights=window[order]).astype(np.float64),
    )


def _shift(reference: Counts, window: Counts) -> float:
    p, q = reference / reference.sum(), window / window.sum()
    below = np.cumsum(p) - p
    above = 1.0 - below - p
    return float(np.sum(q * (below - above)))


def _log_choose(n: int, k: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    result: NDArray[np.float64] = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    return result
