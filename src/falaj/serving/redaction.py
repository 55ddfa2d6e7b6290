"""Redaction: what an endpoint's policy keeps out of the prediction log, applied before anything is written."""

import hashlib
import logging
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from falaj.definitions.prediction_policy import CLIENT_ID, MARK, PredictionPolicy
from falaj.definitions.prediction_record import BlockRecord, EnsembleRecord, LogRecord, PredictionRecord
from falaj.serving.ensembles import LoadedEnsemble
from falaj.serving.stats import WorkerStats
from falaj.serving.variants import LoadedVariant

_DROPPED = {MARK: "drop"}
_WHOLE = 1 << 32
_HASH_BYTES = 16

_log = logging.getLogger("falaj.serving.redaction")


class Redaction:
    """Leaves out of records what their endpoints' policies say; not called for endpoints that log everything.

    Args:
        key: Key of the hashes. Without one a value that should be hashed is dropped: never more than was asked for.
        stats: Counts what was not sampled.

    Example:
        >>> redaction = Redaction("k", WorkerStats(worker="w"))
        >>> redaction.value("hash", "c1") == redaction.value("hash", "c1") != redaction.value("hash", "c2")
        True
        >>> redaction.value("drop", "c1")
        {'redacted': 'drop'}
    """

    def __init__(self, key: str, stats: WorkerStats) -> None:
        self._key = hashlib.sha256(key.encode()).digest() if key else b""
        self._stats = stats
        self._warned = False

    def apply(self, records: Sequence[LogRecord], variants: Sequence[LoadedVariant]) -> list[LogRecord]:
        """Return the records to write.

        Args:
            records: Of decisions.
            variants: Whose they are, one for each.
        """
        kept: list[LogRecord] = []
        for record, variant in zip(records, variants, strict=True):
            policy = variant.route.prediction_log
            if isinstance(record, EnsembleRecord) and policy.restricts:
                assert isinstance(variant, LoadedEnsemble)
                if not is_sampled(record.decision.request_id, policy.sample_ratio):
                    self._stats.log_unsampled += 1 + len(record.members)
                    continue
                record = self._redacted_together(record, variant, policy)
            elif isinstance(record, PredictionRecord | BlockRecord) and policy.restricts:
                if not is_sampled(record.request_id, policy.sample_ratio):
                    self._stats.log_unsampled += record.rows if isinstance(record, BlockRecord) else 1
                    continue
                if policy.redact:
                    record = self._redacted(record, variant, policy)
            kept.append(record)
        return kept

    def value(self, how: str, value: Any) -> Any:
        """Return what stands in the record for a value; null stays null where a hash was asked for."""
        if how == "drop" or not self._key:
            if how != "drop" and not self._warned:
                self._warned = True
                _log.error("storage.redaction_key is empty: what should be hashed in the prediction log is dropped")
            return _DROPPED
        return None if value is None else {MARK: self._hash(value)}

    def _hash(self, value: Any) -> str:
        digest = hashlib.blake2b(str(value).encode("utf-8", "surrogatepass"), key=self._key, digest_size=_HASH_BYTES)
        return f"hash:{digest.hexdigest()}"

    def _redacted_together(
        self, record: EnsembleRecord, ensemble: LoadedEnsemble, policy: PredictionPolicy
    ) -> EnsembleRecord:
        if not policy.redact:
            return record
        members = [
            self._redacted_row(one, ensemble.inputs_of(one.endpoint, one.variant), policy) for one in record.members
        ]
        return EnsembleRecord(self._redacted_row(record.decision, [], policy), tuple(members))

    def _redacted(
        self, record: PredictionRecord | BlockRecord, variant: LoadedVariant, policy: PredictionPolicy
    ) -> PredictionRecord | BlockRecord:
        if isinstance(record, PredictionRecord):
            return self._redacted_row(record, variant.inputs, policy)
        columns = [i for i, name in enumerate(variant.inputs) if name in policy.redact]
        return _redacted_block(record, self._client_id(record.client_id, policy), columns)

    def _client_id(self, client_id: str, policy: PredictionPolicy) -> str:
        how = policy.redact.get(CLIENT_ID)
        return client_id if how is None or not client_id else self._text(how, client_id)

    def _redacted_row(self, record: PredictionRecord, names: list[str], policy: PredictionPolicy) -> PredictionRecord:
        redact = policy.redact
        hidden = [redact[name] for name in record.entities if name in redact]
        unit = record.unit
        if hidden and unit != record.request_id:  # the unit is made of the entity keys unless the caller gives another
            unit = self._text("drop" if "drop" in hidden else "hash", unit)
        inputs = names if len(names) == len(record.features) else []
        return msgspec.structs.replace(
            record,
            client_id=self._client_id(record.client_id, policy),
            unit=unit,
            entities=self._fields(redact, record.entities),
            request=self._fields(redact, record.request),
            features=[
                self.value(redact[name], value) if name in redact else value
                for name, value in zip(inputs, record.features, strict=True)
            ]
            if inputs
            else record.features,
        )

    def _fields(self, redact: Any, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: self.value(redact[name], one) if name in redact else one for name, one in fields.items()}

    def _text(self, how: str, value: str) -> str:
        found = self.value(how, value)
        return "" if found[MARK] == "drop" else str(found[MARK])


def is_sampled(request_id: str, ratio: float) -> bool:
    """Whether a decision gets a record; the same for all variants that computed for it, and for every process.

    Example:
        >>> is_sampled("req_1", 1.0), is_sampled("req_1", 1e-12)
        (True, False)
    """
    return ratio >= 1 or zlib.crc32(request_id.encode()) < ratio * _WHOLE


def _redacted_block(record: BlockRecord, client_id: str, columns: list[int]) -> BlockRecord:
    """Packed numbers have no room for a hash: what should be hashed is dropped."""
    features = record.features
    if columns:
        matrix = np.frombuffer(features, "<f4").reshape(record.rows, -1).copy()
        matrix[:, columns] = np.nan
        features = matrix.tobytes()
    return msgspec.structs.replace(record, client_id=client_id, features=features, redacted=tuple(columns))
