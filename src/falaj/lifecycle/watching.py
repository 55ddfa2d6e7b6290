"""Watching: what an endpoint decided is held against what its version was tested on, and against the outcomes."""

from datetime import datetime

import msgspec
import numpy as np
import pyarrow.compute as pc

from falaj.data.prediction_table import FEEDBACK
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.routing_table import EndpointRoute, Variant
from falaj.kernel.clock import to_us
from falaj.lifecycle.decided import decisions_after, values_of
from falaj.lifecycle.each import for_each
from falaj.lifecycle.rooms import Rooms
from falaj.models.version import ModelVersion
from falaj.monitoring import alerts
from falaj.monitoring.column_values import as_names
from falaj.monitoring.monitors import WindowPolicy, watch_drift
from falaj.monitoring.performance import Joined, QualityPolicy, measure, measure_segments
from falaj.monitoring.questions import DriftPolicy
from falaj.monitoring.references import references_from_msgpack
from falaj.rollout import table

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
    monitor = endpoint.monitor
    references = references_from_msgpack(rooms.blobs.get(version.reference_digest))[monitor.reference]
    references = references.watching(without=endpoint.prediction_log.redact, segments=monitor.segments)
    verdicts = watch_drift(
        rooms.db,
        monitor_name(route),
        endpoint.name,
        version.subject,
        references,
        lambda cursor: decisions_after(rooms, endpoint.name, version, cursor, references.columns),
        policy=DriftPolicy.of(monitor),
        window=WindowPolicy.of(monitor.window, monitor.window_us),
        now_us=now_us,
    )
    return len(verdicts)


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
    scores = joined.column("score").to_numpy().astype(np.float64)
    known = Joined(scores, outcomes, decided_us, rooms.predictions.orphans(), 0)
    policy = quality_policy(version, endpoint.monitor.min_outcomes)
    delay_us = endpoint.model.label.delay_us
    quality = measure(known, now_us=latest_us, label_delay_us=delay_us, policy=policy)
    inputs = {spec.name for spec in version.signature.inputs}
    segments = {
        by: as_names(values_of(joined, version, by)).to_pylist() for by in endpoint.monitor.segments if by in inputs
    }
    within = measure_segments(known, segments, now_us=latest_us, label_delay_us=delay_us, policy=policy)
    quality = msgspec.structs.replace(quality, segments=within)
    alerts.report(rooms.db, quality.to_verdict(endpoint.name, now_us, version.subject))


def quality_policy(version: ModelVersion, min_outcomes: int) -> QualityPolicy:
    """Return what is needed before a version's realised metrics are believed.

    Args:
        version: The version.
        min_outcomes: Least labelled decisions.
    """
    if version.threshold is None:
        return QualityPolicy(min_outcomes=min_outcomes, task=version.task)
    return QualityPolicy(min_outcomes=min_outcomes, threshold=version.threshold, task=version.task)


def champion_of(route: EndpointRoute) -> Variant:
    """Return the variant that is watched: the champion, beside a canary too."""
    live = [variant for variant in route.variants if variant.role == "live"]
    return max(live, key=lambda variant: (variant.name == "champion", variant.weight))


def monitor_name(route: EndpointRoute) -> str:
    """Return the name under which the decisions of the version that serves are counted, and which its alerts bear."""
    return f"{route.endpoint}/{champion_of(route).subject}"
