"""Consistency: a sample of served decisions, recomputed from the tables."""

from datetime import datetime

import pyarrow as pa

from falaj.data.prediction_table import to_records
from falaj.definitions.prediction_record import PredictionRecord
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.consistency import ConsistencyReport, verify
from falaj.kernel.clock import to_us
from falaj.lifecycle.catch_up import land_all
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring import alerts

_SCAN_ROWS = 50_000


def verify_served(rooms: Rooms, endpoint: str, sample: int) -> ConsistencyReport:
    """Recompute the features of the newest decisions, and keep the verdict.

    Args:
        rooms: The project.
        endpoint: Only this endpoint's decisions; empty for all.
        sample: Most decisions, the newest.
    """
    rooms.predictions.compact()
    records = _newest(rooms, endpoint, sample)
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

    def read_events(source: str) -> pa.Table:
        return rooms.tables.read(f"source/{source}").to_table().sort_by("_ingest_seq")

    report = verify(
        records,
        specs,
        read_events,
        columns=columns,
        subject=endpoint or "all endpoints",
        at_us=to_us(rooms.clock.now()),
    )
    alerts.report(rooms.db, report.verdict, "critical")
    return report


def _newest(rooms: Rooms, endpoint: str, sample: int) -> list[PredictionRecord]:
    """Return the newest logged decisions, oldest first."""
    kept: list[PredictionRecord] = []
    after = 0
    while True:
        rows, after_next = rooms.predictions.scan(after, endpoint=endpoint or None, limit=_SCAN_ROWS)
        if after_next == after:
            return kept
        after = after_next
        kept = (kept + to_records(rows.slice(max(0, rows.num_rows - sample))))[-sample:]


class ScheduledVerify:
    """Reconciler: verifies a sample now and then, and keeps the verdict as a metric and an alert.

    Args:
        rooms: The project.
        every_s: Pause between checks.
        sample: Most decisions a check looks at.
    """

    name = "consistency"

    def __init__(self, rooms: Rooms, every_s: float = 300.0, sample: int = 500) -> None:
        self._rooms = rooms
        self._every_s = every_s
        self._sample = sample
        self._next = rooms.clock.monotonic() + every_s

    def run_pass(self, now: datetime) -> bool:
        """Verify when it is time."""
        del now
        if self._rooms.clock.monotonic() < self._next:
            return False
        self._next = self._rooms.clock.monotonic() + self._every_s
        verify_served(self._rooms, "", self._sample)
        return False
