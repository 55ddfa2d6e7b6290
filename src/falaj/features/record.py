"""Record: one entity's events of a view as bytes; `layout` says where everything stands."""

import itertools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.service_spec import ViewSpec
from falaj.features import layout
from falaj.features.events import STORED_DTYPES, Column, Events, Int64s
from falaj.features.tiles import Tiles, decode_tiles, encode_tiles
from falaj.kernel.errors import CorruptionError


@dataclass(frozen=True, slots=True)
class EntityRecord:
    """What a record holds.

    Attributes:
        events: The entity's events in total order, one version each.
        applied_seq: All events of the entity up to this `ingest_seq` are in it.
        floor_us: Every event at or after this instant is in it; older ones may have been pruned.
        carried: How many of the first events are below the floor, each kept because some feature takes a single row
            at any age.
        tiles: What sawtooth windows keep of older events; None when there are none.
    """

    events: Events
    applied_seq: int
    floor_us: int = layout.NOTHING_DROPPED
    carried: int = 0
    tiles: Tiles | None = None


def encode(view: ViewSpec, record: EntityRecord) -> bytes:
    """Return a record as bytes.

    Args:
        view: The view, which says what its columns are read for.
        record: The events must be in total order.
    """
    events = record.events
    body = _Body(layout.timestamps_at(len(view.columns)))
    body.add(events.ts)
    slots = np.zeros((len(view.columns), layout.SLOTS), np.int64)
    latest = np.zeros(len(view.columns), np.int64)
    complete = len(events) > 0
    for number, ((name, dtype), column) in enumerate(zip(view.columns, events.columns, strict=True)):
        tails = layout.tails_of(view, name, dtype)
        _encode_column(body, slots[number], column, dtype, summed=layout.is_summed(view, name), tails=tails)
        complete = complete and (column.valid is None or bool(column.valid[-1]))
        if complete:
            latest[number] = _latest(body, slots[number], column.values[-1:], dtype)
    tiles = b"" if record.tiles is None else encode_tiles(record.tiles)
    tiles_at = body.add(tiles) if tiles else 0
    meta_at = body.add(events.created)
    body.add(events.seq)
    if events.identity is not None:
        body.add(events.identity)
    tail = b"".join(body.parts)
    newest = int(events.ts[-1]) if len(events) else layout.INT64_MIN
    fields = [len(events), record.applied_seq, record.floor_us, meta_at, body.at, len(view.columns), newest, complete]
    fields += [record.carried, tiles_at, len(tiles)]
    header = np.array(fields, np.int64).tobytes() + latest.tobytes() + slots.tobytes()
    checksums = zlib.crc32(header) | zlib.crc32(tail) << 32
    return layout.MAGIC.to_bytes(8, "little") + checksums.to_bytes(8, "little") + header + tail


def decode(view: ViewSpec, raw: bytes | memoryview) -> EntityRecord:
    """Return what the bytes hold.

    Raises:
        CorruptionError: They fail their checks.
    """
    if len(raw) % layout.WORD or len(raw) < layout.WORD * layout.timestamps_at(len(view.columns)):
        raise damaged(view)
    words = np.frombuffer(raw, np.int64)
    body_at = layout.timestamps_at(len(view.columns))
    header_crc, body_crc = zlib.crc32(words[2:body_at].data), zlib.crc32(words[body_at:].data)
    checksums = int(words[layout.CHECKSUMS]) & 0xFFFF_FFFF_FFFF_FFFF
    if int(words[0]) != layout.MAGIC or checksums != header_crc | body_crc << 32:
        raise damaged(view)
    n = int(words[layout.EVENTS])
    slots = words[layout.HEADER_WORDS + len(view.columns) : body_at].reshape(-1, layout.SLOTS)
    columns = tuple(_decode_column(words, row, n, dtype) for row, (_, dtype) in zip(slots, view.columns, strict=True))
    meta_at = int(words[layout.META_AT])
    created, seq = words[meta_at : meta_at + n], words[meta_at + n : meta_at + 2 * n]
    identity = words[meta_at + 2 * n : meta_at + 4 * n].view("V16") if view.has_id else None
    events = Events(words[body_at : body_at + n], created, seq, identity, columns)
    tiles_at, tiles_size = int(words[layout.TILES_AT]), int(words[layout.TILES_SIZE])
    tiles = decode_tiles(words[tiles_at:meta_at].tobytes()[:tiles_size]) if tiles_at else None
    applied_seq, floor_us, carried = (int(words[at]) for at in (layout.APPLIED_SEQ, layout.FLOOR_US, layout.CARRIED))
    return EntityRecord(events, applied_seq, floor_us, carried, tiles)


def encode_tails(values: NDArray[Any], tails: Sequence[str]) -> bytes | None:
    """Return what the reader would otherwise compute of each tail of the values; None where floats cannot hold it.

    Args:
        values: At least one.
        tails: Which aggregates, see `layout.tails_of`.
    """
    # Not by absolute values: that of the least whole number does not fit, and is negative.
    if "std" in tails and values.dtype == np.int64 and max(-int(values.min()), int(values.max())) >= _EXACT_FLOATS:
        return None
    parts = [_TAILS[function](values[::-1])[::-1] for function in tails]
    return b"".join(part.tobytes() for part in parts) if all(np.isfinite(part).all() for part in parts) else None


def damaged(view: ViewSpec) -> CorruptionError:
    """Return the error for a record that fails its checks."""
    return CorruptionError(
        f"online store: a record of view {view.name!r} is damaged and was not used",
        hint="run 'falaj features materialise' after removing the store, and check the disk",
    )


class _Body:
    """The sections after the header; each begins at a word."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.parts: list[bytes] = []
        self.text_of_last = (0, 0)

    def add(self, array: NDArray[Any] | bytes) -> int:
        raw = array if isinstance(array, bytes) else array.tobytes()
        at = self.at
        self.parts.append(raw)
        rest = -len(raw) % layout.WORD
        if rest:
            self.parts.append(bytes(rest))
        self.at += layout.words_of(len(raw))
        return at


def _latest(body: _Body, slots: Int64s, value: NDArray[Any], dtype: str) -> int:
    """Return the newest value as one word; for a text, its place and its length, both in bytes."""
    if dtype == "string":
        start, end = body.text_of_last
        return int(slots[layout.LOW_SCALE] * layout.WORD + start) << 32 | end - start
    return int(value.view(np.int64)[0]) if dtype == "float64" else int(value[0])


def _encode_column(
    body: _Body, slots: Int64s, column: Column, dtype: str, *, summed: bool, tails: tuple[str, ...]
) -> None:
    values = column.values
    if column.valid is not None and not column.valid.all():
        counts = np.zeros(len(values) + 1, np.uint32)
        np.cumsum(column.valid, out=counts[1:])
        slots[layout.COUNTS_AT] = body.add(counts)
        values = values[column.valid]
    slots[layout.VALUES] = len(values)
    if dtype == "string":
        _encode_strings(body, slots, values, column.texts)
        return
    slots[layout.VALUES_AT] = body.add(values)
    written = encode_tails(values, tails) if tails and len(values) else None
    if written is not None:
        slots[layout.TAILS_AT] = body.add(written)
    if dtype == "float64":
        _encode_float_sums(body, slots, values, summed=summed)
    elif summed:
        total = float(np.abs(values.astype(np.float64)).sum())
        if total < 1 << 62:
            slots[layout.SUMS_AT] = body.add(_running(values.astype(np.int64)))
        else:
            slots[layout.FLAGS] = layout.DIRECT


def _encode_strings(body: _Body, slots: Int64s, codes: NDArray[Any], known: Sequence[str]) -> None:
    if len(known) > len(codes):
        used, codes = np.unique(codes, return_inverse=True)
        known = [known[code] for code in used.tolist()]
    else:
        there = np.bincount(codes, minlength=len(known)) > 0
        if not there.all():
            codes, known = (np.cumsum(there) - 1)[codes], list(itertools.compress(known, there.tolist()))
    slots[layout.VALUES_AT] = body.add(codes.astype(np.uint32, copy=False))
    texts = [text.encode() for text in known]
    offsets = np.zeros(len(texts) + 1, np.uint32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    slots[layout.SCALE] = body.add(offsets)
    slots[layout.LOW_SCALE] = body.add(b"".join(texts))
    if len(codes):
        body.text_of_last = int(offsets[codes[-1]]), int(offsets[codes[-1] + 1])


def _spreads(backwards: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sample standard deviation of the first, the first two, ... values; zero for one.

    Distances are taken from the first value, which is in every span: so their squares sum to no more than some n times
    what is wanted, and little is lost in the difference, wherever the values lie.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is not written
        distances = (backwards - backwards[0]).astype(np.float64)
        count = np.arange(1, len(backwards) + 1)
        total = np.cumsum(distances)
        squares = np.cumsum(distances * distances) - total * total / count
        spreads: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0.0) / np.maximum(count - 1, 1))
    return spreads


_EXACT_FLOATS = 1 << 53

_TAILS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "min": np.minimum.accumulate,
    "max": np.maximum.accumulate,
    "std": _spreads,
}


def _encode_float_sums(body: _Body, slots: Int64s, values: NDArray[np.float64], *, summed: bool) -> None:
    finite = bool(np.isfinite(values).all())
    if not finite:
        slots[layout.FLAGS] = layout.NONFINITE | layout.DIRECT
    elif summed and len(values):
        exact = _running_exactly(values)
        if exact is None:
            slots[layout.FLAGS] = layout.DIRECT
            return
        high, low, *scales = exact
        slots[layout.SUMS_AT] = body.add(high)
        slots[layout.LOW_SUMS_AT] = body.add(low)
        slots[layout.SCALE : layout.LOW_SCALE + 1] = np.array(scales).view(np.int64)


def _running(values: Int64s) -> Int64s:
    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def _running_exactly(values: NDArray[np.float64]) -> tuple[Int64s, Int64s, float, float] | None:
    """Return running sums of floats as two whole numbers each, and what to multiply them by.

    Every finite float is a whole number of units of the last bit of the smallest one. Where that number fits into
    two int64 with room for their sum, running sums and their differences are exact, so a window's sum is rounded
    only once or twice, however long and large the history before it. None where the values span too much. The
    unit is smaller than it need be, so that a later value that is smaller has room (see `growth`).
    """
    mantissa, exponent = np.frexp(values)
    nonzero = exponent[mantissa != 0]
    top = int(nonzero.max()) if len(nonzero) else 0
    unit = (int(nonzero.min()) if len(nonzero) else 0) - 53
    bits = 62 - len(values).bit_length()
    if top - unit > 2 * bits or unit < layout.LEAST_UNIT:
        return None
    unit = min(unit, max(top - 2 * bits + layout.SPARE_BITS, layout.LEAST_UNIT))
    middle = unit + bits
    high = np.trunc(np.ldexp(values, -middle))
    low = np.ldexp(values - np.ldexp(high, middle), -unit)
    scales = (float(np.ldexp(1.0, middle)), float(np.ldexp(1.0, unit)))
    return _running(high.astype(np.int64)), _running(low.astype(np.int64)), *scales


def _decode_column(words: Int64s, slots: Int64s, n: int, dtype: str) -> Column:
    at, counts_at, m = int(slots[layout.VALUES_AT]), int(slots[layout.COUNTS_AT]), int(slots[layout.VALUES])
    stored = np.dtype(STORED_DTYPES[dtype])
    compact = words[at : at + layout.words_of(m * stored.itemsize)].view(stored)[:m]
    texts: Sequence[str] = ()
    if dtype == "string" and m:
        texts = _decode_texts(words, int(compact.max()) + 1, int(slots[layout.SCALE]), int(slots[layout.LOW_SCALE]))
    if not counts_at:
        return Column(compact, None, texts)
    counts = words[counts_at : counts_at + layout.words_of(4 * (n + 1))].view(np.uint32)[: n + 1]
    valid = np.diff(counts) > 0
    values = np.zeros(n, compact.dtype)
    values[valid] = compact
    return Column(values, valid, texts)


def _decode_texts(words: Int64s, count: int, offsets_at: int, text_at: int) -> Sequence[str]:
    offsets = words[offsets_at:text_at].view(np.uint32)[: count + 1].tolist()
    text = words[text_at : text_at + layout.words_of(offsets[-1])].tobytes()
    return [text[a:b].decode() for a, b in itertools.pairwise(offsets)]
