"""The access log: whole lines, rotated; what cannot be written is counted."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from falaj.kernel.clock import SystemClock
from falaj.serving.access_log import Access, AccessLog
from support.waiting import until


def access(**changes: Any) -> Access:
    fields: dict[str, Any] = {
        "at_us": 0, "method": "GET", "route": "/v2", "name": "", "actor": "ada", "status": 200, "in_bytes": 0,
        "out_bytes": 9, "spent_us": 120, "gone": False, "trace_id": "", "steps_us": {},
    }  # fmt: skip
    return Access(**(fields | changes))


def open_log(path: Path | None, **more: Any) -> AccessLog:
    return AccessLog(path, "gateway-0", SystemClock(), pause_s=0.01, **more)


def test_lines_go_to_rotated_files_and_the_oldest_go(tmp_path: Path) -> None:
    log = open_log(tmp_path / "a" / "access.jsonl", max_bytes=1000, keep=2)
    for number in range(40):
        log.offer(access(spent_us=number))
        until(lambda wanted=number + 1: log.written == wanted, "the line", every_s=0.002)  # type: ignore[misc]
    log.close()
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert set(names) <= {"access.jsonl", "access.jsonl.1", "access.jsonl.2"}
    assert "access.jsonl.2" in names
    kept = sorted(spent(tmp_path / "a"))
    assert kept == list(range(kept[0], 40))
    assert log.dropped == 0


def spent(folder: Path) -> list[int]:
    return [json.loads(line)["spent_us"] for path in folder.glob("*") for line in path.read_text().splitlines()]


def test_a_file_that_cannot_be_written_is_counted_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "access.jsonl"
    path.mkdir()
    log = open_log(path)
    with caplog.at_level(logging.ERROR):
        for lost in (1, 2):
            log.offer(access())
            until(lambda wanted=lost: log.dropped == wanted, "the loss")  # type: ignore[misc]
    log.close()
    assert len(caplog.records) == 1


def test_lines_go_to_standard_error(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    log = open_log(None)
    log.offer(access(trace_id="ab" * 16, gone=True, steps_us={"route": 7}))
    log.close()
    line = json.loads(capfdbinary.readouterr().err)
    assert (line["trace_id"], line["gone"], line["steps_us"], line["worker"]) == (
        "ab" * 16,
        True,
        {"route": 7},
        "gateway-0",
    )
