"""Catch up: bring the online views of each source up to its rows, in order, and its pushed events into its table."""

import threading
from collections.abc import Callable

from falaj.lifecycle.apply import land_source, schema_of, views_in_force
from falaj.lifecycle.caught_up import CaughtUp
from falaj.lifecycle.publication import publish_snapshots
from falaj.lifecycle.rooms import Rooms

APPLY_TIMEOUT_S = 60.0
"""How long a push that waits for `applied` waits at the most."""


def refresh_views(rooms: Rooms) -> None:
    """Tell the applier which views are in force; after an apply, a deployment or a start."""
    rooms.applier.set_views(view for views in views_in_force(rooms).values() for view in views)


def catch_up(
    rooms: Rooms, source: str = "", on_chunk: Callable[[str, int], None] = lambda _source, _seq: None
) -> list[CaughtUp]:
    """Bring the views of one source, or of all, up to their rows.

    Args:
        rooms: The project.
        source: Which source; empty for all.
        on_chunk: Called with the source and the applied number after each write.
    """
    refresh_views(rooms)
    by_source = views_in_force(rooms)
    done = []
    for name in [source] if source else sorted(by_source):
        began = rooms.clock.monotonic()
        applied = rooms.applier.catch_up(name, on_chunk=lambda seq, name=name: on_chunk(name, seq))  # type: ignore[misc]
        names = tuple(view.name for view in by_source.get(name, ()))
        done.append(CaughtUp(name, names, applied, rooms.clock.monotonic() - began))
    publish_snapshots(rooms)  # a store that was emptied lacks what gateways go by, too
    return done


def apply_pushed(rooms: Rooms, source: str, seq: int) -> bool:
    """Apply a push's events and return whether the next read sees them.

    The caller's own thread does it rather than waiting for another: one hand-over less on the way to fresh features.
    """
    if source not in rooms.applier.sources:
        refresh_views(rooms)
    rooms.applier.catch_up(source)
    return rooms.applier.wait_applied(source, seq, APPLY_TIMEOUT_S)


def apply_new_rows(rooms: Rooms, stop: threading.Event) -> bool:
    """Bring every source that has new rows up to date; return whether there were any."""
    worked = False
    for source in rooms.applier.sources:
        if stop.is_set():
            break
        applied = rooms.applier.applied_seq(source)
        if applied is not None and applied < rooms.reader.head(source):
            rooms.applier.catch_up(source)
            worked = True
    return worked


def land_all(rooms: Rooms, source: str) -> int:
    """Move every pushed event of a source into its table, and return the last number landed."""
    return land_source(rooms, source, schema_of(rooms, source))


def land_events(rooms: Rooms) -> bool:
    """Move pushed events into their tables, and let the logs forget what every view has; return whether any moved."""
    moved = False
    for name, source in rooms.definitions.sources.items():
        if source.stream is None:
            continue
        before = rooms.events.landed(name)
        landed = land_all(rooms, name)
        moved = moved or landed > before
        if landed > before:
            applied = rooms.applier.applied_seq(name)
            rooms.events.truncate(name, landed if applied is None else min(applied, landed))
    return moved
