"""References: what a model version's traffic is compared with; one artifact a version."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from falaj.kernel.digest import digest_bytes
from falaj.kernel.errors import CorruptionError
from falaj.monitoring.calibration import Calibration
from falaj.monitoring.categorical_reference import categories_of
from falaj.monitoring.column_values import as_names
from falaj.monitoring.histogram import Counts
from falaj.monitoring.numeric_reference import NumericReference
from falaj.monitoring.reference import Reference, fit_reference
from falaj.monitoring.together import Together

SCORE = "score"
"""The column that holds the model's output."""
TOGETHER = "*"
"""The key of the counts of pairs; no column is called so."""
MAX_SEGMENTS = 20
MIN_SEGMENT_ROWS = 100
_SEGMENT_BINS = 64

Origin = Literal["test", "training"]


class References(msgspec.Struct, frozen=True):
    """The frozen cells of a sample.

    Attributes:
        columns: Column to its cells, `SCORE` among them.
        segments: "column=value" to the cells of that segment's own rows.
        together: How pairs of inputs go together; None where it is not looked at.
        calibration: How often each score came true; None where no outcomes were given.
    """

    columns: dict[str, Reference]
    segments: dict[str, dict[str, Reference]] = {}
    together: Together | None = None
    calibration: Calibration | None = None

    def cells(self) -> dict[str, tuple[int, ...]]:
        """Return the sample's own counts by key: a column, "segment/column", or `TOGETHER`."""
        found = {name: one.counts for name, one in self.columns.items()}
        for segment, columns in self.segments.items():
            found |= {f"{segment}/{name}": one.counts for name, one in columns.items()}
        return found if self.together is None else found | {TOGETHER: self.together.counts}

    def count(self, columns: Mapping[str, Any]) -> dict[str, Counts]:
        """Count rows in the cells.

        Args:
            columns: Column to values, all of one length; more columns than are watched are ignored.

        Returns:
            Int64 counts by the keys of `cells`.
        """
        found = {name: one.count(columns[name]) for name, one in self.columns.items()}
        names: dict[str, pa.StringArray] = {}
        for segment, references in self.segments.items():
            by, _, value = segment.partition("=")
            if by not in names:
                names[by] = as_names(columns[by])
            rows = _rows_of(names[by], value)
            found |= {f"{segment}/{name}": one.count(_taken(columns[name], rows)) for name, one in references.items()}
        return found if self.together is None else found | {TOGETHER: self.together.count(columns)}

    def watching(self, *, without: Iterable[str] = (), segments: Iterable[str] | None = None) -> "References":
        """Return the part that is looked at.

        Args:
            without: Columns that are not.
            segments: The columns by which segments are made; all that are here by default.
        """
        gone = frozenset(without)
        by = {name.partition("=")[0] for name in self.segments} if segments is None else set(segments)
        kept = {
            segment: _less(columns, gone)
            for segment, columns in self.segments.items()
            if segment.partition("=")[0] in by - gone
        }
        together = None if self.together is None else self.together.without(gone)
        scored = None if SCORE in gone else self.calibration
        return References(_less(self.columns, gone), kept, together, scored)

    def by_scores_of(self, other: "References") -> "References":
        """Return these cells with the score's, and the calibration, of another sample.

        Args:
            other: A sample that the model was not trained on: of rows it has seen a model is too sure.
        """
        scores = {segment: columns[SCORE] for segment, columns in other.segments.items()}
        segments = {
            segment: columns | ({SCORE: scores[segment]} if segment in scores else {})
            for segment, columns in self.segments.items()
        }
        columns = self.columns | {SCORE: other.columns[SCORE]}
        return References(columns, segments, self.together, other.calibration)


def fit_references(
    columns: Mapping[str, Any],
    *,
    segments: Sequence[str] = (),
    order: Sequence[str] | None = None,
    outcomes: NDArray[np.bool_] | None = None,
    threshold: float | None = None,
    seed: int = 0,
) -> References:
    """Freeze the cells of several columns.

    Give the scores of rows that the model was not trained on: a model is surer of those it has seen, and the first
    window of traffic would look drifted.

    Args:
        columns: Column name to values; `SCORE` for the model's output.
        segments: Columns whose commonest values are segments, judged by themselves.
        order: The inputs, the most important first, as pairs are looked at among the first few only; none where
            it is empty, and all by default.
        outcomes: Whether each row was a positive, (rows,), for the calibration of the score.
        threshold: From which score on a decision is positive; a cell of the score begins there.
        seed: Chooses the halves of categorical samples.

    Example:
        >>> found = fit_references({"amount": [1.0, 2.0], SCORE: [0.1, 0.2]})
        >>> sorted(found.cells())
        ['*', 'amount', 'score']
    """
    at = {SCORE: threshold}
    fitted = {name: fit_reference(values, seed=seed, at=at.get(name)) for name, values in sorted(columns.items())}
    inputs = [name for name in fitted if name != SCORE] if order is None else list(order)
    calibration = None
    if outcomes is not None:
        cells = fitted[SCORE]
        assert isinstance(cells, NumericReference)
        calibration = Calibration.fit(cells, columns[SCORE], outcomes, threshold=threshold)
    return References(
        fitted,
        {segment: one for by in segments for segment, one in _segments(by, columns, seed).items()},
        Together.fit(fitted, columns, inputs) if inputs else None,
        calibration,
    )


def references_to_msgpack(references: Mapping[Origin, References]) -> bytes:
    """Return references by origin as MessagePack, the same bytes for the same references."""
    return msgspec.msgpack.encode(dict(references), order="deterministic")


def references_from_msgpack(raw: bytes) -> dict[Origin, References]:
    """Return references by origin.

    Raises:
        CorruptionError: The bytes are not such an artifact.
    """
    try:
        return msgspec.msgpack.decode(raw, type=dict[Origin, References])
    except msgspec.DecodeError as error:
        raise CorruptionError(
            f"reference histograms cannot be read: {error}", hint="train the version again; nothing is judged by them"
        ) from None


def references_digest(references: References) -> str:
    """Return the digest under which counts over these cells belong together."""
    return digest_bytes(references_to_msgpack({"test": references}))


def _segments(by: str, columns: Mapping[str, Any], seed: int) -> dict[str, dict[str, Reference]]:
    """Freeze the cells of the commonest values' own rows."""
    common = sorted(categories_of(columns[by])[0].items(), key=lambda item: (-item[1], item[0]))[:MAX_SEGMENTS]
    names, found = as_names(columns[by]), {}
    for value, number in common:
        if number >= MIN_SEGMENT_ROWS:
            rows = _rows_of(names, value)
            found[f"{by}={value}"] = {
                name: fit_reference(_taken(values, rows), seed=seed, max_bins=_SEGMENT_BINS)
                for name, values in sorted(columns.items())
                if name != by
            }
    return found


def _rows_of(names: pa.StringArray, value: str) -> NDArray[np.int64]:
    return np.flatnonzero(pc.equal(names, value).fill_null(False).to_numpy(zero_copy_only=False))  # noqa: FBT003


def _taken(values: Any, rows: NDArray[np.int64]) -> Any:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.take(pa.array(rows))
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows.tolist()]


def _less(columns: Mapping[str, Reference], gone: frozenset[str]) -> dict[str, Reference]:
    return {name: one for name, one in columns.items() if name not in gone}
