"""NumericReference: bins on the quantiles of a reference sample of numbers."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.monitoring.column_values import as_numbers
from falaj.monitoring.histogram import Counts

MAX_BINS = 256

Floats32 = NDArray[np.float32]


class NumericReference(msgspec.Struct, frozen=True, tag="numeric"):
    """Bins on the quantiles of a reference sample: cells `below, bins…, above, nan, null`.

    Values are compared as float32, the type of a model's input: a training column in float64 and the served
    value in float32 must fall into the same cell.

    Attributes:
        edges: Lower edge of each bin, ascending; a bin reaches to the next edge, which it leaves out.
        highest: The greatest finite reference value, which the last bin includes.
        counts: The reference sample's own count per cell.
    """

    edges: tuple[float, ...]
    highest: float
    counts: tuple[int, ...]

    @classmethod
    def fit(cls, values: Any, *, max_bins: int = MAX_BINS, at: float | None = None) -> "NumericReference":
        """Freeze the cells on a sample and count it.

        A value that holds more than its share of the sample gets a bin of its own, and a column with few distinct
        values gets one bin for each of them.

        Args:
            values: Numbers, with None for null; any length, also zero. A list, NumPy or Arrow.
            max_bins: Most bins between the smallest and the greatest value, `at` apart.
            at: A value that a bin must begin at, such as a threshold, if it lies within the sample.

        Example:
            >>> reference = NumericReference.fit([1.0, 2.0, 2.0, None])
            >>> reference.edges, reference.counts
            ((1.0, 2.0), (0, 1, 2, 0, 0, 1))
            >>> reference.count([0.0, 2.0, 9.0, float("nan")]).tolist()
            [1, 0, 1, 1, 1, 0]
        """
        numbers, nulls = as_numbers(values)
        ranked = np.sort(numbers)
        finite = ranked[np.isfinite(ranked)]
        edges = _edges(finite, max_bins)
        if at is not None and finite.size and finite[0] < np.float32(at) <= finite[-1]:
            edges = tuple(sorted({*edges, float(np.float32(at))}))
        bare = cls(edges, float(finite[-1]) if finite.size else 0.0, ())
        return cls(bare.edges, bare.highest, tuple(bare._count(ranked, nulls).tolist()))

    def count(self, values: Any) -> Counts:
        """Return int64 counts per cell; +inf and -inf are above and below, text that is no number is nan."""
        numbers, nulls = as_numbers(values)
        return self._count(np.sort(numbers), nulls)

    def _count(self, ranked: Floats32, nulls: int) -> Counts:
        """Count sorted numbers, NaN last: to look the edges up in them is cheaper than each of them in the edges."""
        edges = np.asarray(self.edges, dtype=np.float32)
        known = ranked[: np.searchsorted(ranked, np.float32(np.nan))]  # NaN sorts behind infinity
        within = np.searchsorted(known, edges)
        upto = np.searchsorted(known, np.float32(self.highest), side="right")
        bounds = np.concatenate([[0], within, [upto, known.size]])
        return np.concatenate([np.diff(bounds), [ranked.size - known.size - nulls, nulls]]).astype(np.int64)

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells, in the order of the counts."""
        return ("below", *(f"{edge:g}" for edge in self.edges), "above", "nan", "null")


def _edges(finite: Floats32, max_bins: int) -> tuple[float, ...]:
    """Return ascending lower edges of at most `max_bins` bins over sorted finite values."""
    if not finite.size:
        return ()
    distinct = finite[np.append(True, finite[1:] != finite[:-1])]
    if distinct.size <= max_bins:
        return tuple(distinct.tolist())
    at_quantiles = finite[(np.arange(max_bins) * finite.size) // max_bins]
    edges, repeats = np.unique(at_quantiles, return_counts=True)
    # A value on several quantiles ends its bin at once. The edge this adds is one that the repetition removed.
    atoms = np.nextafter(edges[repeats > 1], np.float32(np.inf))
    return tuple(np.unique(np.concatenate([edges, atoms[atoms <= distinct[-1]]])).tolist())
