"""Many small unordered tables compared at once: what `two_sample.compare` says of each, for all pairs of columns."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from falaj.monitoring.two_sample import MIN_EXPECTED

Tables = NDArray[np.int64]
Floats = NDArray[np.float64]


def compare_tables(reference: Tables, window: Tables) -> tuple[Floats, Floats]:
    """Compare histograms row by row, cells merged until every expected count is at least 5.

    Args:
        reference: Counts, int64, (tables, cells).
        window: Counts of the same cells.

    Returns:
        The chi-square p-value and the PSI beyond sampling of each, float64, (tables,); 1 and 0 where nothing can
        differ.

    Example:
        >>> p_values, excess = compare_tables(np.array([[500, 500]]), np.array([[52, 48]]))
        >>> p_values.round(2).tolist(), excess.tolist()
        ([0.7], [0.0])
    """
    r, w = _grouped(reference, window)
    n, m = reference.sum(axis=1, keepdims=True).astype(float), window.sum(axis=1, keepdims=True).astype(float)
    used = (r + w) > 0
    groups = used.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = (r * np.sqrt(m / n) - w * np.sqrt(n / m)) ** 2 / (r + w)
        chi_square = np.where(used, terms, 0.0).sum(axis=1)
        p, q = (r + 0.5) / (n + 0.5 * groups[:, None]), (w + 0.5) / (m + 0.5 * groups[:, None])
        psi = np.where(used, (q - p) * np.log(q / p), 0.0).sum(axis=1)
        scale = (1.0 / n + 1.0 / m)[:, 0]
        excess = np.maximum(0.0, psi - (groups - 1) * scale)
    comparable = (groups >= 2) & (n[:, 0] > 0) & (m[:, 0] > 0)
    p_values = chdtrc(np.maximum(groups - 1, 1), np.where(comparable, chi_square, 0.0))
    return np.where(comparable, p_values, 1.0), np.where(comparable, excess, 0.0)


def _grouped(reference: Tables, window: Tables) -> tuple[Floats, Floats]:
    """Return the counts by group, the commonest cells first, the rarest merged with each other."""
    pooled = reference + window
    tables, cells = pooled.shape
    order = np.argsort(-pooled, axis=1, kind="stable")
    ranked = np.take_along_axis(pooled, order, axis=1)
    smaller = np.minimum(reference.sum(axis=1), window.sum(axis=1))
    least = MIN_EXPECTED * pooled.sum(axis=1) / np.maximum(smaller, 1)
    group, filled = np.zeros(tables, dtype=np.int64), np.zeros(tables)
    groups = np.zeros((tables, cells), dtype=np.int64)
    for place in range(cells):
        full = (filled >= least) & (place > 0)
        group, filled = group + full, np.where(full, 0.0, filled)
        groups[:, place] = group
        filled += ranked[:, place]
    short = (filled < least) & (group > 0)  # the rest is too small to stand alone
    groups -= (short[:, None]) & (groups == group[:, None])
    flat = (groups + cells * np.arange(tables)[:, None]).ravel()
    r, w = (np.bincount(flat, np.take_along_axis(one, order, axis=1).ravel(), flat.size) for one in (reference, window))
    return r.astype(np.float64).reshape(tables, cells), w.astype(np.float64).reshape(tables, cells)
