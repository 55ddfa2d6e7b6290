"""Consistency: a sample of served decisions, recomputed from the tables."""

from datetime import datetime

from falaj.data.prediction_table import to_records
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.verdict import Verdict
from falaj.features.consistency import KIND, ConsistencyReport, verify
from falaj.kernel.clock import to_us
from falaj.lifecycle.catch_up import land_all
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring import alerts
from falaj.monitoring.verdicts import latest_verdicts

EVERY_ENDPOINT = "all endpoints"


def verify_served(rooms: Rooms, endpoint: str, sample: int) -> ConsistencyReport:
    """Recompute the features of the newest decisions, and keep the verdict.

    Args:
        rooms: The project.
        endpoint: Only this endpoint's decisions; empty for all.
        sample: Most decisions, the newest.
    """
    rooms.predictions.compact()
    records = to_records(rooms.predictions.newest(sample, endpoint=endpoint or None))
    models = {*rooms.registry.models(), *rooms.registry.bare_models()}
    records = [record for record in records if record.model in models]  # an ensemble has its members' features
    specs: dict[tuple[str, int], ServiceSpec] = {}
    columns: dict[tuple[str, int], list[str]] = {}
    for key in {(record.model, record.version) for record in records}:
        version = rooms.registry.get(*key)
        if version.service is not None:
            specs[key] = version.service
            columns[key] = [spec.name for spec in version.signature.inputs]
    for source in {view.source for spec in specs.values() for view in spec.views}:
        declared = rooms.definitions.sources.get(source)
        if declared is not None and declared.stream is not None:  # of one that is gone, all has landed
            land_all(rooms, source)
    report = verify(
        records,
        specs,
        lambda source: rooms.tables.read(f"source/{source}"),
        columns=columns,
        others=[view for service in rooms.applied.document.services.values() for view in service.views],
        subject=endpoint or EVERY_ENDPOINT,
        at_us=to_us(rooms.clock.now()),
    )
    alerts.report(rooms.db, report.verdict, "critical")
    if not endpoint:
        rooms.last_check = report.verdict
    return report


def last_check(rooms: Rooms) -> Verdict | None:
    """Return what the last check of all endpoints found, in whatever process; None before any.

    A check that found what the one before it found is kept by the process that did it, and by no row.
    """
    with rooms.db.read() as connection:
        kept = [one.verdict for one in latest_verdicts(connection, kind=KIND, subject=EVERY_ENDPOINT)]
    if rooms.last_check is not None:
        kept.append(rooms.last_check)
    return max(kept, key=lambda verdict: verdict.at_us, default=None)


class ScheduledVerify:
    """Reconciler: verifies the newest decisions now and then, as the settings say, and keeps what it found.

    Args:
        rooms: The project.
    """

    name = "consistency"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._settings = rooms.settings.consistency
        self._next = rooms.clock.monotonic() + self._settings.every_s

    def run_pass(self, now: datetime) -> bool:
        """Verify when it is time."""
        del now
        if not self._settings.enabled or self._rooms.clock.monotonic() < self._next:
            return False
        self._next = self._rooms.clock.monotonic() + self._settings.every_s
        verify_served(self._rooms, "", self._settings.decisions)
        return False
