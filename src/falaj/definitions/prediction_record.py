"""PredictionRecord: one logged decision; FeedbackRecord: the outcome that arrived later."""

from typing import Any

import msgspec


class PredictionRecord(msgspec.Struct, frozen=True, tag="prediction", tag_field="kind"):
    """One decision, appended to the log before its answer leaves.

    Attributes:
        request_id: Made by the server.
        client_id: The caller's own id, echoed; may be empty.
        endpoint: The endpoint's name.
        variant: The variant's name.
        role: "live" or "shadow".
        model: The model's name.
        version: The version's number.
        epoch: The endpoint's routing epoch.
        unit: What was hashed to choose the variant.
        at_us: T, in microseconds: the features are those of this instant.
        received_us: When the gateway received the request.
        latency_us: From receipt to the record.
        entities: The entity keys.
        request: The request fields.
        features: The feature values in the signature's order, before encoding; None for null.
        statuses: One status per view feature in `views` order, or a single one for all when they agree.
        applied_seq: Per view read, the last `ingest_seq` applied to the entity; 0 when it has no record.
        score: The model's output.
        defaulted: Whether declared defaults stood in for the feature store.
        error: The failure's code; empty on success.
        actor: Who asked.
    """

    request_id: str
    client_id: str
    endpoint: str
    variant: str
    role: str
    model: str
    version: int
    epoch: int
    unit: str
    at_us: int
    received_us: int
    latency_us: int
    entities: dict[str, Any]
    request: dict[str, Any]
    features: list[Any]
    statuses: dict[str, str]
    applied_seq: dict[str, int]
    score: float | None
    defaulted: bool = False
    error: str = ""
    actor: str = ""


class FeedbackRecord(msgspec.Struct, frozen=True, tag="feedback", tag_field="kind"):
    """The outcome of a decision.

    Attributes:
        request_id: The decision.
        outcome: 0 or 1.
        at_us: When the outcome became known, in microseconds.
        received_us: When the gateway received it.
        actor: Who reported it.
    """

    request_id: str
    outcome: float
    at_us: int
    received_us: int
    actor: str = ""


LogRecord = PredictionRecord | FeedbackRecord
