"""Watching: what an endpoint decided is held against what its version was tested on, and against the outcomes."""

from collections.abc import Container, Iterator
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from falaj.data.prediction_table import FEEDBACK, to_records
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.prediction_policy import is_redacted
from falaj.definitions.routing_table import EndpointRoute, Variant
from falaj.kernel.clock import to_us
from falaj.lifecycle.each import for_each
from falaj.lifecycle.rooms import Rooms
from falaj.models.version import ModelVersion
from falaj.monitoring import alerts
from falaj.monitoring.monitors import Batch, WindowPolicy, watch_drift
from falaj.monitoring.performance import Joined, QualityPolicy, measure
from falaj.monitoring.questions import DriftPolicy
from falaj.monitoring.references import SCORE, references_from_msgpack
from falaj.rollout import table

_ROWS_AT_ONCE = 20_000
_MEASURE_EVERY_S = 30.0


class Watching:
    """Reconciler: compacts the prediction logs and judges drift and realised quality.

    Args:
        rooms: The project.
    """

    name = "watching"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._measured: dict[str, tuple[Variant, int | None, float]] = {}

    def run_pass(self, now: datetime) -> bool:
        """Do one pass; a damaged segment or version keeps no other endpoint waiting."""
        parts = (self._compact, self._judge)
        return for_each(parts, lambda part: part(to_us(now)))

    def _compact(self, now_us: int) -> bool:
        del now_us
        moved = self._rooms.predictions.compact()
        return bool(moved.predictions or moved.feedback)

    def _judge(self, now_us: int) -> bool:
        with self._rooms.db.read() as connection:
            routes = table.current_routes(connection)
        served = [one for name, one in self._rooms.definitions.endpoints.items() if name in routes]
        return for_each(served, lambda endpoint: self._watch(endpoint, routes[endpoint.name], now_us))

    def _watch(self, endpoint: Endpoint, route: EndpointRoute, now_us: int) -> bool:
        judged = watch_endpoint(self._rooms, endpoint, route, now_us)
        self._measure(endpoint, route, now_us)
        return bool(judged)

    def _measure(self, endpoint: Endpoint, route: EndpointRoute, now_us: int) -> None:
        """Measure realised quality when outcomes came, and now and then as decisions grow older."""
        seen = champion_of(route), self._rooms.tables.version(FEEDBACK)
        known, now_s = self._measured.get(endpoint.name), self._rooms.clock.monotonic()
        if known is None or known[:2] != seen or now_s - known[2] >= _MEASURE_EVERY_S:
            measure_endpoint(self._rooms, endpoint, seen[0], now_us)
            self._measured[endpoint.name] = *seen, now_s


def watch_endpoint(rooms: Rooms, endpoint: Endpoint, route: EndpointRoute, now_us: int) -> int:
    """Judge the drift of the champion's traffic; return how many windows closed.

    Args:
        rooms: The project.
        endpoint: Its definition.
        route: What serves.
        now_us: The present, in microseconds.
    """
    champion = champion_of(route)
    version = rooms.registry.get(champion.model, champion.version)
    if not version.reference_digest:
        return 0
    kept_out = endpoint.prediction_log.redact
    references = {
        name: reference
        for name, reference in references_from_msgpack(rooms.blobs.get(version.reference_digest)).items()
        if name not in kept_out
    }
    verdicts = watch_drift(
        rooms.db,
        monitor_name(route),
        endpoint.name,
        version.subject,
        references,
        lambda cursor: _decisions(rooms, endpoint.name, version, cursor, references),
        policy=DriftPolicy.of(endpoint.monitor),
        window=WindowPolicy(endpoint.monitor.window),
        now_us=now_us,
    )
    return len(verdicts)


def _decisions(
    rooms: Rooms, endpoint: str, version: ModelVersion, cursor: str, watched: Container[str]
) -> Iterator[Batch]:
    """Yield the version's live decisions after the cursor, as columns of its inputs and its score."""
    after = int(cursor or 0)
    while True:
        rows, after_next = rooms.predictions.scan(after, endpoint=endpoint, limit=_ROWS_AT_ONCE)
        if after_next == after:
            return
        after = after_next
        yield Batch(str(after), _columns(rows, version, watched))


def _columns(rows: pa.Table, version: ModelVersion, watched: Container[str]) -> dict[str, list[object]]:
    names = [spec.name for spec in version.signature.inputs]
    places = [i for i, name in enumerate(names) if name in watched]
    records = [
        record
        for record in to_records(rows)
        if (record.model, record.version, record.role, record.error) == (version.model, version.version, "live", "")
        and not any(is_redacted(record.features[i]) for i in places)  # logged under another policy
    ]
    columns: dict[str, list[object]] = {
        name: [record.features[i] for record in records] for i, name in enumerate(names)
    }
    return columns | {SCORE: [record.score for record in records]}


def measure_endpoint(rooms: Rooms, endpoint: Endpoint, champion: Variant, now_us: int) -> None:
    """Measure the champion's realised quality and keep the verdict, if it says something new.

    The present of the measurement is the latest instant decided about, not the wall clock: history that is replayed
    matures as it did then.
    """
    joined = rooms.predictions.joined(
        endpoint.name, model=champion.model, version=champion.version, role="live"
    ).filter(pc.is_valid(pc.field("score")))
    if joined.num_rows == 0:
        return
    outcomes = joined.column("outcome").to_numpy(zero_copy_only=False).astype(np.float64)
    decided_us = joined.column("at_us").to_numpy().astype(np.int64)
    known_us = joined.column("outcome_at_us").drop_null()
    latest_us = max(int(decided_us.max()), max(known_us.to_pylist(), default=0))
    version = rooms.registry.get(champion.model, champion.version)
    quality = measure(
        Joined(
            joined.column("score").to_numpy().astype(np.float64), outcomes, decided_us, rooms.predictions.orphans(), 0
        ),
        now_us=latest_us,
        label_delay_us=endpoint.model.label.delay_us,
        policy=QualityPolicy(min_outcomes=endpoint.monitor.min_outcomes, threshold=version.threshold),
    )
    alerts.report(rooms.db, quality.to_verdict(endpoint.name, now_us, version.subject))


def champion_of(route: EndpointRoute) -> Variant:
    """Return the variant that is watched: the champion, beside a canary too."""
    live = [variant for variant in route.variants if variant.role == "live"]
    return max(live, key=lambda variant: (variant.name == "champion", variant.weight))


def monitor_name(route: EndpointRoute) -> str:
    """Return the name under which the decisions of the version that serves are counted, and which its alerts bear."""
    return f"{route.endpoint}/{champion_of(route).subject}"
