"""ViewReader: all features of a view at T, from an entity record's bytes."""

import struct
import zlib
from bisect import bisect_left, bisect_right
from typing import Any

from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features import layout
from falaj.features.entity_key import KeyEncoder
from falaj.features.status import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, OUTSIDE_RETENTION, PRESENT
from falaj.features.windows import RecordView, reader_of
from falaj.kernel.errors import CorruptionError

_CRC = 0xFFFF_FFFF
_BEFORE, _UPTO = -1, -2
"""Kinds of spans of one event: the latest strictly before T, and the latest not after it."""
_WINDOW = 0


class ViewReader:
    """Computes a view's features from records.

    Args:
        view: The view.
    """

    def __init__(self, view: ViewSpec) -> None:
        self.view = view
        self.name = view.name
        self.place = KeyEncoder(view)
        self.names = tuple(view.column_name(f.name) for f in view.features)
        self._ts_at = layout.timestamps_at(len(view.columns))
        shapes = "".join("5q2dq" if dtype == "float64" else "8q" for _, dtype in view.columns)
        self._head = struct.Struct("<8q" + shapes)
        slots = {name: layout.HEADER_WORDS + layout.SLOTS * i for i, (name, _) in enumerate(view.columns)}
        dtypes = dict(view.columns)
        asked = tuple(dict.fromkeys(_span_of(feature) for feature in view.features))
        self._spans = tuple((kind, view.ttl_us if age_us is None else age_us) for kind, age_us in asked)
        self._reads_now = any(kind == _UPTO for kind, _ in asked)
        self._features = tuple(
            (
                asked.index(_span_of(f)),
                reader_of(f, *(("int64", 0) if f.column is None else (dtypes[f.column], slots[f.column]))),
            )
            for f in view.features
        )
        self._absent = [(0 if f.function == "count" else None) for f in view.features]

    def read_absent(self, values: list[Any], statuses: list[str]) -> None:
        """Append the features of an entity that has no record."""
        values += self._absent
        statuses += [NOT_FOUND] * len(self._absent)

    def read(self, raw: bytes | memoryview, at_us: int, values: list[Any], statuses: list[str]) -> int:
        """Append the features at T.

        Args:
            raw: The record.
            at_us: T, in microseconds.
            values: Gets one value per feature.
            statuses: Gets one status per feature.

        Returns:
            The record's applied `ingest_seq`.

        Raises:
            CorruptionError: The record is not one, or its header fails its check.
        """
        record = self._open(raw)
        spans = self._find_spans(record, layout.INT64_MAX if self.view.timeless else at_us)
        for span, reader in self._features:
            start, end, refused = spans[span]
            if refused is not None:
                values.append(None)
                statuses.append(refused)
                continue
            value = reader(record, start, end)
            values.append(value)
            statuses.append(PRESENT if value is not None else NULL_VALUE if end > start else NOT_FOUND)
        applied_seq: int = record.head[layout.APPLIED_SEQ]
        return applied_seq

    def _open(self, raw: bytes | memoryview) -> RecordView:
        try:
            head = self._head.unpack_from(raw)
            record = RecordView(raw, head)
        except (struct.error, TypeError):
            raise self._damaged() from None
        header_crc = zlib.crc32(memoryview(raw)[16 : self._head.size])
        if head[0] != layout.MAGIC or head[layout.WORDS] * layout.WORD != len(raw):
            raise self._damaged()
        if head[layout.CHECKSUMS] & _CRC != header_crc:
            raise self._damaged()
        return record

    def _damaged(self) -> CorruptionError:
        return CorruptionError(
            f"online store: a record of view {self.view.name!r} is damaged and was not used",
            hint="run 'falaj materialise' after removing the store, and check the disk",
        )

    def _find_spans(self, record: RecordView, at_us: int) -> list[tuple[int, int, str | None]]:
        """Return per span the first event, the one after the last, and why it cannot be answered, if so."""
        words, ts_at, floor_us = record.words, self._ts_at, record.head[layout.FLOOR_US]
        end_at = ts_at + record.head[layout.EVENTS]
        before_at = bisect_left(words, at_us, ts_at, end_at)
        upto_at = bisect_right(words, at_us, before_at, end_at) if self._reads_now else before_at
        before = before_at - ts_at
        spans: list[tuple[int, int, str | None]] = []
        for kind, age_us in self._spans:
            if kind == _WINDOW:
                start = bisect_left(words, at_us - age_us, ts_at, before_at) - ts_at  # type: ignore[operator]
                refused = None if at_us - age_us >= floor_us else OUTSIDE_RETENTION  # type: ignore[operator]
                spans.append((start, before, refused))
                continue
            latest = (before_at if kind == _BEFORE else upto_at) - 1
            if latest >= ts_at:
                old = age_us is not None and words[latest] < at_us - age_us
                spans.append((latest - ts_at, latest - ts_at + 1, OUTSIDE_MAX_AGE if old else None))
            elif floor_us != layout.NOTHING_DROPPED and (age_us is None or at_us - age_us < floor_us):
                spans.append((0, 0, OUTSIDE_RETENTION))
            else:
                spans.append((0, 0, NOT_FOUND))
        return spans


def _span_of(feature: FeatureSpec) -> tuple[int, int | None]:
    """Return the kind of a feature's span and its window; features of equal spans share one search."""
    if feature.function == "column":
        return _UPTO, None
    return _BEFORE if feature.function == "last" else _WINDOW, feature.window_us
