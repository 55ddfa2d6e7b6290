"""Alerting: incidents and messages out of alerts, and each route told at its own pace, apart from all watching."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from falaj.kernel.clock import to_us
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring.delivery import Concerns, Send, deliver, is_kept, to_file
from falaj.monitoring.routes import LOG, concerns, sender_of
from falaj.monitoring.triage import triage


class Triage:
    """Reconciler: makes incidents and messages of what alerts owe.

    Args:
        rooms: The project.
    """

    name = "triage"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        settings = self._rooms.settings
        routes = [LOG, *settings.alerts.routes]
        return triage(self._rooms.db, settings.alerts, settings.project.name, routes, to_us(now))


class Delivering:
    """Reconciler: tells one route what it has not had yet; each route has its own, so that none waits for another.

    Args:
        rooms: The project.
        route: The route's name.
        send: Delivers a message to it.
        concerns: Which messages it is told.
    """

    def __init__(self, rooms: Rooms, route: str, send: Send, concerns: Concerns = lambda _: True) -> None:
        self.name = f"alerts:{route}"
        self._rooms = rooms
        self._route = route
        self._send = send
        self._concerns = concerns

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        with self._rooms.db.read() as connection:
            if not is_kept(connection, self._route):  # triage has not begun with it: it would be told all of the past
                return False
        return bool(deliver(self._rooms.db, self._route, self._send, to_us(now), concerns=self._concerns))


def deliveries(rooms: Rooms) -> Iterator[Delivering]:
    """Give the reconciler of each route that the settings name, the alert log first."""
    yield Delivering(rooms, LOG, to_file(rooms.state.log / "alerts.jsonl"))
    for name, route in rooms.settings.alerts.routes.items():
        yield Delivering(rooms, name, sender_of(route), partial(concerns, route))
