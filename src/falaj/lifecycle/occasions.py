"""Occasions: what calls for a training run now, by the triggers of one endpoint."""

from datetime import datetime

import msgspec

from falaj.definitions.endpoint import Endpoint
from falaj.definitions.model import Label
from falaj.definitions.retrain import Trigger
from falaj.definitions.routing_table import EndpointRoute
from falaj.kernel.clock import from_us
from falaj.lifecycle.known_labels import known_labels
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.watching import champion_of, monitor_name
from falaj.monitoring.alerts import list_alerts
from falaj.monitoring.verdicts import latest_verdicts
from falaj.pipelines.schedule import is_due


class Occasion(msgspec.Struct, frozen=True):
    """Why a run should start.

    Attributes:
        trigger: What calls.
        key: The same for the same occasion; empty for one that is over when it has started a run.
        sentence: For people; kept with the run.
    """

    trigger: Trigger
    key: str
    sentence: str


class Occasions:
    """Looks for occasions; what is counted in tables is counted anew only when they have changed.

    Args:
        rooms: The project.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._labels: dict[str, tuple[tuple[Label, int], int]] = {}
        self._rows: dict[str, tuple[tuple[str, int], int]] = {}

    def calling(
        self, endpoint: Endpoint, route: EndpointRoute, schedules_since_us: int, now: datetime
    ) -> list[Occasion]:
        """Return what calls for a run, answered or not.

        Args:
            endpoint: Whose triggers.
            route: What serves.
            schedules_since_us: Since when turns of schedules count.
            now: The present.
        """
        assert endpoint.retrain is not None
        looked = [self._look(trigger, endpoint, route, schedules_since_us, now) for trigger in endpoint.retrain.on]
        return [found for found in looked if found is not None]

    def fresh_labels(self, endpoint: Endpoint) -> int:
        """Return how many labels became known since the last training, whoever asked for it."""
        versions = self._rooms.registry.versions(endpoint.model.name)
        return self._known_labels(endpoint) - (versions[0].labels if versions else 0)

    def _look(
        self, trigger: Trigger, endpoint: Endpoint, route: EndpointRoute, since_us: int, now: datetime
    ) -> Occasion | None:
        if trigger.kind == "drift":
            return self._drift(trigger, route)
        if trigger.kind == "performance":
            return self._performance(trigger, route)
        if trigger.kind == "schedule":
            due = is_due(trigger.schedule, from_us(since_us), now)
            return Occasion(trigger, "", trigger.text) if due else None
        if trigger.kind == "new_data":
            fresh, reached = self._fresh_rows(endpoint)
            what = "rows"
        else:
            fresh, reached = self.fresh_labels(endpoint), self._known_labels(endpoint)
            what = "labels"
        if fresh < trigger.count:
            return None
        return Occasion(trigger, f"{trigger.kind}:{reached}", f"{fresh:,} new {what}")

    def _drift(self, trigger: Trigger, route: EndpointRoute) -> Occasion | None:
        with self._rooms.db.read() as connection:
            open_alerts = list_alerts(connection, only_open=True)
        for found in open_alerts:
            about = found.alert.rule, found.alert.subject, found.alert.evidence.get("monitor")
            if about == ("drift", route.endpoint, monitor_name(route)):
                return Occasion(trigger, f"alert:{found.id}", f"drift: {found.alert.message}")
        return None

    def _performance(self, trigger: Trigger, route: EndpointRoute) -> Occasion | None:
        served = champion_of(route)
        with self._rooms.db.read() as connection:
            kept = latest_verdicts(connection, kind="performance", subject=route.endpoint, version=served.subject)
        if not kept or kept[0].verdict.outcome != "PASS":
            return None
        measured = kept[0].verdict.evidence["metrics"].get(trigger.metric)
        if measured is None or not trigger.is_met(measured["lower"], measured["upper"]):
            return None
        value = measured["value"]
        sentence = f"realised {trigger.metric} {value:.4f} is {trigger.worse} {trigger.bound:g}"
        return Occasion(trigger, f"verdict:{kept[0].seq}", sentence)

    def _known_labels(self, endpoint: Endpoint) -> int:
        """Return how many labels are known; counted anew when the table has changed, or the label is another one."""
        label = endpoint.model.label
        version = self._rooms.tables.version(f"source/{label.source.name}")
        if version is None:
            return 0
        cached = self._labels.get(endpoint.name)
        if cached is None or cached[0] != (label, version):
            cached = self._labels[endpoint.name] = (label, version), known_labels(self._rooms, label, version)
        return cached[1]

    def _fresh_rows(self, endpoint: Endpoint) -> tuple[int, int]:
        """Return how many rows the label's source got since the last training, and how many it has."""
        table = f"source/{endpoint.model.label.source.name}"
        version = self._rooms.tables.version(table)
        if version is None:
            return 0, 0
        cached = self._rows.get(endpoint.name)
        if cached is None or cached[0] != (table, version):
            rows = self._rooms.tables.read(table, [], version=version).count_rows()
            cached = self._rows[endpoint.name] = (table, version), rows
        versions = self._rooms.registry.versions(endpoint.model.name)
        return cached[1] - (versions[0].rows if versions else 0), cached[1]
