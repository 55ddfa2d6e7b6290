"""Back-pressure: pushes are refused, for a moment, while what was pushed before is not dealt with."""

import shutil

from falaj.data import provenance
from falaj.kernel.errors import DiskFull, Overloaded
from falaj.lifecycle.rooms import Rooms

_MIB = 1 << 20


def admit(rooms: Rooms, source: str) -> None:
    """Return if a source takes a push now.

    What waits lies in the log on the disk, not in memory. Still it must not grow without bound: every event behind it
    becomes visible later, and a disk that is full to the last byte leaves no room to apply and land what was
    acknowledged.

    Args:
        rooms: The project.
        source: The source's name.

    Raises:
        Overloaded: Too many events wait to be applied or landed.
        DiskFull: The disk is nearly full.
    """
    bounds = rooms.settings.events
    waiting = waiting_events(rooms, source)
    if waiting > bounds.max_waiting:
        raise Overloaded(
            f"source {source!r}: {waiting:,} events wait to be applied, and events.max_waiting is "
            f"{bounds.max_waiting:,}",
            hint="push again in a second, or more slowly; 'falaj status' says how far the views are behind",
        )
    if bounds.min_free_mib and shutil.disk_usage(rooms.state.path).free < bounds.min_free_mib * _MIB:
        raise DiskFull(
            f"less than events.min_free_mib, {bounds.min_free_mib} MiB, are free on the disk of {rooms.state.path}",
            hint="free some space; nothing acknowledged was lost",
        )


def waiting_events(rooms: Rooms, source: str) -> int:
    """Return how many pushed events the live views or the table do not have yet, at the least."""
    head, live = rooms.reader.head(source), rooms.applier.live_seq(source)
    done = rooms.events.last_landed(source)
    done = done if live is None else min(done, live)
    if head - done <= rooms.settings.events.max_waiting:
        return head - done  # an upper bound that is good enough; the rest asks the database
    done = rooms.events.landed(source) if live is None else min(rooms.events.landed(source), live)
    with rooms.db.read() as connection:
        return head - done - provenance.file_rows(connection, source, done)
