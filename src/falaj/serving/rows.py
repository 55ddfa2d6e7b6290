"""Rows and jobs: what one request asks, on its way through the predictor."""

from collections.abc import Callable
from typing import Any

import msgspec

from falaj.kernel.errors import FalajError
from falaj.serving.variants import LoadedVariant


class Row(msgspec.Struct, eq=False):
    """One decision to be made.

    Attributes:
        variant: Who decides.
        request_id: Made by the server.
        client_id: The caller's own id; may be empty.
        unit: What the variant was chosen by.
        at_us: T; the features are those of this instant.
        entities: The entity keys.
        request: The request fields.
        given: The feature values themselves, for callers that send them; then nothing is fetched.
        features: The feature values in the signature's order, once known.
        statuses: Stored feature to status; `*` stands for all when they agree.
        applied_seq: Per view read, the last `ingest_seq` applied.
        score: The model's output.
        defaulted: Whether declared defaults stood in for the feature store.
        error: Why there is no score.
        members: Of an ensemble: the rows that its members decide, in the order in which they were asked.
        cached: Whether the model's answer to the same features was given again.
    """

    variant: LoadedVariant
    request_id: str
    client_id: str
    unit: str
    at_us: int
    entities: dict[str, Any]
    request: dict[str, Any]
    given: list[Any] | None = None
    features: list[Any] = []
    statuses: dict[str, str] = {}
    applied_seq: dict[str, int] = {}
    score: float | None = None
    defaulted: bool = False
    error: FalajError | None = None
    members: tuple["Row", ...] = ()
    cached: bool = False


class Job(msgspec.Struct, eq=False):
    """One request: one or more rows that are answered together.

    Attributes:
        rows: The decisions.
        finish: Answers the caller; called once, when every row has a score or an error.
        received_us: When the request was received.
        started_s: The same on the monotonic clock.
        actor: Who asked.
        shadows: Variants that compute for these rows without deciding: pairs of row and variant.
        trace_id: The trace it belongs to; empty where none is kept.
        deadline_s: On the monotonic clock: what still waits then is not computed; None for no bound.
    """

    rows: list[Row]
    finish: Callable[["Job"], None]
    received_us: int
    started_s: float
    actor: str = ""
    shadows: list[tuple[Row, LoadedVariant]] = []
    trace_id: str = ""
    deadline_s: float | None = None

    @property
    def error(self) -> FalajError | None:
        """The first row's error that there is."""
        for row in self.rows:
            if row.error is not None:
                return row.error
        return None
