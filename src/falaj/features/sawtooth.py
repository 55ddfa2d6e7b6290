"""Sawtooth: features over windows whose older part stands in tiles, read from an entity record."""

import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features import layout, windows
from falaj.features.states import Row, StateSpec, combine, finish, make, states_of, tile_states
from falaj.features.status import NOT_FOUND, NULL_VALUE, OUTSIDE_RETENTION, PRESENT
from falaj.features.tiles import Tiles, decode_tiles

_head = struct.Struct("<q8xq48xqq").unpack_from  # from EVENTS on: events, floor_us, tiles_at, tiles_size
_BODY_CRC = slice(layout.WORD * layout.CHECKSUMS + 4, layout.WORD * layout.CHECKSUMS + 8)
_slot = struct.Struct("<qq").unpack_from


class SawtoothReader:
    """Computes all sawtooth features of a view.

    Args:
        view: The view.
        damaged: Makes what is raised when a record with tiles fails its checks.
    """

    def __init__(self, view: ViewSpec, damaged: Callable[[], Exception]) -> None:
        self._damaged = damaged
        self._features = [f for f in view.features if f.hop_us is not None]
        self._states = {spec: place for place, spec in enumerate(tile_states(view))}
        self._columns = {name: (number, dtype) for number, (name, dtype) in enumerate(view.columns)}
        self._ts_at = layout.timestamps_at(len(view.columns))
        self._slots_at = layout.HEADER_WORDS + len(view.columns)

    def __call__(self, raw: memoryview, at_us: int, before: int) -> list[tuple[Any, str]]:
        """Return value and status of each feature.

        Args:
            raw: The record.
            at_us: T, less the view's delay.
            before: How many of the record's events are before T.
        """
        events, floor_us, tiles_at, tiles_size = _head(raw, layout.WORD * layout.EVENTS)
        tiles = None
        if tiles_at:
            # Beside putting tiles together a checksum costs little, and what is in them has no bounds of its own.
            if int.from_bytes(raw[_BODY_CRC], "little") != zlib.crc32(raw[layout.WORD * self._ts_at :]):
                raise self._damaged()
            tiles = decode_tiles(raw[layout.WORD * tiles_at : layout.WORD * tiles_at + tiles_size])
        return [self._read(raw, feature, at_us, (events, before, floor_us), tiles) for feature in self._features]

    def _read(
        self, raw: memoryview, feature: FeatureSpec, at_us: int, held: tuple[int, int, int], tiles: Tiles | None
    ) -> tuple[Any, str]:
        events, before, floor_us = held
        start_us = feature.start_us(at_us)
        if tiles is None:
            if start_us < floor_us:
                return None, OUTSIDE_RETENTION
            first_tile = last_tile = 0
            head_us = start_us
        else:
            if at_us < tiles.edge_us or start_us < tiles.floor_us:
                return None, OUTSIDE_RETENTION
            first_tile, last_tile = bisect_left(tiles.starts, start_us), len(tiles.starts)
            head_us = max(start_us, tiles.edge_us)
        start = bisect_left(raw.cast("q"), head_us, self._ts_at, self._ts_at + before) - self._ts_at
        found = []
        for spec in states_of(feature):
            kept = [] if tiles is None else tiles.states[self._states[spec]][first_tile:last_tile]
            found.append(combine(spec.kind, [*kept, make(spec.kind, self._values(raw, spec, events, start, before))]))
        value = finish(feature, found)
        if value is not None:
            return value, PRESENT
        return None, NULL_VALUE if before > start or last_tile > first_tile else NOT_FOUND

    def _values(self, raw: memoryview, spec: StateSpec, events: int, start: int, end: int) -> Any:
        """Return what a state of the events that stand as they are is made of."""
        if spec.column is None:
            return range(start, end)
        number, dtype = self._columns[spec.column]
        values_at, counts_at = self._slot(raw, number)
        if spec.kind in ("first", "last"):
            place = self._place(raw, spec, events, start, end)
            if place is None:
                return ()
            first, last = _bounds(raw, counts_at, place, place + 1)
            (value,) = self._slice(raw, number, dtype, (values_at, first, last)) or (None,)
            (ts,) = windows.ints(raw, self._ts_at, place, place + 1)
            return (Row(ts, 0, place, value),)
        return self._slice(raw, number, dtype, (values_at, *_bounds(raw, counts_at, start, end)))

    def _place(self, raw: memoryview, spec: StateSpec, events: int, start: int, end: int) -> int | None:
        counts_at = 0 if spec.rows is None else self._slot(raw, self._columns[spec.rows][0])[1]
        if spec.kind == "last":
            place = windows.last_chosen(raw, counts_at, events, end)
        else:
            place = windows.first_chosen(raw, counts_at, events, start)
        return place if start <= place < end else None

    def _slot(self, raw: memoryview, number: int) -> tuple[int, int]:
        at = layout.WORD * (self._slots_at + layout.SLOTS * number)
        values_at, counts_at = _slot(raw, at)
        return values_at, counts_at

    def _slice(self, raw: memoryview, number: int, dtype: str, span: tuple[int, int, int]) -> Any:
        if dtype == "string":
            at = layout.WORD * (self._slots_at + layout.SLOTS * number + layout.SCALE)
            offsets_at, texts_at = _slot(raw, at)
            return windows.texts(raw, span[0], offsets_at, texts_at, *span[1:])
        take = {"float64": windows.floats, "bool": windows.bools}.get(dtype, windows.ints)
        return take(raw, *span)


def _bounds(raw: memoryview, counts_at: int, start: int, end: int) -> tuple[int, int]:
    return windows.bounds(raw, counts_at, start, end) if counts_at else (start, end)
