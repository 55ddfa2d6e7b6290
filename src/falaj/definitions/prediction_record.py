"""PredictionRecord: one logged decision; BlockRecord, EnsembleRecord: several at once; FeedbackRecord: its outcome."""

import struct
from typing import Any, NamedTuple

import msgspec

from falaj.definitions.prediction_policy import MARK

_FLOAT32, _FLOAT64 = 4, 8


class PredictionRecord(msgspec.Struct, frozen=True, tag="prediction", tag_field="kind"):
    """One decision, appended to the log before its answer leaves.

    Attributes:
        request_id: Made by the server.
        client_id: The caller's own id, echoed; may be empty.
        endpoint: The endpoint's name.
        variant: The variant's name.
        role: "live", "shadow", or "test" for who asked for the variant by name.
        model: The model's name.
        version: The version's number.
        epoch: The endpoint's routing epoch.
        unit: What was hashed to choose the variant.
        at_us: T, in microseconds: the features are those of this instant.
        received_us: When the gateway received the request.
        latency_us: From receipt to the record.
        entities: The entity keys.
        request: The request fields.
        features: The feature values in the signature's order, before encoding; None for null. Here and in entities
            and request a value that the endpoint's policy keeps out is `{"redacted": HOW}`.
        statuses: One status per view feature in `views` order, or a single one for all when they agree.
        applied_seq: Per view read, the last `ingest_seq` applied to the entity; 0 when it has no record.
        score: The model's output.
        defaulted: Whether declared defaults stood in for the feature store.
        error: The failure's code; empty on success.
        actor: Who asked.
        trace_id: The caller's or our own trace, 32 hexadecimal digits; empty where none is kept.
        cached: Whether the model's answer to the same features was given again.
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
    trace_id: str = ""
    cached: bool = False


class FeedbackRecord(msgspec.Struct, frozen=True, tag="feedback", tag_field="kind"):
    """The outcome of a decision.

    Attributes:
        request_id: The decision.
        outcome: 0 or 1; of a regression what came true.
        at_us: When the outcome became known, in microseconds.
        received_us: When the gateway received it.
        actor: Who reported it.
    """

    request_id: str
    outcome: float
    at_us: int
    received_us: int
    actor: str = ""


class BlockRecord(msgspec.Struct, frozen=True, tag="block", tag_field="kind"):
    """The decisions on the rows of one request that brought the features itself, packed.

    A thousand records of a row each cost a hundred times what the model takes; these bytes cost nothing to speak of.
    Row 17 of `req_x` is the decision `req_x.17`: compaction writes each row as a `PredictionRecord` of its own.

    Attributes:
        request_id: Made by the server.
        client_id: The caller's own id, echoed; may be empty.
        endpoint: The endpoint's name.
        variant: The variant's name.
        role: "live", "shadow", or "test" for who asked for the variant by name.
        model: The model's name.
        version: The version's number.
        epoch: The endpoint's routing epoch.
        received_us: When the gateway received the request; also T of its rows.
        latency_us: From receipt to the record.
        rows: How many.
        features: The matrix that the model took: float32, little-endian, row by row; NaN for what is not known.
        scores: float64, little-endian, one per row; empty when it failed.
        error: The failure's code; empty on success.
        actor: Who asked.
        redacted: The places of features that were not written down; NaN stands there.
        trace_id: The trace it belongs to.
    """

    request_id: str
    client_id: str
    endpoint: str
    variant: str
    role: str
    model: str
    version: int
    epoch: int
    received_us: int
    latency_us: int
    rows: int
    features: bytes
    scores: bytes
    error: str = ""
    actor: str = ""
    redacted: tuple[int, ...] = ()
    trace_id: str = ""

    def check(self) -> None:
        """Return if its bytes are those of its rows.

        Raises:
            ValueError: They are not.
        """
        features, scores = len(self.features), len(self.scores)
        if self.rows < 1 or features % (_FLOAT32 * self.rows) or scores not in (0, _FLOAT64 * self.rows):
            raise ValueError(f"a block of {self.rows} rows with {features} and {scores} bytes")

    def row(self, number: int) -> PredictionRecord:
        """Return one row as a decision of its own.

        Args:
            number: From 0.
        """
        width = len(self.features) // (_FLOAT32 * self.rows)
        features = struct.unpack_from(f"<{width}f", self.features, number * width * _FLOAT32)
        score = struct.unpack_from("<d", self.scores, number * _FLOAT64)[0] if self.scores else None
        row_id = RowId(self.request_id, number).text
        return PredictionRecord(
            row_id, self.client_id, self.endpoint, self.variant, self.role, self.model, self.version, self.epoch,
            row_id, self.received_us, self.received_us, self.latency_us, {}, {},
            [self._feature(place, value) for place, value in enumerate(features)], {}, {}, score,
            error=self.error, actor=self.actor, trace_id=self.trace_id,
        )  # fmt: skip

    def _feature(self, place: int, value: float) -> float | dict[str, str] | None:
        if place in self.redacted:
            return {MARK: "drop"}
        return None if value != value else value


class EnsembleRecord(msgspec.Struct, frozen=True, tag="ensemble", tag_field="kind"):
    """A decision of an ensemble with those that its members made for it.

    One record, so that no decision is ever kept without what it rests on. Compaction writes each as a row of its own,
    under the same request id: a member's counts as a decision of the member's endpoint.

    Attributes:
        decision: The ensemble's; it has no features of its own.
        members: Each member's, in the order in which they were asked; of a cascade only those that were.
    """

    decision: PredictionRecord
    members: tuple[PredictionRecord, ...]


class RowId(NamedTuple):
    """What a row of a block is called.

    Attributes:
        request_id: The block's.
        row: The row's number, from 0.

    Example:
        >>> RowId("req_x", 17).text, RowId.parse("req_x.17"), RowId.parse("req_x")
        ('req_x.17', RowId(request_id='req_x', row=17), None)
    """

    request_id: str
    row: int

    @property
    def text(self) -> str:
        """How it is written."""
        return f"{self.request_id}.{self.row}"

    @classmethod
    def parse(cls, text: str) -> "RowId | None":
        """Return the row that a text names; None when it names none."""
        request_id, dot, row = text.rpartition(".")
        return cls(request_id, int(row)) if dot and row.isascii() and row.isdigit() and len(row) < 10 else None


LogRecord = PredictionRecord | BlockRecord | EnsembleRecord | FeedbackRecord
