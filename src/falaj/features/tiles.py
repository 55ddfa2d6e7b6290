"""Tiles: what sawtooth windows keep of events that are too old for anything else.

Time is cut at multiples of the view's `tile_us`, which divides every hop; of each piece the states of `states` are
kept. All events before `edge_us` are in tiles, and those from it on stand as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from falaj.definitions.service_spec import ViewSpec
from falaj.features.states import Row, StateSpec, combine, make, tile_states


@dataclass(frozen=True, slots=True)
class Tiles:
    """The tiles of one entity.

    Attributes:
        edge_us: Where they end.
        floor_us: Every tile from this instant on is there; older ones may have been dropped.
        starts: When each begins, ascending; where nothing happened there is none.
        states: For each of `tile_states`, one state per tile; None for nothing.
    """

    edge_us: int
    floor_us: int
    starts: list[int]
    states: list[list[Any]]


class _Wire(msgspec.Struct, array_like=True):
    edge_us: int
    floor_us: int
    starts: list[int]
    states: list[list[Any]]


class _Edge(msgspec.Struct, array_like=True):
    edge_us: int


_decoder = msgspec.msgpack.Decoder(_Wire)
_edge_decoder = msgspec.msgpack.Decoder(_Edge)


def encode_tiles(tiles: Tiles) -> bytes:
    """Return tiles as bytes.

    Example:
        >>> decode_tiles(encode_tiles(Tiles(60, 0, [0, 30], [[1, None]]))).states
        [[1, None]]
    """
    return msgspec.msgpack.encode(_Wire(tiles.edge_us, tiles.floor_us, tiles.starts, tiles.states))


def decode_tiles(raw: bytes | memoryview) -> Tiles:
    """Return what the bytes hold."""
    wire = _decoder.decode(raw)
    return Tiles(wire.edge_us, wire.floor_us, wire.starts, wire.states)


def edge_of(raw: bytes | memoryview) -> int:
    """Return where encoded tiles end, and read no more of them.

    Example:
        >>> edge_of(encode_tiles(Tiles(60, 0, [0, 30], [[1, None]])))
        60
    """
    return _edge_decoder.decode(raw).edge_us


def fold(view: ViewSpec, tiles: Tiles, rows: Sequence[tuple[int, int, int]], columns: dict[str, list[Any]]) -> Tiles:
    """Return tiles with more events in them; the old ones stay as they were.

    Args:
        view: The view.
        tiles: What there is.
        rows: Event time, created and `ingest_seq` of each event.
        columns: The values of each column in those events.
    """
    assert view.tile_us is not None
    by_start: dict[int, list[int]] = {}
    for place, (ts, _, _) in enumerate(rows):
        by_start.setdefault(ts // view.tile_us * view.tile_us, []).append(place)
    specs = tile_states(view)
    old = {start: [series[place] for series in tiles.states] for place, start in enumerate(tiles.starts)}
    for start, places in by_start.items():
        before = old.get(start, [None] * len(specs))
        added = [make(spec.kind, _values(spec, places, rows, columns)) for spec in specs]
        old[start] = [combine(spec.kind, pair) for spec, *pair in zip(specs, before, added, strict=True)]
    starts = sorted(old)
    return replace(tiles, starts=starts, states=[[old[start][i] for start in starts] for i in range(len(specs))])


def drop_before(tiles: Tiles, floor_us: int) -> Tiles:
    """Return the tiles that begin at an instant or later."""
    gone = sum(start < floor_us for start in tiles.starts)
    kept = [series[gone:] for series in tiles.states]
    return Tiles(tiles.edge_us, max(tiles.floor_us, floor_us), tiles.starts[gone:], kept)


def _values(
    spec: StateSpec, places: Sequence[int], rows: Sequence[tuple[int, int, int]], columns: dict[str, list[Any]]
) -> Sequence[Any]:
    if spec.column is None:
        return places
    values = columns[spec.column]
    if spec.kind in ("first", "last"):
        chosen = [p for p in places if spec.rows is None or columns[spec.rows][p] is not None]
        return [Row(*rows[p], values[p]) for p in chosen]
    return [values[p] for p in places if values[p] is not None]
