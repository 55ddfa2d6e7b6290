"""The reconcilers that a control process runs, in one readable list."""

from datetime import datetime

from falaj.lifecycle.alerting import Triage, deliveries
from falaj.lifecycle.approval_notices import ApprovalNotices
from falaj.lifecycle.approving import date_questions
from falaj.lifecycle.catch_up import land_events
from falaj.lifecycle.challenging import Challenging
from falaj.lifecycle.consistency import ScheduledVerify
from falaj.lifecycle.counts import count_by_version, gateway_stats
from falaj.lifecycle.load_watch import LoadWatch
from falaj.lifecycle.mirror import MirrorStages
from falaj.lifecycle.pipeline_starts import PipelineStarts
from falaj.lifecycle.promotion import Promotions, Rollouts
from falaj.lifecycle.publication import Publication
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.run_notices import RunNotices
from falaj.lifecycle.source_watch import SourceWatching
from falaj.lifecycle.store_watch import StoreWatch
from falaj.lifecycle.triggers import Triggers
from falaj.lifecycle.watching import Watching
from falaj.pipelines.reconcile import Reconciler

_RECOVER_EVERY_S = 30.0
_COMMITS_PER_JOIN = 60


class Landing:
    """Reconciler: moves pushed events into the tables, and finishes files that a full disk interrupted.

    Args:
        rooms: The project.
    """

    name = "landing"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._next_recovery = 0.0

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        del now
        if self._rooms.clock.monotonic() >= self._next_recovery:
            self._next_recovery = self._rooms.clock.monotonic() + _RECOVER_EVERY_S
            self._rooms.ingestion.recover()
        land_events(self._rooms)
        return False  # what came meanwhile waits for the next pass: many small commits cost more than one larger


class Tidying:
    """Reconciler: joins the small files of tables that many short commits have grown.

    Args:
        rooms: The project.
    """

    name = "tidying"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._joined: dict[str, int] = {}

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        del now
        tables, worked = self._rooms.tables, False
        for name in tables.names():
            version = tables.version(name) or 0
            if version - self._joined.get(name, 0) >= _COMMITS_PER_JOIN:  # at a start: whatever came before it
                self._joined[name] = tables.compact(name)
                worked = True
        return worked


class Sampling:
    """Reconciler: looks at the gateways' counters, so that rates can be told.

    Args:
        rooms: The project.
    """

    name = "sampling"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        del now
        self._rooms.rates.observe(self._rooms.clock.monotonic(), count_by_version(gateway_stats(self._rooms)))
        return False


class Expiry:
    """Reconciler: closes approvals whose deadline has passed, by the policy that is in force now.

    Args:
        rooms: The project.
    """

    name = "approvals"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        del now
        dated = date_questions(self._rooms)
        return bool(self._rooms.approvals.expire()) or dated


def reconcilers(rooms: Rooms) -> list[Reconciler]:
    """Return the reconcilers over a project's rooms."""
    return [
        Publication(rooms),
        Rollouts(rooms),
        Promotions(rooms),
        Landing(rooms),
        Watching(rooms),
        Challenging(rooms),
        Triggers(rooms),
        PipelineStarts(rooms),
        RunNotices(rooms),
        Expiry(rooms),
        ApprovalNotices(rooms),
        Sampling(rooms),
        Tidying(rooms),
        ScheduledVerify(rooms),
        StoreWatch(rooms),
        LoadWatch(rooms),
        SourceWatching(rooms),
        MirrorStages(rooms),
        Triage(rooms),
        *deliveries(rooms),
    ]
