"""BulkRecords: the records of many entities that the store does not know yet, all encoded at once.

A first materialisation and a backfill write a record for every entity. One by one each costs some fifty microseconds of
calls into NumPy; laid out together, a few. The bytes are those of `record.encode`, to the last one. Where a record
needs what is not laid out here (texts, nulls, tails, sums that are not exact), its place is left empty.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.service_spec import ViewSpec
from falaj.features import layout
from falaj.features.events import Events, Int64s

_WORDS = ("float64", "int64", "timestamp")


@dataclass(frozen=True, slots=True)
class EntitySlices:
    """Events of many entities, and their order: one entity after the other, each in total order.

    Attributes:
        numbers: By encoded key, which slice is the entity's.
        events: All events, in any order.
        order: Their positions in order; of most of them nothing else is read.
        starts: Where each slice begins.
        counts: How many events it has.
    """

    numbers: dict[bytes, int]
    events: Events
    order: Int64s
    starts: Int64s
    counts: Int64s

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.numbers)

    def __contains__(self, key: bytes) -> bool:
        return key in self.numbers

    def slice_of(self, key: bytes) -> Events | None:
        """Return the events of one entity; None when it has none."""
        number = self.numbers.get(key)
        if number is None:
            return None
        start = int(self.starts[number])
        return self.events.take(self.order[start : start + int(self.counts[number])])


def encode_new(
    view: ViewSpec, slices: EntitySlices, keys: Sequence[bytes], *, applied_seq: int, watermark_us: int
) -> list[bytes | None]:
    """Return the records of entities that the store does not know; None where `merge` has to be asked.

    Args:
        view: The view.
        slices: Their events, one version each.
        keys: Which entities.
        applied_seq: Up to which `ingest_seq` the records are complete.
        watermark_us: As for `merge`.
    """
    if not _is_plain(view):
        return [None] * len(keys)
    numbers = np.array([slices.numbers[key] for key in keys])
    counts, starts = slices.counts[numbers], slices.starts[numbers]
    rows = _spans(starts, counts)
    ts = slices.events.ts[slices.order[rows]]
    first = np.cumsum(counts) - counts
    if view.timeless:
        dropped = np.zeros_like(counts) if view.has_id else counts - 1
        floors = np.full(len(counts), layout.NOTHING_DROPPED)
    else:
        cutoff_us = max(watermark_us, layout.INT64_MIN + view.horizon_us) - view.horizon_us
        dropped = np.add.reduceat((ts < cutoff_us).astype(np.int64), first)
        if layout.takes_latest(view):
            dropped = np.maximum(dropped - 1, 0)
        floors = np.where(dropped > 0, ts[np.maximum(first + dropped - 1, 0)] + 1, layout.NOTHING_DROPPED)
    left = counts - dropped
    some = left > 0
    kept = _spans((starts + dropped)[some], left[some])
    found = iter(encode_many(view, slices.events.take(slices.order[kept]), left[some], floors[some], applied_seq))
    return [next(found) if there else None for there in some.tolist()]


def by_entity(entity: Int64s, keys: Sequence[bytes], events: Events) -> EntitySlices:
    """Return events grouped by their entities, each in total order.

    Args:
        entity: Per event the position of its key in `keys`; -1 where the key is null.
        keys: The distinct keys, encoded.
        events: The events.
    """
    order = _total_order(entity, events)
    order = order[np.searchsorted(entity[order], 0) :]  # those without a key come first
    sorted_by = entity[order]
    starts = np.flatnonzero(np.r_[True, sorted_by[1:] != sorted_by[:-1]]) if len(order) else np.empty(0, np.int64)
    numbers = {keys[code]: number for number, code in enumerate(sorted_by[starts].tolist())}
    return EntitySlices(numbers, events, order, starts, np.diff(np.r_[starts, len(order)]))


def _total_order(entity: Int64s, events: Events) -> Int64s:
    """Return the positions of events by entity, then in the total order.

    Entity and instant are laid into one whole number, which sorts several times as fast; what else decides is looked at
    only where they are equal.
    """
    ts = events.ts
    first, last = (int(ts.min()), int(ts.max())) if len(ts) else (0, 0)
    bits = (last - first + 1).bit_length()
    if len(ts) and bits + (int(entity.max()) + 1).bit_length() > 62:
        return np.lexsort((events.seq, events.created, ts, entity))
    places = ((entity + 1) << bits) + (ts - first)
    order = np.argsort(places)
    there = places[order]
    equal = there[1:] == there[:-1]
    if equal.any():
        tied = np.flatnonzero(np.r_[equal, False] | np.r_[False, equal])
        rows = order[tied]
        order[tied] = rows[np.lexsort((events.seq[rows], events.created[rows], places[rows]))]
    return order


def _is_plain(view: ViewSpec) -> bool:
    """Return whether a view's records hold nothing that is not laid out here."""
    if view.tile_us is not None or any(d not in _WORDS or layout.tails_of(view, n, d) for n, d in view.columns):
        return False
    # what stands below the floor at any age, see `merge`
    return not any(
        f.window_us is None and (f.function in ("first", "last_non_null") or f.rows is not None) for f in view.features
    )


def _spans(starts: Int64s, counts: Int64s) -> Int64s:
    """Return the positions of all spans, one after the other."""
    before = np.cumsum(counts) - counts
    spans: Int64s = np.arange(int(counts.sum())) + np.repeat(starts - before, counts)
    return spans


class Layout:
    """Where each event of each record stands in one long array of words."""

    def __init__(self, view: ViewSpec, counts: Int64s) -> None:
        self.header = layout.timestamps_at(len(view.columns))
        self.counts = counts
        words = {"float64": 2}
        self.sums = [words.get(dtype, 1) if layout.is_summed(view, name) else 0 for name, dtype in view.columns]
        meta = 4 if view.has_id else 2
        sizes = self.header + counts * (1 + len(view.columns) + meta + sum(self.sums)) + sum(self.sums)
        self.ends = np.cumsum(sizes)
        self.starts = self.ends - sizes
        self.total = int(self.ends[-1]) if len(sizes) else 0
        self.record = np.repeat(np.arange(len(counts)), counts)
        self.rank = np.arange(len(self.record)) - (np.cumsum(counts) - counts)[self.record]


def encode_many(view: ViewSpec, events: Events, counts: Int64s, floors: Int64s, applied_seq: int) -> list[bytes | None]:
    """Return a record for each entity; None where `record.encode` has to be asked.

    Args:
        view: The view.
        events: The events of all entities, one entity after the other, each in total order.
        counts: How many events each entity has, at least one.
        floors: Each record's floor, in microseconds.
        applied_seq: Up to which `ingest_seq` the records are complete.
    """
    if not len(counts):
        return []
    at = Layout(view, counts)
    words = np.zeros(at.total, np.int64)
    good = np.ones(len(counts), np.bool_)
    base = at.starts[at.record] + at.rank
    here = np.full(len(counts), at.header, np.int64)  # where the next section of each record begins
    words[base + at.header] = events.ts
    here += counts
    last = np.cumsum(counts) - 1
    for number, column in enumerate(events.columns):
        if column.valid is not None:
            good &= np.logical_and.reduceat(column.valid, last - counts + 1)
        bits = column.values.view(np.int64)
        words[at.starts + layout.HEADER_WORDS + number] = bits[last]
        slot = at.starts + layout.HEADER_WORDS + len(events.columns) + layout.SLOTS * number
        words[slot + layout.VALUES_AT] = here
        words[slot + layout.VALUES] = counts
        words[base + here[at.record]] = bits
        here += counts
        if column.values.dtype == np.float64:
            good &= np.logical_and.reduceat(np.isfinite(column.values), last - counts + 1)
        if at.sums[number] == 1:
            totals = np.add.reduceat(np.abs(column.values.astype(np.float64)), last - counts + 1)
            good &= totals < 1 << 62
            words[slot + layout.SUMS_AT] = here
            here = _running(words, at, base, here, column.values.astype(np.int64))
        elif at.sums[number] == 2:
            here = _float_sums(words, at, base, here, column.values, slot, good)
    meta_at = here.copy()
    for part in (events.created, events.seq):
        words[base + here[at.record]] = part
        here += counts
    if events.identity is not None:
        pairs = events.identity.view(np.int64).reshape(-1, 2)
        place = at.starts[at.record] + here[at.record] + 2 * at.rank
        words[place], words[place + 1] = pairs[:, 0], pairs[:, 1]
        here += 2 * counts
    words[at.starts + layout.EVENTS] = counts
    words[at.starts + layout.APPLIED_SEQ] = applied_seq
    words[at.starts + layout.FLOOR_US] = floors
    words[at.starts + layout.META_AT] = meta_at
    words[at.starts + layout.WORDS] = here
    words[at.starts + layout.COLUMNS] = len(view.columns)
    words[at.starts + layout.NEWEST] = events.ts[last]
    words[at.starts + layout.COMPLETE] = 1
    return _sealed(words, at, good)


def _running(words: Int64s, at: Layout, base: Int64s, here: Int64s, values: Int64s) -> Int64s:
    """Write running sums of each record's values, zero first; whole numbers wrap around, so one sum serves all."""
    total = np.cumsum(values)
    before = np.r_[0, total][np.cumsum(at.counts) - at.counts]
    words[base + here[at.record] + 1] = total - before[at.record]
    return here + at.counts + 1


def _float_sums(
    words: Int64s, at: Layout, base: Int64s, here: Int64s, values: NDArray[np.float64], slot: Int64s, good: Any
) -> Int64s:
    """Write what `record._running_exactly` says, of all records at once."""
    first = np.cumsum(at.counts) - at.counts
    finite = np.where(np.isfinite(values), values, 0.0)
    mantissa, exponent = np.frexp(finite)
    nonzero = mantissa != 0
    big = 1 << 20
    top = np.maximum.reduceat(np.where(nonzero, exponent, -big), first)
    low = np.minimum.reduceat(np.where(nonzero, exponent, big), first)
    top, unit = np.where(top == -big, 0, top), np.where(low == big, 0, low) - 53
    bits = 62 - np.frexp(at.counts.astype(np.float64))[1]
    good &= (top - unit <= 2 * bits) & (unit >= layout.LEAST_UNIT)
    unit = np.minimum(unit, np.maximum(top - 2 * bits + layout.SPARE_BITS, layout.LEAST_UNIT))
    middle = unit + bits
    unit, middle = np.where(good, unit, 0), np.where(good, middle, 0)
    finite = np.where(good[at.record], finite, 0.0)
    high = np.trunc(np.ldexp(finite, -middle[at.record]))
    rest = np.ldexp(finite - np.ldexp(high, middle[at.record]), -unit[at.record])
    words[slot + layout.SUMS_AT] = here
    here = _running(words, at, base, here, high.astype(np.int64))
    words[slot + layout.LOW_SUMS_AT] = here
    here = _running(words, at, base, here, rest.astype(np.int64))
    words[slot + layout.SCALE] = np.ldexp(1.0, middle).view(np.int64)
    words[slot + layout.LOW_SCALE] = np.ldexp(1.0, unit).view(np.int64)
    return here


def _sealed(words: Int64s, at: Layout, good: NDArray[np.bool_]) -> list[bytes | None]:
    words[at.starts] = layout.MAGIC
    starts, ends = (layout.WORD * at.starts).tolist(), (layout.WORD * at.ends).tolist()
    raw = words.data.cast("B")
    head, crc = layout.WORD * at.header, zlib.crc32
    after = 2 * layout.WORD
    sums = [
        crc(raw[start + after : start + head]) | crc(raw[start + head : end]) << 32
        for start, end in zip(starts, ends, strict=True)
    ]
    words[at.starts + layout.CHECKSUMS] = np.array(sums, np.uint64).view(np.int64)
    return [
        bytes(raw[start:end]) if fine else None for start, end, fine in zip(starts, ends, good.tolist(), strict=True)
    ]
