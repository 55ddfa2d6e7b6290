"""A gateway worker that cannot start, or is told to end while it starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from falaj.app.refusal import EXIT, told
from falaj.kernel.errors import Locked
from falaj.storage.eventlog.segments import SegmentWriter
from support.waiting import until


def worker(folder: Path) -> "subprocess.Popen[str]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FALAJ_")}
    (folder / "falaj.toml").write_text('[project]\nname = "fraud"\n')
    return subprocess.Popen(
        [sys.executable, "-m", "falaj.app.gateway", str(folder), "0"], env=environ, stderr=subprocess.PIPE, text=True
    )


def test_it_ends_when_told_to_before_anything_was_published(tmp_path: Path) -> None:
    process = worker(tmp_path)
    stats = tmp_path / ".falaj" / "run" / "stats" / "gateway-0.msgpack"
    until(stats.exists, "it looks for what to serve", within_s=60)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert "ended before it listened" in said
    assert process.returncode == 0
    assert list((tmp_path / ".falaj" / "log" / "predictions").iterdir()) == []


def test_a_name_that_another_one_has_is_told_with_the_setting(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / ".falaj" / "log" / "predictions", "gateway-0")
    process = worker(tmp_path)
    error = told(process.communicate(timeout=60)[1])
    writer.close()
    assert process.returncode == EXIT
    assert isinstance(error, Locked)
    assert "another gateway worker called 'gateway-0' writes in " in error.message
    assert "FALAJ_GATEWAY_NAME" in error.hint
