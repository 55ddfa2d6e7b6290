"""Growth: an entity's record with its newest events at the end of it, as nearly every pushed event comes.

A merge takes a record apart and writes it anew, some hundred microseconds for two hundred events. Here its sections are
copied as they stand, each with what the new events add to it, which takes a quarter of that. What a copy cannot do, an
event out of order, the first null, a sum that needs another scale, is left to `merge`.
"""

import math
import struct
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from falaj.definitions.service_spec import ViewSpec
from falaj.features import layout
from falaj.features.events import STORED_DTYPES, Column, Events
from falaj.features.record import encode_tails
from falaj.features.tiles import edge_of

_FEW = 32
"""More new events than these are merged: by then it costs less to take the record apart."""

_SLACK = 8
"""Events that no instant looks at are dropped, by a merge, once they are an eighth of the record and so many."""

_SAFE = 1 << 62
_TRIES = 32


class _Plan(NamedTuple):
    """What a column's sections need.

    Attributes:
        dtype: The column's type.
        stored: What NumPy calls its stored values.
        size: Bytes of one of them.
        summed: Whether it has running sums.
        tails: Which aggregates of its tails it has.
    """

    dtype: str
    stored: Any
    size: int
    summed: bool
    tails: tuple[str, ...]


class _CannotGrow(Exception):
    """The record has to be merged; never seen outside of this module."""


class Growth:
    """Adds newest events to records of one view.

    Args:
        view: The view.
    """

    def __init__(self, view: ViewSpec) -> None:
        self._view = view
        self._body_at = layout.timestamps_at(len(view.columns))
        self._head = struct.Struct(f"<{self._body_at - 2}q")
        self._takes_latest = layout.takes_latest(view)
        self._plans = []
        for name, dtype in view.columns:
            stored, tails = np.dtype(STORED_DTYPES[dtype]), layout.tails_of(view, name, dtype)
            self._plans.append(_Plan(dtype, stored, stored.itemsize, layout.is_summed(view, name), tails))

    def grow(self, raw: bytes | memoryview, new: Events, *, applied_seq: int, watermark_us: int) -> bytes | None:
        """Return the record with new events, or None where it must be merged.

        Args:
            raw: The present record.
            new: Events to add, in total order, one version each; of none of them the record has another version.
            applied_seq: Up to which `ingest_seq` the result is complete.
            watermark_us: As for `merge`.
        """
        size = layout.WORD * self._body_at
        if self._view.timeless or not 0 < len(new) <= _FEW or len(raw) < size or len(raw) % layout.WORD:
            return None
        raw = memoryview(raw)
        words = raw.cast("q")
        checksums = zlib.crc32(raw[2 * layout.WORD : size]) | zlib.crc32(raw[size:]) << 32
        if words[0] != layout.MAGIC or words[layout.CHECKSUMS] & 0xFFFF_FFFF_FFFF_FFFF != checksums:
            return None  # the merge says what is wrong
        if not self._is_at_the_end(raw, words, new, watermark_us):
            return None
        try:
            return self._grown(_Sections(raw, words, self._body_at), new, max(applied_seq, words[layout.APPLIED_SEQ]))
        except (_CannotGrow, OverflowError):
            return None

    def _is_at_the_end(self, raw: memoryview, words: Sequence[int], new: Events, watermark_us: int) -> bool:
        """Return whether all that is new comes after all there is, and not much is old enough to be dropped."""
        view, start, events = self._view, self._body_at + words[layout.CARRIED], words[layout.EVENTS]
        end, first_us = self._body_at + events, int(new.ts[0])
        if start >= end or first_us <= words[layout.NEWEST] or first_us < words[layout.FLOOR_US]:
            return False
        if int(new.seq.min()) <= words[layout.APPLIED_SEQ]:
            return False
        watermark_us = max(watermark_us, layout.INT64_MIN + view.horizon_us)
        cutoff_us = watermark_us - view.horizon_us
        if view.tile_us is not None:
            edge_us = (watermark_us - view.head_us) // view.tile_us * view.tile_us
            at, size = words[layout.TILES_AT], words[layout.TILES_SIZE]
            cutoff_us = edge_of(raw[layout.WORD * at : layout.WORD * at + size]) if at else words[start]
            if edge_us > cutoff_us or first_us < cutoff_us:
                return False  # something is to be folded
        old = bisect_left(words, cutoff_us, start, end) - start - self._takes_latest
        return old < _SLACK or old * 8 < events

    def _grown(self, old: "_Sections", new: Events, applied_seq: int) -> bytes:
        words, events = old.words, old.words[layout.EVENTS]
        old.extend(self._body_at, layout.WORD * events, new.ts.tobytes())
        latest, slots, complete = [0] * len(self._plans), [], True
        for number, (plan, column) in enumerate(zip(self._plans, new.columns, strict=True)):
            begin = layout.HEADER_WORDS + len(self._plans) + layout.SLOTS * number
            grown = _grown_column(old, plan, words[begin : begin + layout.SLOTS].tolist(), column, events)
            slots += grown
            complete = complete and (column.valid is None or bool(column.valid[-1]))
            if complete:
                latest[number] = _latest(old, plan, grown, column)
        tiles_at, tiles_size = words[layout.TILES_AT], words[layout.TILES_SIZE]
        if tiles_at:
            tiles_at = old.extend(tiles_at, tiles_size, b"")
        created_at, size = words[layout.META_AT], layout.WORD * events
        meta_at = old.extend(created_at, size, new.created.tobytes())
        old.extend(created_at + events, size, new.seq.tobytes())
        if new.identity is not None:
            old.extend(created_at + 2 * events, 2 * size, new.identity.tobytes())
        tail = b"".join(old.parts)
        fields = [events + len(new), applied_seq, words[layout.FLOOR_US], meta_at, old.at, len(slots) // layout.SLOTS]
        fields += [int(new.ts[-1]), complete, words[layout.CARRIED], tiles_at, tiles_size]
        header = self._head.pack(*fields, *latest, *slots)
        checksums = zlib.crc32(header) | zlib.crc32(tail) << 32
        return b"".join((layout.MAGIC.to_bytes(8, "little"), checksums.to_bytes(8, "little"), header, tail))


class _Sections:
    """The sections of a record, and of the one that grows out of it.

    Attributes:
        raw: The present record.
        words: Its words.
        at: The word at which the next section begins.
        parts: What the new one has after its header, so far.
        text_of_last: Where the last text stands, in bytes from the beginning of its section: start and end.
    """

    def __init__(self, raw: memoryview, words: memoryview, at: int) -> None:
        self.raw = raw
        self.words = words
        self.at = at
        self.parts: list[bytes | memoryview] = []
        self.text_of_last = (0, 0)

    def slice(self, at: int, size: int) -> memoryview:
        """Return so many bytes from a word on."""
        return self.raw[layout.WORD * at : layout.WORD * at + size]

    def extend(self, at: int, size: int, more: bytes) -> int:
        """Copy a section of so many bytes, with more after it; return the word at which it now begins."""
        self.parts.append(self.slice(at, size))
        return self.add(more, size)

    def add(self, more: bytes, size: int = 0) -> int:
        """Add bytes that follow on others of a section; return the word at which the section begins."""
        begin, size = self.at, size + len(more)
        self.parts.append(more)
        rest = -size % layout.WORD
        if rest:
            self.parts.append(bytes(rest))
        self.at += layout.words_of(size)
        return begin


def _grown_column(old: _Sections, plan: _Plan, slots: list[int], column: Column, events: int) -> list[int]:
    values = column.values
    if slots[layout.COUNTS_AT]:
        valid = np.ones(len(values), np.bool_) if column.valid is None else column.valid
        counts = (slots[layout.VALUES] + np.cumsum(valid)).astype(np.uint32)
        values = values[valid]
        slots[layout.COUNTS_AT] = old.extend(slots[layout.COUNTS_AT], 4 * (events + 1), counts.tobytes())
    elif column.valid is not None and not column.valid.all():
        raise _CannotGrow
    if plan.dtype == "string":
        return _grown_strings(old, slots, [column.texts[code] for code in values.tolist()])
    before, values_at = slots[layout.VALUES], slots[layout.VALUES_AT]
    slots[layout.VALUES] = before + len(values)
    slots[layout.VALUES_AT] = old.extend(values_at, plan.size * before, values.tobytes())
    if plan.tails and len(values) and (slots[layout.TAILS_AT] or not before):
        known = old.slice(values_at, plan.size * before)
        tails = encode_tails(np.concatenate([np.frombuffer(known, plan.stored), values]), plan.tails)
        slots[layout.TAILS_AT] = 0 if tails is None else old.add(tails)
    elif slots[layout.TAILS_AT]:
        slots[layout.TAILS_AT] = old.extend(slots[layout.TAILS_AT], layout.WORD * before * len(plan.tails), b"")
    if plan.dtype == "float64":
        _grow_float_sums(old, plan, slots, values.tolist())
    elif plan.summed and not slots[layout.FLAGS]:
        last = old.words[slots[layout.SUMS_AT] + before]
        slots[layout.SUMS_AT] = _extend_sums(old, slots[layout.SUMS_AT], before, last, values.tolist())
    return slots


def _grow_float_sums(old: _Sections, plan: _Plan, slots: list[int], values: list[float]) -> None:
    if not slots[layout.FLAGS] & layout.NONFINITE and not all(map(math.isfinite, values)):
        raise _CannotGrow
    if slots[layout.FLAGS] or not plan.summed or not slots[layout.VALUES]:
        return
    if not slots[layout.SUMS_AT]:
        raise _CannotGrow  # the first values decide on the scale
    scale, low_scale = struct.unpack("<2d", struct.pack("<2q", *slots[layout.SCALE : layout.LOW_SCALE + 1]))
    high, low = [], []
    for value in values:
        many = math.trunc(value / scale)  # scales are powers of two: nothing is rounded
        few = (value - many * scale) / low_scale
        if abs(many) >= _SAFE or few != math.trunc(few) or abs(few) >= _SAFE:
            raise _CannotGrow
        high.append(many)
        low.append(math.trunc(few))
    before = slots[layout.VALUES] - len(values)
    for slot, terms in ((layout.SUMS_AT, high), (layout.LOW_SUMS_AT, low)):
        slots[slot] = _extend_sums(old, slots[slot], before, old.words[slots[slot] + before], terms)


def _extend_sums(old: _Sections, at: int, before: int, total: int, terms: Sequence[int]) -> int:
    sums = []
    for term in terms:
        total += term
        if abs(total) >= _SAFE:
            raise _CannotGrow
        sums.append(total)
    return old.extend(at, layout.WORD * (before + 1), struct.pack(f"<{len(sums)}q", *sums))


def _grown_strings(old: _Sections, slots: list[int], texts: list[str]) -> list[int]:
    before, offsets_at, text_at = slots[layout.VALUES], slots[layout.SCALE], slots[layout.LOW_SCALE]
    entries = old.slice(offsets_at, layout.WORD * (text_at - offsets_at)).cast("I")
    # The last word may be filled up with a zero; no offset but the first ones of an empty text is one.
    known = 0 if not before else len(entries) - 1 - (len(entries) > 2 and not entries[-1])
    offsets = entries[: known + 1]
    blob = bytes(old.slice(text_at, offsets[-1]))
    added: dict[bytes, int] = {}
    codes = []
    for text in map(str.encode, texts):
        code = added.get(text)
        if code is None:
            code = _place_of(text, blob, offsets)
        if code is None:
            code = added[text] = known + len(added)
        codes.append(code)
    slots[layout.VALUES] = before + len(codes)
    slots[layout.VALUES_AT] = old.extend(slots[layout.VALUES_AT], 4 * before, struct.pack(f"<{len(codes)}I", *codes))
    ends: list[int] = []
    for text in added:
        ends.append((ends[-1] if ends else offsets[-1]) + len(text))
    slots[layout.SCALE] = old.extend(offsets_at, 4 * (known + 1), struct.pack(f"<{len(ends)}I", *ends))
    slots[layout.LOW_SCALE] = old.extend(text_at, len(blob), b"".join(added))
    if codes:
        bounds = [*offsets[-1:], *ends]
        place, last = codes[-1], codes[-1] - known
        old.text_of_last = (offsets[place], offsets[place + 1]) if last < 0 else (bounds[last], bounds[last + 1])
    return slots


def _place_of(text: bytes, blob: bytes, offsets: Sequence[int]) -> int | None:
    """Return which of the texts it is; None if none of them."""
    if not text:
        return next((place for place in range(len(offsets) - 1) if offsets[place] == offsets[place + 1]), None)
    at = -1
    for _ in range(_TRIES):
        at = blob.find(text, at + 1)
        if at < 0:
            return None
        place = bisect_left(offsets, at)
        place += place + 1 < len(offsets) and offsets[place + 1] == at  # an empty text stands where the next one begins
        if place + 1 < len(offsets) and offsets[place] == at and offsets[place + 1] == at + len(text):
            return place
    raise _CannotGrow


def _latest(old: _Sections, plan: _Plan, slots: list[int], column: Column) -> int:
    if plan.dtype == "string":
        start, end = old.text_of_last
        return layout.WORD * slots[layout.LOW_SCALE] + start << 32 | end - start
    return int(column.values[-1:].view(np.int64)[0]) if plan.dtype == "float64" else int(column.values[-1])
