"""Decisions in this process, without a gateway: the same route, checks, features, model and log."""

import time
from typing import Any

import msgspec

from falaj.definitions.routing_table import RoutingTable
from falaj.features.online import OnlineReader
from falaj.governance.access import Actor
from falaj.kernel.clock import to_us
from falaj.kernel.codec import convert
from falaj.lifecycle.publication import policies_of
from falaj.lifecycle.rooms import Rooms
from falaj.rollout.table import current_routes, with_policies
from falaj.serving.batching import Batcher
from falaj.serving.intake import Instance, Intake, Receipt
from falaj.serving.loading import load_serving, model_loader
from falaj.serving.prediction_log import PredictionLog
from falaj.serving.predictor import Predictor
from falaj.serving.redaction import Redaction
from falaj.serving.request_ids import RequestIds
from falaj.serving.rows import Job
from falaj.serving.stages import Stages
from falaj.serving.stats import WorkerStats
from falaj.serving.variants import Serving
from falaj.storage.eventlog.segments import SegmentWriter

_SEGMENT_BYTES = 64 << 20
_WORKER = "local"


def decide(rooms: Rooms, actor: Actor, endpoint: str, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Decide on instances, and log the decisions as the gateway does.

    Args:
        rooms: The project.
        actor: Who asks; already authorised.
        endpoint: Which endpoint.
        instances: Bodies as the gateway's native form takes them.

    Raises:
        NotFound: Nothing serves there.
        InputError: An instance is not what the signature says.
    """
    with rooms.db.read() as connection:
        table = RoutingTable(1, with_policies(current_routes(connection), policies_of(rooms.definitions)))
    route = load_serving(table, Serving(), model_loader(rooms.blobs, rooms.python_place(endpoint))).route(endpoint)
    parsed = [convert(one, Instance, what=f"instance {i}") for i, one in enumerate(instances)]
    stats = WorkerStats(worker=_WORKER)
    writer = SegmentWriter(rooms.state.predictions, _WORKER, _SEGMENT_BYTES, rooms.settings.storage.fsync_ms)
    log = PredictionLog(writer, rooms.clock)
    done: list[Job] = []
    later: list[Any] = []
    try:
        redaction = Redaction(rooms.settings.storage.redaction_key, stats)
        predictor = Predictor(OnlineReader(rooms.online), log, stats, time.monotonic, redaction, Stages(time.monotonic))
        batcher: Batcher[Job] = Batcher(predictor.compute, _raise, later.append, max_rows=len(parsed))
        receipt = Receipt(to_us(rooms.clock.now()), time.monotonic(), actor.name)
        Intake(batcher, RequestIds(), stats, max(1, len(parsed))).decide(route, parsed, receipt, done.append)
        for call in later:
            call()
    finally:
        log.close()
    return [_answer(row) for job in done for row in job.rows]


def _raise(jobs: list[Job], error: Exception) -> None:
    del jobs
    raise error


def _answer(row: Any) -> dict[str, Any]:
    if row.error is not None:
        raise row.error
    return {
        "request_id": row.request_id,
        "prediction": row.score,
        "model": row.variant.spec.model,
        "model_version": row.variant.spec.version,
        "variant": row.variant.spec.name,
        "statuses": msgspec.json.decode(row.variant.statuses_json(row.statuses)),
        "defaulted": row.defaulted,
    }
