"""Prediction log: every decision and every outcome, appended before its answer leaves."""

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from falaj.definitions.prediction_record import LogRecord
from falaj.kernel.clock import Clock
from falaj.kernel.errors import StorageError

_WARN_EVERY_S = 10.0

UNENCODABLE = (TypeError, ValueError, OverflowError, NotImplementedError)
"""What a value raises that MessagePack does not know, such as one that on-demand code made up."""

_log = logging.getLogger("falaj.serving.prediction_log")


class RecordSink(Protocol):
    """Where encoded records go; `storage.eventlog.SegmentWriter` is one."""

    def write(self, records: Sequence[bytes]) -> None:
        """Append all records with one system call."""
        ...

    def close(self) -> None:
        """Flush and finish."""
        ...


def plain(value: Any) -> Any:
    """Return a NumPy scalar as Python's own number: on-demand functions give those."""
    item = getattr(value, "item", None)
    if item is None:
        raise NotImplementedError(f"a prediction record holds a {type(value).__name__}")
    return item()


class PredictionLog:
    """Encodes records and appends them, one write per flush.

    A full disk does not stop decisions: the answers still go, and the loss is counted and said aloud.

    Args:
        sink: Where the records go.
        clock: So that a full disk is said every ten seconds, not for every record.

    Attributes:
        written: Decisions and outcomes appended; a block counts once for each of its rows.
        dropped: Those lost; zero unless the disk is full or broken, or a value cannot be written down at all.
    """

    def __init__(self, sink: RecordSink, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._encode = msgspec.msgpack.Encoder(enc_hook=plain).encode
        self._warned_s = -_WARN_EVERY_S
        self.written = 0
        self.dropped = 0

    def append(self, records: Sequence[LogRecord], decisions: int = 0) -> bool:
        """Append the records.

        Args:
            records: Decisions and outcomes.
            decisions: How many these are, where a record holds more than one.

        Returns:
            Whether they are kept: a death of the process loses none of them, a power cut at most the last
            `fsync_ms`.
        """
        if not records:
            return True
        encoded = self._encoded(records)
        self.dropped += len(records) - len(encoded)
        try:
            self._sink.write(encoded)
        except StorageError as error:
            self.dropped += decisions or len(encoded)
            self._warn(error)
            return False
        self.written += decisions or len(encoded)
        return len(encoded) == len(records)

    def _encoded(self, records: Sequence[LogRecord]) -> list[bytes]:
        encode = self._encode
        try:
            return [encode(record) for record in records]
        except UNENCODABLE as error:
            if len(records) == 1:
                self._warn(error)
                return []
            return [raw for record in records for raw in self._encoded([record])]  # all others are kept

    def close(self) -> None:
        """Flush what was written; a disk that fails now is only reported, since the answers have left."""
        try:
            self._sink.close()
        except StorageError as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        now_s = self._clock.monotonic()
        if now_s - self._warned_s >= _WARN_EVERY_S:
            self._warned_s = now_s
            _log.error("the prediction log cannot be written, %d records dropped so far: %s", self.dropped, error)
