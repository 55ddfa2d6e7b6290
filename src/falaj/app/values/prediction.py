"""Values of the operations on prediction."""

from typing import Any

import msgspec


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


class UnknownQuery(msgspec.Struct, frozen=True):
    """Which of these request ids no decision has."""

    request_ids: list[str]


class Compact(msgspec.Struct, frozen=True):
    """Ask for the gateways' logs to be moved into tables."""


class FeatureValue(msgspec.Struct, frozen=True):
    """One feature that a decision rested on.

    Attributes:
        name: The feature column.
        value: Its value; None for null.
        status: PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE, OUTSIDE_RETENTION, STORE_FAILED, REQUEST, COMPUTED, or
            UNSEEN_VALUE for a text that training never saw. REDACTED where the endpoint's policy keeps it out of the
            log.
    """

    name: str
    value: Any
    status: str


class Provenance(msgspec.Struct, frozen=True):
    """Where a version comes from.

    Attributes:
        dataset: Digest of the dataset that it was trained on; empty for a bare model.
        dataset_rows: Its rows.
        run_id: The run that made it.
        run_reason: Why that run started.
        gate: The gate's outcome.
        gate_report: Digest of the gate report.
        gate_checks: Each check with outcome and reason.
        approved_by: Who approved it.
    """

    dataset: str
    dataset_rows: int
    run_id: str
    run_reason: str
    gate: str
    gate_report: str
    gate_checks: list[Any]
    approved_by: tuple[str, ...]


class MemberDecision(msgspec.Struct, frozen=True):
    """What one member of an ensemble decided.

    Attributes:
        endpoint: The member.
        variant: Which of its variants the unit has.
        model: The model.
        version: The version.
        score: Its answer; None when it failed.
        features: The features, in the model's order.
        applied_seq: Per view, up to which row of its source the features go.
        provenance: Where the version comes from.
        error: Why there is no score.
    """

    endpoint: str
    variant: str
    model: str
    version: int
    score: float | None
    features: tuple[FeatureValue, ...]
    applied_seq: dict[str, int]
    provenance: Provenance
    error: str = ""


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
        members: Of an ensemble, which has no dataset, run or gate of its own: what each member that was asked decided.
        ensemble: Of an ensemble: how it combined them, as it was in force then.
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
    members: tuple[MemberDecision, ...] = ()
    ensemble: dict[str, Any] = {}
