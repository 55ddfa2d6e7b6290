"""Catch up: bring the online views of each source up to its rows, in order, and its pushed events into its table."""

import threading

from falaj.features.streaming import BACKFILL_ROWS
from falaj.lifecycle.apply import land_source, schema_of, views_in_force
from falaj.lifecycle.caught_up import CaughtUp
from falaj.lifecycle.publication import publish_snapshots
from falaj.lifecycle.rooms import Rooms

APPLY_TIMEOUT_S = 60.0
"""How long a push that waits for `applied` waits at the most."""


def refresh_views(rooms: Rooms) -> None:
    """Tell the applier which views are in force; after an apply, a deployment or a start."""
    rooms.applier.set_views(view for views in views_in_force(rooms).values() for view in views)


def catch_up(rooms: Rooms, *sources: str, within_s: float | None = None) -> list[CaughtUp]:
    """Bring the views of some sources, or of all, up to their rows.

    Whatever stops it, a kill too, the next call goes on after the last write.

    Args:
        rooms: The project.
        sources: Which sources; all that have views by default.
        within_s: Begin no further write after so many seconds; None to go on to the end.
    """
    refresh_views(rooms)
    by_source = views_in_force(rooms)
    began, done = rooms.clock.monotonic(), []
    for name in sources or sorted(by_source):
        started = rooms.clock.monotonic()
        left_s = None if within_s is None else max(within_s - (started - began), 0.0)
        applied = rooms.applier.catch_up(name, within_s=left_s)
        names = tuple(view.name for view in by_source.get(name, ()))
        reached = rooms.reader.reaches(name, applied)
        done.append(CaughtUp(name, names, applied, rooms.clock.monotonic() - started, rooms.reader.head(name), reached))
    publish_snapshots(rooms)  # a store that was emptied lacks what gateways go by, too
    return done


def apply_pushed(rooms: Rooms, source: str, seq: int) -> bool:
    """Apply a push's events and return whether the next read of the live views sees them."""
    if source not in rooms.applier.sources:
        refresh_views(rooms)
    return rooms.applier.show(source, seq, APPLY_TIMEOUT_S)


def apply_new_rows(rooms: Rooms, stop: threading.Event) -> bool:
    """Bring the live views of every source further; return whether there is more to do at once."""
    moved = False
    for source in rooms.applier.sources:
        if stop.is_set():
            return False
        moved = rooms.applier.advance_once(source, limit=BACKFILL_ROWS) or moved  # no source waits long for another
    return moved


def backfill_views(rooms: Rooms, stop: threading.Event) -> bool:
    """Bring the views of every source that are behind further; return whether there is more to do at once."""
    moved = False
    for source in rooms.applier.sources:
        if stop.is_set():
            return False
        moved = rooms.applier.backfill(source) or moved
    return moved


def land_all(rooms: Rooms, source: str) -> int:
    """Move every pushed event of a source into its table, and return the last number landed."""
    return land_source(rooms, source, schema_of(rooms, source))


def land_events(rooms: Rooms) -> bool:
    """Move pushed events into their tables, and let the logs forget what every view has; return whether any moved."""
    moved = False
    for name in rooms.definitions.sources:  # those of files too: their refused rows may have been replayed
        before = rooms.events.landed(name)
        landed = land_all(rooms, name)
        moved = moved or landed > before
        if landed > before:
            applied = rooms.applier.applied_seq(name)
            rooms.events.truncate(name, landed if applied is None else min(applied, landed))
    return moved
