"""Operations on decisions: ask for one here, explain one, compact the log."""

from typing import Any

import msgspec
import pyarrow.compute as pc

from falaj.data.prediction_table import FEEDBACK
from falaj.data.predictions import Compaction
from falaj.definitions.prediction_record import PredictionRecord
from falaj.governance.access import Actor
from falaj.governance.approvals import ApprovalState
from falaj.lifecycle.rooms import Rooms
from falaj.models.gate_report import load_report
from falaj.models.version import ModelVersion
from falaj.pipelines.runs import get_run


class LocalPredict(msgspec.Struct, frozen=True):
    """Ask an endpoint in this process, without a gateway.

    Attributes:
        endpoint: Which endpoint.
        instances: Bodies as the gateway takes them: entities, request, id, unit, at.
    """

    endpoint: str
    instances: list[dict[str, Any]]


class WhyQuery(msgspec.Struct, frozen=True):
    """Which decision to explain."""

    request_id: str


class Compact(msgspec.Struct, frozen=True):
    """Ask for the gateways' logs to be moved into tables."""


class FeatureValue(msgspec.Struct, frozen=True):
    """One feature that a decision rested on.

    Attributes:
        name: The feature column.
        value: Its value; None for null.
        status: PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE, OUTSIDE_RETENTION, REQUEST or COMPUTED.
    """

    name: str
    value: Any
    status: str


class Explanation(msgspec.Struct, frozen=True):
    """All that one decision rests on.

    Attributes:
        request_id: The decision.
        endpoint: Where it was asked.
        variant: Which variant answered.
        model: The model.
        version: The version.
        score: The answer.
        at_us: T, in microseconds.
        unit: What was hashed to choose the variant.
        epoch: The endpoint's routing epoch.
        actor: Who asked.
        entities: The entity keys.
        request: The request fields.
        features: The features, in the model's order.
        applied_seq: Per view, up to which row of its source the features go.
        views: Per view, the digest of the definition that the version pinned.
        dataset: Digest of the dataset that the version was trained on.
        dataset_rows: Its rows.
        run_id: The run that made the version.
        run_reason: Why that run started.
        gate: The gate's outcome.
        gate_report: Digest of the gate report.
        gate_checks: Each check with outcome and reason.
        approved_by: Who approved the version.
        outcome: The outcome that arrived later; None while unknown.
    """

    request_id: str
    endpoint: str
    variant: str
    model: str
    version: int
    score: float | None
    at_us: int
    unit: str
    epoch: int
    actor: str
    entities: dict[str, Any]
    request: dict[str, Any]
    features: tuple[FeatureValue, ...]
    applied_seq: dict[str, int]
    views: dict[str, str]
    dataset: str
    dataset_rows: int
    run_id: str
    run_reason: str
    gate: str
    gate_report: str
    gate_checks: list[dict[str, Any]]
    approved_by: tuple[str, ...]
    outcome: float | None


def why(rooms: Rooms, actor: Actor, params: WhyQuery) -> Explanation:
    """Explain one decision."""
    del actor
    record = rooms.predictions.find(params.request_id)
    version = rooms.registry.get(record.model, record.version)
    report = load_report(rooms.blobs, version.gate_digest) if version.gate_digest else None
    approvals = rooms.approvals.find(kind="model", subject=version.subject, state=ApprovalState.APPROVED)
    return Explanation(
        record.request_id,
        record.endpoint,
        record.variant,
        record.model,
        record.version,
        record.score,
        record.at_us,
        record.unit,
        record.epoch,
        record.actor,
        record.entities,
        record.request,
        _features(record, version),
        record.applied_seq,
        {view.name: view.digest for view in (version.service.views if version.service else ())},
        version.dataset_digest,
        rooms.datasets.get(version.dataset_digest).rows,
        version.run_id,
        get_run(rooms.db, version.run_id).reason,
        version.gate_outcome or "none",
        version.gate_digest,
        [msgspec.to_builtins(check) for check in report.checks] if report else [],
        tuple(approval.decided_by for approval in approvals if approval.decided_by),
        _outcome(rooms, record.request_id),
    )


def _outcome(rooms: Rooms, request_id: str) -> float | None:
    """Return the outcome that became known last, or None."""
    rooms.predictions.compact()
    if rooms.tables.version(FEEDBACK) is None:
        return None
    rows = rooms.tables.read(FEEDBACK).to_table(filter=pc.field("request_id") == request_id)
    found = sorted(
        zip(rows["at_us"].to_pylist(), rows["received_us"].to_pylist(), rows["outcome"].to_pylist(), strict=True)
    )
    return found[-1][2] if found else None


def _features(record: PredictionRecord, version: ModelVersion) -> tuple[FeatureValue, ...]:
    service = version.service
    request = {field.name for field in service.request} if service else set()
    computed = {view.name for view in service.on_demand} if service else set()
    everything = record.statuses.get("*", "")
    found = []
    for spec, value in zip(version.signature.inputs, record.features, strict=False):
        status = "REQUEST" if spec.name in request else "COMPUTED" if spec.name in computed else ""
        found.append(FeatureValue(spec.name, value, status or record.statuses.get(spec.name, everything)))
    return tuple(found)


def compact(rooms: Rooms, actor: Actor, params: Compact) -> Compaction:
    """Move what the gateways logged into the tables."""
    del actor, params
    return rooms.predictions.compact()


def predict(rooms: Rooms, actor: Actor, params: LocalPredict) -> list[dict[str, Any]]:
    """Decide in this process, by the same code as the gateway, and log as it does."""
    from falaj.app.local_gateway import decide

    return decide(rooms, actor, params.endpoint, params.instances)
