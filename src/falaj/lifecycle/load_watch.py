"""LoadWatch: an alert while gateway workers cannot load an endpoint that is routed to them."""

from datetime import datetime

from falaj.definitions.verdict import Verdict
from falaj.kernel.clock import to_us
from falaj.lifecycle.counts import gateway_stats
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring import alerts

KIND = "endpoint_load"
_EVERY_S = 1.0
_MOST_ALERTS = 1_000


class LoadWatch:
    """Reconciler: looks at what the workers report, and says which endpoints they fail to load and when it is over.

    Args:
        rooms: The project.
    """

    name = "load_watch"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._next = 0.0
        self._failing: set[str] | None = None

    def run_pass(self, now: datetime) -> bool:
        """Look when it is time."""
        rooms = self._rooms
        if rooms.clock.monotonic() < self._next:
            return False
        self._next = rooms.clock.monotonic() + _EVERY_S
        if self._failing is None:  # those of a control that ended before it was over
            with rooms.db.read() as connection:
                found = alerts.list_alerts(connection, only_open=True, limit=_MOST_ALERTS)
            self._failing = {one.alert.subject for one in found if one.alert.rule == KIND}
        stats = gateway_stats(rooms)
        for endpoint, errors in stats.load_errors.items():
            verdict = Verdict(KIND, endpoint, "FAIL", stats.load_error(endpoint), {}, to_us(now))
            alerts.report(rooms.db, verdict, "warning" if all(error.older for error in errors) else "critical")
        if stats.live:  # where none reports, nothing is known
            for endpoint in self._failing - stats.load_errors.keys():
                reason = "every gateway worker has loaded it"
                alerts.report(rooms.db, Verdict(KIND, endpoint, "PASS", reason, {}, to_us(now)))
            self._failing = set(stats.load_errors)
        return False
