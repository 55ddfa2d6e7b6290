"""CategoricalReference: the commonest categories of a reference sample, and what else it knew."""

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from falaj.kernel.digest import digest_bytes
from falaj.monitoring.column_values import category_name
from falaj.monitoring.histogram import Counts

MAX_NAMED = 128
MAX_OTHERS = 1024


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
            values: Categories as text, numbers or booleans, with None or NaN for null; any length, also zero. A
                list, NumPy or Arrow.
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
        chosen, counted = halves(values, seed)
        ranked = sorted(categories_of(chosen)[0].items(), key=lambda item: (-item[1], item[0]))
        known = [name for name, _ in ranked]
        too_many = len(known) > max_named + max_others
        others = [] if too_many else sorted(_fingerprint(name) for name in known[max_named:])
        bare = cls(tuple(known[:max_named]), b"".join(others), too_many, ())
        return cls(bare.names, bare.others, too_many, tuple(bare.count(counted).tolist()))

    def count(self, values: Any) -> Counts:
        """Return int64 counts per cell."""
        categories, nulls = categories_of(values)
        index = {name: cell for cell, name in enumerate(self.names)}
        known = {self.others[at : at + 8] for at in range(0, len(self.others), 8)}
        counts = np.zeros(len(self.names) + 3, dtype=np.int64)
        for name, number in categories.items():
            cell = index.get(name)
            if cell is None:
                cell = -3 if self.open or _fingerprint(name) in known else -2
            counts[cell] += number
        counts[-1] = nulls
        return counts

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells, in the order of the counts."""
        return (*self.names, "other", "unseen", "null")


def halves(values: Any, seed: int) -> tuple[Any, Any]:
    """Return two random halves of a column, the first the greater: one to choose by, one to count."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        order = np.random.default_rng(seed).permutation(len(values))
        return values.take(pa.array(order[0::2])), values.take(pa.array(order[1::2]))
    sample = np.asarray(values, dtype=object).ravel()
    order = np.random.default_rng(seed).permutation(sample.size)
    return sample[order[0::2]], sample[order[1::2]]


def categories_of(values: Any) -> tuple[dict[str, int], int]:
    """Return counts per category's text, and the number of nulls, NaN among them."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        pairs = [(one["values"], one["counts"]) for one in pc.value_counts(values).to_pylist()]
    else:
        pairs = list(Counter(np.asarray(values, dtype=object).ravel().tolist()).items())
    counts: dict[str, int] = {}
    nulls = 0
    for value, number in pairs:
        if value is None or value != value:  # NaN differs from itself
            nulls += number
        else:
            name = category_name(value)
            counts[name] = counts.get(name, 0) + number
    return counts, nulls


def _fingerprint(name: str) -> bytes:
    return bytes.fromhex(digest_bytes(name.encode("utf-8", "surrogatepass"))[:16])
