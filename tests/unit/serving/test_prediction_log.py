"""The prediction log keeps what it says, and a full disk is loud but stops no answer."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from falaj.definitions.prediction_record import FeedbackRecord, LogRecord, PredictionRecord
from falaj.kernel.clock import ManualClock
from falaj.kernel.errors import DiskFull
from falaj.serving.prediction_log import PredictionLog
from falaj.storage.eventlog.segments import SegmentWriter, read_segment


def record(request_id: str = "req_1", score: float = 0.5) -> PredictionRecord:
    return PredictionRecord(
        request_id=request_id, client_id="", endpoint="fraud", variant="champion", role="live", model="fraud",
        version=1, epoch=1, unit="c1", at_us=1, received_us=1, latency_us=1, entities={"card_id": "c1"},
        request={"amount": 1.5}, features=[1, None, float("nan"), "AE", score], statuses={"v": "PRESENT"},
        applied_seq={"v": 7}, score=score,
    )  # fmt: skip


def test_records_come_back_from_the_segment(tmp_path: Path) -> None:
    log = PredictionLog(SegmentWriter(tmp_path, "gateway-0", fsync_ms=0), ManualClock())
    outcome = FeedbackRecord("req_1", 1.0, 5, 6, "ada")
    assert log.append([record(), outcome])
    assert log.append([])
    log.close()
    raw, _ = read_segment(next(tmp_path.glob("*.seg")))
    first, second = (msgspec.msgpack.decode(r, type=LogRecord) for r in raw)
    assert isinstance(first, PredictionRecord)
    assert (first.request_id, first.applied_seq, first.features[3]) == ("req_1", {"v": 7}, "AE")
    assert second == outcome
    assert (log.written, log.dropped) == (2, 0)


def test_numbers_of_numpy_are_kept_as_numbers(tmp_path: Path) -> None:
    log = PredictionLog(SegmentWriter(tmp_path, "g", fsync_ms=0), ManualClock())
    values = [np.float64(0.5), np.float32(0.25), np.int64(3), np.bool_(True)]
    log.append([msgspec.structs.replace(record(), features=values)])
    log.close()
    raw, _ = read_segment(next(tmp_path.glob("*.seg")))
    assert msgspec.msgpack.decode(raw[0], type=PredictionRecord).features == [0.5, 0.25, 3, True]


class FullDisk:
    """A sink on a disk without space, until it has some."""

    def __init__(self) -> None:
        self.full = True
        self.kept = 0

    def write(self, records: Sequence[bytes]) -> None:
        if self.full:
            raise DiskFull("no space left", hint="free some")
        self.kept += len(records)

    def close(self) -> None:
        raise DiskFull("no space left")


def test_a_full_disk_is_counted_and_said_once_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    sink, clock = FullDisk(), ManualClock()
    log = PredictionLog(sink, clock)
    assert not log.append([record(), record()])
    assert not log.append([record()])
    assert len(caplog.records) == 1
    clock.advance(11)
    assert not log.append([record()])
    assert "4 records dropped so far: no space left" in caplog.text
    sink.full = False
    assert log.append([record()])
    assert (log.dropped, log.written, sink.kept) == (4, 1, 1)
    log.close()


def test_a_record_that_cannot_be_written_down_takes_no_other_with_it(tmp_path: Path) -> None:
    log = PredictionLog(SegmentWriter(tmp_path, "g", fsync_ms=0), ManualClock())
    assert not log.append([record("a"), msgspec.structs.replace(record("b"), features=[10**30]), record("c")])
    log.close()
    raw, _ = read_segment(next(tmp_path.glob("*.seg")))
    assert [msgspec.msgpack.decode(r, type=PredictionRecord).request_id for r in raw] == ["a", "c"]
    assert (log.written, log.dropped) == (2, 1)
