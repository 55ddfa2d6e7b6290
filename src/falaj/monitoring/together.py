"""Together: how pairs of columns go together, as integer tables that add as histograms do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from falaj.monitoring.categorical_reference import CategoricalReference
from falaj.monitoring.column_values import as_names, as_numbers
from falaj.monitoring.histogram import Counts
from falaj.monitoring.numeric_reference import NumericReference
from falaj.monitoring.reference import Reference

LEVELS = 4
"""Low, middle, high and missing; for categories the commonest, the second, the rest and missing."""
MAX_COLUMNS = 32
_MISSING = LEVELS - 1
_NAMED = 2
_ROWS_AT_ONCE = 65_536  # what a processor keeps near


class NumericLevels(msgspec.Struct, frozen=True, tag="numeric"):
    """Where numbers become middle and high: from these values on, in float32."""

    middle: float
    high: float


class CategoricalLevels(msgspec.Struct, frozen=True, tag="categorical"):
    """The categories with a level of their own, commonest first."""

    names: tuple[str, ...]


Levels = NumericLevels | CategoricalLevels


class Together(msgspec.Struct, frozen=True):
    """For each pair of columns, how often each of their levels met in the reference.

    A change of how two columns go together, with both as they were, shows in their table and in neither histogram.
    Pairs are what is looked at: a change that only three columns together show is not seen.

    Attributes:
        columns: The columns, at most `MAX_COLUMNS`.
        levels: Of each column.
        counts: Flat, (pairs, LEVELS, LEVELS), the pairs in the order of `pairs`.
    """

    columns: tuple[str, ...]
    levels: tuple[Levels, ...]
    counts: tuple[int, ...]

    @classmethod
    def fit(cls, references: Mapping[str, Reference], values: Mapping[str, Any], order: Sequence[str]) -> "Together":
        """Freeze the levels by the columns' own cells, and count the sample.

        Args:
            references: Column to its cells; columns of text are left out.
            values: Column to values, all of one length.
            order: Columns, the most important first; those beyond `MAX_COLUMNS` are left out.

        Example:
            >>> x = {"a": [0, 1] * 50, "b": [0, 1] * 50}
            >>> cells = {name: NumericReference.fit(one) for name, one in x.items()}
            >>> found = Together.fit(cells, x, ["a", "b"])
            >>> list(found.pairs), found.tables(found.count(x))[0].tolist()
            ([('a', 'b')], [[50, 0, 0, 0], [0, 0, 0, 0], [0, 0, 50, 0], [0, 0, 0, 0]])
        """
        fitted = {name: _levels(references[name]) for name in order if name in references}
        kept = [(name, levels) for name, levels in fitted.items() if levels is not None][:MAX_COLUMNS]
        bare = cls(tuple(name for name, _ in kept), tuple(levels for _, levels in kept), ())
        return cls(bare.columns, bare.levels, tuple(bare.count(values).tolist()))

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """Each two columns, in the order of the counts."""
        for i, one in enumerate(self.columns):
            for other in self.columns[i + 1 :]:
                yield one, other

    def count(self, values: Mapping[str, Any]) -> Counts:
        """Return int64 counts, flat, in the order of `counts`."""
        width = len(self.columns)
        levels = [_level(one, values[name]) for name, one in zip(self.columns, self.levels, strict=True)]
        if width < 2:
            return np.zeros(0, dtype=np.int64)
        met = np.zeros((width * LEVELS, width * LEVELS), dtype=np.int64)
        for start in range(0, levels[0].size, _ROWS_AT_ONCE):
            bits = _bits([level[start : start + _ROWS_AT_ONCE] for level in levels])
            for row in range(width * LEVELS):
                later = (row // LEVELS + 1) * LEVELS  # the first level of the next column
                met[row, later:] += np.bitwise_count(bits[row] & bits[later:]).sum(axis=1, dtype=np.int64)
        tables = met.reshape(width, LEVELS, width, LEVELS).transpose(0, 2, 1, 3)
        return tables[np.triu_indices(width, k=1)].ravel()

    def tables(self, counts: Counts) -> NDArray[np.int64]:
        """Return counts as (pairs, LEVELS, LEVELS)."""
        return counts.reshape(-1, LEVELS, LEVELS)

    def without(self, names: frozenset[str]) -> "Together":
        """Return what is left when columns are not looked at."""
        kept = [place for place, name in enumerate(self.columns) if name not in names]
        pairs = [not names & {*pair} for pair in self.pairs]
        tables = self.tables(np.asarray(self.counts, dtype=np.int64))[np.asarray(pairs, dtype=bool)]
        columns, levels = (tuple(all_of[place] for place in kept) for all_of in (self.columns, self.levels))
        return Together(columns, levels, tuple(tables.ravel().tolist()))  # type: ignore[arg-type]


def _levels(reference: Reference) -> Levels | None:
    if isinstance(reference, CategoricalReference):
        return CategoricalLevels(reference.names[:_NAMED])
    if not isinstance(reference, NumericReference):
        return None
    if len(reference.edges) < 2:
        return NumericLevels(float("inf"), float("inf"))
    below = np.cumsum(reference.counts[1 : len(reference.edges)])  # below each edge but the first
    total = max(1, sum(reference.counts[1 : 1 + len(reference.edges)]))
    middle, high = (reference.edges[1 + int(np.argmin(np.abs(below / total - share)))] for share in (1 / 3, 2 / 3))
    return NumericLevels(middle, high)


def _bits(levels: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint64]:
    """Return for each level of each column one bit per row, (columns * LEVELS, words).

    To count the bits that two of them share is some twenty times as fast as a product of matrices, and takes no thread.
    """
    bits = np.zeros((len(levels) * LEVELS, (levels[0].size + 63) // 64 * 8), dtype=np.uint8)
    for row in range(bits.shape[0]):
        packed = np.packbits(levels[row // LEVELS] == row % LEVELS)
        bits[row, : packed.size] = packed
    return bits.view(np.uint64)


def _level(levels: Levels, values: Any) -> NDArray[np.uint8]:
    """Return each row's level."""
    if isinstance(levels, NumericLevels):
        numbers, _ = as_numbers(values)
        level = (numbers >= np.float32(levels.middle)).astype(np.uint8) + (numbers >= np.float32(levels.high))
        level[np.isnan(numbers)] = _MISSING
        return level.astype(np.uint8)
    names = as_names(values)
    level = pc.index_in(names, value_set=pa.array(levels.names, pa.string())).fill_null(_NAMED).to_numpy()
    return np.where(names.is_null().to_numpy(zero_copy_only=False), _MISSING, level).astype(np.uint8)
