"""StoreWatch: an alert while the online store does not answer control."""

from datetime import datetime

from falaj.definitions.verdict import Verdict
from falaj.kernel.clock import to_us
from falaj.kernel.errors import StorageError
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring import alerts
from falaj.monitoring.verdicts import latest_verdicts

KIND = "online_store"
SUBJECT = "online store"
_EVERY_S = 1.0


class StoreWatch:
    """Reconciler: asks the online store now and then, and says when it does not answer and when it does again.

    Args:
        rooms: The project.
    """

    name = "store_watch"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._next = 0.0
        self._failing: bool | None = None

    def run_pass(self, now: datetime) -> bool:
        """Ask when it is time."""
        rooms = self._rooms
        if rooms.clock.monotonic() < self._next:
            return False
        self._next = rooms.clock.monotonic() + _EVERY_S
        try:
            rooms.online.get_many([KIND.encode()])
        except StorageError as error:
            reason = f"{error.message}; declared defaults are served instead of features"
            self._say(Verdict(KIND, SUBJECT, "FAIL", reason, {}, to_us(now)))
        else:
            if self._failing is None:  # one that opened the alert may have ended since
                with rooms.db.read() as connection:
                    kept = latest_verdicts(connection, kind=KIND, subject=SUBJECT)
                self._failing = bool(kept) and kept[-1].verdict.outcome == "FAIL"
            if self._failing:
                self._say(Verdict(KIND, SUBJECT, "PASS", "it answers again", {}, to_us(now)))
        return False

    def _say(self, verdict: Verdict) -> None:
        alerts.report(self._rooms.db, verdict, "critical")
        self._failing = verdict.outcome == "FAIL"
