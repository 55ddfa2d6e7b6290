"""The reconcilers that a control process runs, in one readable list."""

from datetime import datetime

from falaj.lifecycle.catch_up import land_events
from falaj.lifecycle.consistency import ScheduledVerify
from falaj.lifecycle.mirror import MirrorStages
from falaj.lifecycle.promotion import Promotions
from falaj.lifecycle.publication import Publication
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.triggers import Triggers
from falaj.lifecycle.watching import Watching
from falaj.pipelines.reconcile import Reconciler


class Landing:
    """Reconciler: moves pushed events from the logs into the tables.

    Args:
        rooms: The project.
    """

    name = "landing"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        del now
        return land_events(self._rooms)


class Expiry:
    """Reconciler: closes approvals whose deadline has passed.

    Args:
        rooms: The project.
    """

    name = "approvals"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        del now
        return bool(self._rooms.approvals.expire())


def reconcilers(rooms: Rooms) -> list[Reconciler]:
    """Return the reconcilers over a project's rooms."""
    return [
        Publication(rooms),
        Promotions(rooms),
        Landing(rooms),
        Watching(rooms),
        Triggers(rooms),
        Expiry(rooms),
        ScheduledVerify(rooms),
        MirrorStages(rooms),
    ]
