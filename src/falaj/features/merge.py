"""Merge: new events into an entity's record; the old bytes stay as they were."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.service_spec import ViewSpec
from falaj.features import layout
from falaj.features.events import Events, concatenate, empty_events, plain_columns
from falaj.features.record import EntityRecord, decode, encode
from falaj.features.states import tile_states
from falaj.features.tiles import Tiles, drop_before, fold

Identities = frozenset[bytes]


class Unknowable(Exception):
    """A correction takes back an event that the record no longer holds as it was; it must be made anew.

    Never seen by users: the writer catches it and reads the entity's rows from its source.
    """


def merge(
    view: ViewSpec,
    raw: bytes | memoryview | None,
    new: Events | None,
    *,
    applied_seq: int,
    watermark_us: int,
    taken_back: Identities = frozenset(),
) -> bytes:
    """Return a record with new events in their places.

    Args:
        view: The view.
        raw: The present record; None when there is none.
        new: Events to add, in any order, one version each. Those that the record has applied already are left out.
        applied_seq: Up to which `ingest_seq` the result is complete.
        watermark_us: Up to when the past is complete: what no instant from there on looks at is dropped, but for
            single rows that a feature may take at any age.
        taken_back: Identities of which an older version had been applied to this entity, that a correction replaced or
            moved to another.

    Raises:
        CorruptionError: The present record fails its checks.
        Unknowable: A correction takes back what the record does not hold as it was.
    """
    old = EntityRecord(empty_events(view), 0) if raw is None else decode(view, raw)
    if view.timeless:
        return encode(view, _timeless(view, old, new, applied_seq, taken_back))
    if new is not None and raw is not None:
        new = new.take(new.seq > old.applied_seq)
    _check_known(view, old, taken_back)
    below, dense = _placed(old, _without(old.events.take(slice(old.carried, None)), taken_back), new)
    tiles = old.tiles
    if tiles is not None and new is not None and len(new):
        late = new.take((new.ts < tiles.edge_us) & (new.ts >= tiles.floor_us))
        tiles = _folded(view, tiles, late) if len(late) else tiles
    floor_us, watermark_us = old.floor_us, max(watermark_us, layout.INT64_MIN + view.horizon_us)
    cutoff_us = watermark_us - view.horizon_us
    if view.tile_us is not None:
        tiles, cutoff_us = _tile(view, tiles, dense, watermark_us)
    kept_from = _kept_from(view, dense, cutoff_us)
    if kept_from:
        dropped = dense.take(slice(kept_from))
        floor_us = max(floor_us, int(dropped.ts[-1]) + 1)
        below = dropped if below is None else concatenate([below, dropped])
        dense = dense.take(slice(kept_from, None))
    carried = None if below is None else _carried(view, below)
    events = dense if carried is None else concatenate([carried, dense])
    count = 0 if carried is None else len(carried)
    return encode(view, EntityRecord(events, max(applied_seq, old.applied_seq), floor_us, count, tiles))


def _timeless(
    view: ViewSpec, old: EntityRecord, new: Events | None, applied_seq: int, taken_back: Identities
) -> EntityRecord:
    events = _together(_without(old.events, taken_back), new)
    # Without identities nothing can be taken back, so no row but the latest can ever be read again.
    events = events if view.has_id else events.take(slice(-1, None))
    return EntityRecord(events, max(applied_seq, old.applied_seq))


def _together(events: Events, new: Events | None) -> Events:
    """Return the events of both in total order; no event is in both."""
    if new is None or not len(new):
        return events
    if not len(events):
        return new.in_total_order()
    joined = concatenate([events, new])
    if len(new) == 1 and events.ts[-1] < new.ts[0]:  # as nearly every pushed event comes
        return joined
    return joined.in_total_order()


def _without(events: Events, identities: Identities) -> Events:
    if not identities or events.identity is None:
        return events
    return events.take(np.array([identity not in identities for identity in events.identity.tolist()], np.bool_))


def _check_known(view: ViewSpec, old: EntityRecord, taken_back: Identities) -> None:
    """Refuse to take back what stands in a tile, and what stands for events that were dropped."""
    whole = old.floor_us == layout.NOTHING_DROPPED and old.tiles is None
    if not taken_back or old.events.identity is None or whole:
        return
    held = old.events.identity.tolist()
    edge_us = old.floor_us if old.tiles is None else old.tiles.edge_us
    standing = {identity for identity, ts in zip(held, old.events.ts.tolist(), strict=True) if ts >= edge_us}
    # The first event that is not carried may be the latest of many before the cutoff.
    special = set(held[: old.carried + 1]) if layout.takes_latest(view) else set(held[: old.carried])
    if taken_back & special or (old.tiles is not None and not taken_back <= standing):
        raise Unknowable


def _placed(old: EntityRecord, dense: Events, new: Events | None) -> tuple[Events | None, Events]:
    """Return what is below the floor and may only stand as a single row, and the events from there on.

    The latest event may itself be below the floor, where another of its instant was dropped; what comes after it in
    the total order belongs with it.
    """
    if old.floor_us == layout.NOTHING_DROPPED:
        return None, _together(dense, new)
    carried = old.events.take(slice(old.carried)) if old.carried else None
    if new is None or not len(new):
        return carried, dense
    late = new.ts < old.floor_us
    if len(dense) and int(dense.ts[0]) < old.floor_us:
        latest = (dense.ts[0], dense.created[0], dense.seq[0])
        rows = zip(new.ts.tolist(), new.created.tolist(), new.seq.tolist(), strict=True)
        late &= np.array([row < latest for row in rows], np.bool_)
    early = new.take(late)
    if len(early):
        carried = early if carried is None else concatenate([carried, early]).in_total_order()
    return carried, _together(dense, new.take(~late))


def _tile(view: ViewSpec, tiles: Tiles | None, dense: Events, watermark_us: int) -> tuple[Tiles | None, int]:
    """Fold what only tiles are read for; return them, and from when on events stay as they are."""
    assert view.tile_us is not None
    edge_us = (watermark_us - view.head_us) // view.tile_us * view.tile_us
    old_edge_us = layout.INT64_MIN if tiles is None else tiles.edge_us
    if edge_us <= old_edge_us:
        return tiles, old_edge_us
    aged = dense.take((dense.ts >= old_edge_us) & (dense.ts < edge_us))
    if tiles is None:
        if not len(aged):
            return None, layout.INT64_MIN
        tiles = Tiles(edge_us, layout.NOTHING_DROPPED, [], [[] for _ in tile_states(view)])
    tiles = _folded(view, replace(tiles, edge_us=edge_us), aged) if len(aged) else replace(tiles, edge_us=edge_us)
    floor_us = (watermark_us - view.horizon_us) // view.tile_us * view.tile_us
    return (drop_before(tiles, floor_us) if tiles.starts and tiles.starts[0] < floor_us else tiles), edge_us


def _folded(view: ViewSpec, tiles: Tiles, events: Events) -> Tiles:
    rows = list(zip(events.ts.tolist(), events.created.tolist(), events.seq.tolist(), strict=True))
    return fold(view, tiles, rows, plain_columns(view, events))


def _kept_from(view: ViewSpec, events: Events, cutoff_us: int) -> int:
    """Return the first event that stays: the first not before the cutoff, or the latest before it."""
    kept_from = int(np.searchsorted(events.ts, cutoff_us, "left"))
    return kept_from - 1 if kept_from and layout.takes_latest(view) else kept_from


def _carried(view: ViewSpec, below: Events) -> Events | None:
    """Return those events below the floor that a feature takes at any age, in total order."""
    if not len(below):
        return None
    chosen = set()
    for feature in view.features:
        if feature.window_us is None and feature.hop_us is None:
            rows = _rows(view, feature.column if feature.function == "last_non_null" else feature.rows, below)
            if feature.function == "first" and len(rows):
                chosen.add(int(rows[0]))
            elif len(rows) and (feature.function == "last_non_null" or feature.rows is not None):
                chosen.add(int(rows[-1]))
    return below.take(sorted(chosen)) if chosen else None


def _rows(view: ViewSpec, column: str | None, events: Events) -> NDArray[np.int64]:
    """Return the places of the events in which a column is not null."""
    if column is None:
        return np.arange(len(events))
    number = [name for name, _ in view.columns].index(column)
    valid = events.columns[number].valid
    return np.arange(len(events)) if valid is None else np.flatnonzero(valid)
