"""Frozen-cell integer histograms: they add across replicas, subtract for windows, and take some two kilobytes.

The cells are fixed by a reference sample once. A later sample only adds to integer counts, so that histograms of
many workers merge exactly and in any order, and an outlier in today's traffic cannot stretch the bins that
yesterday's is compared in.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.kernel.digest import digest_bytes
from falaj.kernel.errors import InputError

Counts = NDArray[np.int64]
"""One integer per cell of a reference."""

MAX_BINS = 256
MAX_NAMED = 128
MAX_OTHERS = 1024


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
    def fit(cls, values: Any, *, max_bins: int = MAX_BINS) -> "NumericReference":
        """Freeze the cells on a sample and count it.

        A value that holds more than its share of the sample gets a bin of its own, and a column with few distinct
        values gets one bin for each of them.

        Args:
            values: Numbers, with None for null; any length, also zero.
            max_bins: Most bins between the smallest and the greatest value.

        Example:
            >>> reference = NumericReference.fit([1.0, 2.0, 2.0, None])
            >>> reference.edges, reference.counts
            ((1.0, 2.0), (0, 1, 2, 0, 0, 1))
            >>> reference.count([0.0, 2.0, 9.0, float("nan")]).tolist()
            [1, 0, 1, 1, 1, 0]
        """
        numbers, _ = _numbers(values)
        finite = np.sort(numbers[np.isfinite(numbers)])
        bare = cls(_edges(finite, max_bins), float(finite[-1]) if finite.size else 0.0, ())
        return cls(bare.edges, bare.highest, tuple(bare.count(values).tolist()))

    def count(self, values: Any) -> Counts:
        """Return int64 counts per cell; +inf and -inf are above and below, text that is no number is nan."""
        numbers, nulls = _numbers(values)
        edges = np.asarray(self.edges, dtype=np.float32)
        cells = np.searchsorted(edges, numbers, side="right")
        if edges.size:
            cells[numbers > np.float32(self.highest)] = edges.size + 1
        else:
            cells[numbers > 0] = 1
        cells[np.isnan(numbers)] = edges.size + 2
        counts = np.bincount(cells, minlength=edges.size + 4).astype(np.int64)
        counts[-1] = nulls
        return counts

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells, in the order of the counts."""
        return ("below", *(f"{edge:g}" for edge in self.edges), "above", "nan", "null")


class CategoricalReference(msgspec.Struct, frozen=True, tag="categorical"):
    """The commonest categories of a reference sample: cells `names…, other, unseen, null`.

    The sample is halved at random. One half says which categories are named, known or unseen; the other is
    counted. Counting the half that chose the names would make a named category look commoner than it is and would
    make `unseen` zero by construction, and any later sample of a long-tailed column would then look changed.

    Attributes:
        names: The named categories, commonest first.
        others: First eight bytes of the digests of further known categories, sorted and joined.
        open: There are too many categories to remember; unknown ones count as `other` and `unseen` stays zero.
        counts: The counted half's count per cell.
    """

    names: tuple[str, ...]
    others: bytes
    open: bool
    counts: tuple[int, ...]

    @classmethod
    def fit(
        cls, values: Any, *, max_named: int = MAX_NAMED, max_others: int = MAX_OTHERS, seed: int = 0
    ) -> "CategoricalReference":
        """Freeze the cells on one half of a sample and count the other.

        Args:
            values: Categories as text, numbers or booleans, with None or NaN for null; any length, also zero.
            max_named: Most categories with a cell of their own.
            max_others: Most further categories to remember.
            seed: Chooses the halves.

        Example:
            >>> reference = CategoricalReference.fit(["AE", "OM"] * 50 + [None] * 20)
            >>> sorted(reference.names), sum(reference.counts)
            (['AE', 'OM'], 60)
            >>> reference.count(["AE", "QA", None]).tolist()[-3:]
            [0, 1, 1]
        """
        sample = np.asarray(values, dtype=object).ravel()
        order = np.random.default_rng(seed).permutation(sample.size)
        ranked = sorted(_categories(sample[order[0::2]])[0].items(), key=lambda item: (-item[1], item[0]))
        known = [name for name, _ in ranked]
        too_many = len(known) > max_named + max_others
        others = [] if too_many else sorted(_fingerprint(name) for name in known[max_named:])
        bare = cls(tuple(known[:max_named]), b"".join(others), too_many, ())
        return cls(bare.names, bare.others, too_many, tuple(bare.count(sample[order[1::2]]).tolist()))

    def count(self, values: Any) -> Counts:
        """Return int64 counts per cell."""
        categories, nulls = _categories(values)
        index = {name: cell for cell, name in enumerate(self.names)}
        known = {self.others[at : at + 8] for at in range(0, len(self.others), 8)}
        counts = np.zeros(len(self.names) + 3, dtype=np.int64)
        for name, number in categories.items():
            unnamed = -3 if self.open or _fingerprint(name) in known else -2
            counts[index.get(name, unnamed)] += number
        counts[-1] = nulls
        return counts

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells, in the order of the counts."""
        return (*self.names, "other", "unseen", "null")


Reference = NumericReference | CategoricalReference


def fit_reference(values: Any, *, seed: int = 0) -> Reference:
    """Freeze numeric or categorical cells, whichever the values call for.

    Args:
        values: One column; numbers and booleans make a numeric reference, text a categorical one.
        seed: Chooses the halves of a categorical sample.

    Example:
        >>> type(fit_reference(["AE", None])).__name__, type(fit_reference([True, None])).__name__
        ('CategoricalReference', 'NumericReference')
    """
    sample = np.asarray(values)
    if sample.dtype.kind in "biuf":
        return NumericReference.fit(sample)
    texts = sample.dtype.kind in "US" or any(isinstance(value, str | bytes) for value in sample.ravel())
    return CategoricalReference.fit(sample, seed=seed) if texts else NumericReference.fit(sample)


def add(counts: Iterable[Counts]) -> Counts:
    """Return the sum of histograms over the same reference, such as those of several workers.

    Raises:
        InputError: There are none, or they have different cells.

    Example:
        >>> add([np.array([1, 0]), np.array([2, 5])]).tolist()
        [3, 5]
    """
    parts = list(counts)
    if len({part.shape for part in parts}) != 1:
        raise InputError("histograms to add have no or different cells", hint="count them with the same reference")
    total: Counts = np.sum(np.stack(parts), axis=0, dtype=np.int64)
    return total


def subtract(later: Counts, earlier: Counts) -> Counts:
    """Return what came after the earlier count: the histogram of a window between two running totals.

    Raises:
        InputError: The cells differ, or the earlier total is not contained in the later one (a counter restarted).

    Example:
        >>> subtract(np.array([3, 5]), np.array([1, 5])).tolist()
        [2, 0]
    """
    if later.shape != earlier.shape or bool(np.any(later < earlier)):
        raise InputError(
            "the earlier histogram is not contained in the later one",
            hint="a counter restarted; begin a new window from zero",
        )
    return (later - earlier).astype(np.int64)


def unpack(counts: Iterable[int], reference: Reference) -> Counts:
    """Return stored integers as counts of the reference's cells.

    Raises:
        InputError: They were counted with another reference.
    """
    array = np.asarray(list(counts), dtype=np.int64)
    if array.size != len(reference.counts):
        raise InputError(
            f"{array.size} counts do not fit a reference of {len(reference.counts)} cells",
            hint="the reference changed since they were counted; begin a new window",
        )
    return array


def _numbers(values: Any) -> tuple[NDArray[np.float32], int]:
    """Return non-null values as float32, and the number of nulls."""
    array = np.asarray(values).ravel()
    if array.dtype.kind in "biuf":
        with np.errstate(over="ignore"):  # beyond float32 is beyond every bin
            return array.astype(np.float32), 0
    numbers = [_number(value) for value in array.tolist() if value is not None]
    with np.errstate(over="ignore"):
        return np.asarray(numbers, dtype=np.float64).astype(np.float32), array.size - len(numbers)


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
    except OverflowError:  # an integer of more than 308 digits
        return float("inf") if value > 0 else float("-inf")  # type: ignore[operator]


def _edges(finite: NDArray[np.float32], max_bins: int) -> tuple[float, ...]:
    """Return ascending lower edges of at most `max_bins` bins over sorted finite values."""
    distinct = np.unique(finite)
    if distinct.size <= max_bins:
        return tuple(distinct.tolist())
    at_quantiles = finite[(np.arange(max_bins) * finite.size) // max_bins]
    edges, repeats = np.unique(at_quantiles, return_counts=True)
    # A value on several quantiles ends its bin at once. The edge this adds is one that the repetition removed.
    atoms = np.nextafter(edges[repeats > 1], np.float32(np.inf))
    return tuple(np.unique(np.concatenate([edges, atoms[atoms <= distinct[-1]]])).tolist())


def _categories(values: Any) -> tuple[dict[str, int], int]:
    """Return counts per category's text, and the number of nulls."""
    counts: dict[str, int] = {}
    nulls = 0
    for value, number in Counter(np.asarray(values, dtype=object).ravel().tolist()).items():
        if value is None or value != value:  # NaN differs from itself
            nulls += number
        else:
            name = _name(value)
            counts[name] = counts.get(name, 0) + number
    return counts, nulls


def _name(value: object) -> str:
    """Return one text for equal values of different types: 3 and 3.0 are the same category."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def _fingerprint(name: str) -> bytes:
    return bytes.fromhex(digest_bytes(name.encode("utf-8", "surrogatepass"))[:16])
