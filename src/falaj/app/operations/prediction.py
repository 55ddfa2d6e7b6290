"""Operations on decisions: ask for one here, explain one, compact the log."""

import contextlib
from typing import Any

import msgspec
import pyarrow.compute as pc

from falaj.app.values.prediction import (
    Compact,
    Explanation,
    FeatureValue,
    LocalPredict,
    MemberDecision,
    Provenance,
    UnknownQuery,
    WhyQuery,
)
from falaj.data.prediction_table import FEEDBACK
from falaj.data.predictions import Compaction
from falaj.definitions.prediction_policy import is_redacted, shown
from falaj.definitions.prediction_record import PredictionRecord
from falaj.governance.access import Actor
from falaj.governance.approvals import ApprovalState
from falaj.kernel.errors import CorruptionError, NotFound
from falaj.lifecycle.rooms import Rooms
from falaj.models.gate_report import load_report
from falaj.models.version import ModelVersion
from falaj.pipelines.runs import get_run
from falaj.rollout.table import route_history


def why(rooms: Rooms, actor: Actor, params: WhyQuery) -> Explanation:
    """Explain one decision."""
    del actor
    record = rooms.predictions.find(params.request_id)
    if record.model not in (*rooms.registry.models(), *rooms.registry.bare_models()):
        return _ensemble(rooms, record)
    version = rooms.registry.get(record.model, record.version)
    made = _provenance(rooms, version)
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
        {name: shown(value) for name, value in record.entities.items()},
        {name: shown(value) for name, value in record.request.items()},
        features_of(record, version),
        record.applied_seq,
        {view.name: view.digest for view in (version.service.views if version.service else ())},
        made.dataset,
        made.dataset_rows,
        made.run_id,
        made.run_reason,
        made.gate,
        made.gate_report,
        made.gate_checks,
        made.approved_by,
        _outcome(rooms, record.request_id),
    )


def _provenance(rooms: Rooms, version: ModelVersion) -> Provenance:
    report = load_report(rooms.blobs, version.gate_digest) if version.gate_digest else None
    approvals = rooms.approvals.find(kind="model", subject=version.subject, state=ApprovalState.APPROVED)
    rows, reason = 0, "added as a file"
    if version.tensors is None:
        reason = "not kept"
        with contextlib.suppress(NotFound):  # what was decided is explained though its dataset or run is gone
            rows = rooms.datasets.get(version.dataset_digest).rows
        with contextlib.suppress(NotFound):
            reason = get_run(rooms.db, version.run_id).reason
    return Provenance(
        version.dataset_digest,
        rows,
        version.run_id,
        reason,
        version.gate_outcome or "none",
        version.gate_digest,
        [msgspec.to_builtins(check) for check in report.checks] if report else [],
        tuple(approval.decided_by for approval in approvals if approval.decided_by),
    )


def _ensemble(rooms: Rooms, record: PredictionRecord) -> Explanation:
    """Explain the decision of an ensemble by those of its members."""
    outcome = _outcome(rooms, record.request_id)  # which brings the tables up, and they have the members
    members = []
    for one in rooms.predictions.members(record):
        version = rooms.registry.get(one.model, one.version)
        members.append(
            MemberDecision(
                one.endpoint, one.variant, one.model, one.version, one.score, features_of(one, version),
                one.applied_seq, _provenance(rooms, version), one.error,
            )
        )  # fmt: skip
    with rooms.db.read() as connection:
        past = route_history(connection, record.endpoint)
    specs = [v.ensemble for change in past if change.route.epoch == record.epoch for v in change.route.variants]
    return Explanation(
        record.request_id, record.endpoint, record.variant, record.model, record.version, record.score, record.at_us,
        record.unit, record.epoch, record.actor, {name: shown(value) for name, value in record.entities.items()},
        {name: shown(value) for name, value in record.request.items()}, (), record.applied_seq, {}, "", 0, "",
        "its members decided", "none", "", [], (), outcome, tuple(members),
        msgspec.to_builtins(specs[0]) if specs else {},
    )  # fmt: skip


def _outcome(rooms: Rooms, request_id: str) -> float | None:
    """Return the outcome that became known last, or None."""
    _bring_up(rooms)
    if rooms.tables.version(FEEDBACK) is None:
        return None
    rows = rooms.tables.read(FEEDBACK).to_table(filter=pc.field("request_id") == request_id)
    found = sorted(
        zip(rows["at_us"].to_pylist(), rows["received_us"].to_pylist(), rows["outcome"].to_pylist(), strict=True)
    )
    return found[-1][2] if found else None


def unknown(rooms: Rooms, actor: Actor, params: UnknownQuery) -> list[str]:
    """Return those request ids that no decision has: an outcome of one would count for nothing."""
    del actor
    _bring_up(rooms)
    return rooms.predictions.unknown(params.request_ids)


def _bring_up(rooms: Rooms) -> None:
    """Bring the tables up to what the gateways logged; what is damaged is said by the monitor."""
    with contextlib.suppress(CorruptionError):
        rooms.predictions.compact()


def features_of(record: PredictionRecord, version: ModelVersion) -> tuple[FeatureValue, ...]:
    """Return what a decision rested on, each with where it came from; what was not written down says so."""
    service = version.service
    request = {field.name for field in service.request} if service else set()
    computed = {view.name for view in service.on_demand} if service else set()
    everything = record.statuses.get("*", "")
    found = []
    for spec, value in zip(version.signature.inputs, record.features, strict=False):
        origin = "REQUEST" if spec.name in request else "COMPUTED" if spec.name in computed else everything
        status = "REDACTED" if is_redacted(value) else record.statuses.get(spec.name, origin)
        found.append(FeatureValue(spec.name, shown(value), status))
    return tuple(found)


def compact(rooms: Rooms, actor: Actor, params: Compact) -> Compaction:
    """Move what the gateways logged into the tables."""
    del actor, params
    return rooms.predictions.compact()


def predict(rooms: Rooms, actor: Actor, params: LocalPredict) -> list[dict[str, Any]]:
    """Decide in this process, by the same code as the gateway, and log as it does."""
    from falaj.app.local_gateway import decide

    with rooms.deciding:  # its log has one writer
        return decide(rooms, actor, params.endpoint, params.instances)
