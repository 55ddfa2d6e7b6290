"""The supervisor: children that die come back after a pause that grows, and end when they are told to."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from falaj.app.child import Child
from falaj.app.supervisor import Supervised, Supervisor, claim, find_supervisor, stop_supervisor
from falaj.kernel.errors import Conflict, ExtraMissing, ProjectError
from falaj.pipelines.process import process_start
from support.waiting import until

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def child(folder: Path, program: str) -> Child:
    return Child("control", [sys.executable, "-c", program], folder / "control.log")


def ended(one: Child) -> int:
    """Wait until it has ended, and return its code."""
    assert one.process is not None
    return one.process.wait(30)


def test_a_child_that_dies_comes_back_after_a_pause_that_grows(tmp_path: Path) -> None:
    one, now = child(tmp_path, "raise SystemExit(3)"), time.monotonic()
    one.start()
    pauses = []
    for _ in range(7):
        assert ended(one) == 3
        told = one.watch(now) or ""
        assert told.startswith("control ended with exit code 3; back in ")
        pauses.append(float(told.split("back in ")[1].split(" s")[0]))
        assert one.watch(now + pauses[-1] - 0.01) is None
        assert one.watch(now + pauses[-1]) == "control restarted"
    assert pauses == [0.2, 0.5, 1, 2, 5, 5, 5]
    ended(one)
    assert "back in 0.2 s" in (one.watch(now + 3600) or "")  # it had run for long: this is another trouble


def test_a_child_that_was_killed_is_named_by_its_signal(tmp_path: Path) -> None:
    one = child(tmp_path, "import time; time.sleep(60)")
    one.start()
    assert one.watch(time.monotonic()) is None
    assert one.process is not None
    one.process.send_signal(signal.SIGKILL)
    ended(one)
    assert "ended with signal SIGKILL" in (one.watch(time.monotonic()) or "")
    one.stop(within_s=1)  # none is there
    assert one.process is None


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    one = child(tmp_path, DEAF)
    one.start()
    until(lambda: "up" in one.log.read_text(), "the child is up")
    one.stop(within_s=0.2)
    assert ended(one) == -signal.SIGKILL
    one.stop(within_s=0.2)


REFUSES = "import sys; sys.stderr.write('error [{}] no luck\\n  fix  try\\n'); sys.exit(78)"


def test_a_child_that_says_why_it_does_not_start_is_understood(tmp_path: Path) -> None:
    one, now = child(tmp_path, REFUSES.format("extra_missing")), time.monotonic()
    one.log.write_text("error [not_found] of an earlier run\n")
    one.start()
    ended(one)
    told = one.watch(now) or ""
    assert told.startswith("control does not start: no luck; try; back in 0.2 s")
    assert isinstance(one.refusal, ExtraMissing)
    assert one.refusal.hint == "try"
    one.watch(now + 1)
    ended(one)
    one.watch(now + 3600)
    assert one.refusal is None  # it ran for long: it had started


@pytest.mark.parametrize("file", ["", "[gateway]\nport = 'x'\n"])
def test_a_supervisor_ends_with_the_reason_of_a_child_that_does_not_start(tmp_path: Path, file: str) -> None:
    state = tmp_path / ".falaj"
    (state / "run").mkdir(parents=True)
    (state / "log").mkdir()
    if file:
        (tmp_path / "falaj.toml").write_text(file)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        supervisor = Supervisor(state, tmp_path, listener, workers=1, with_control=False, say=print)
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            with pytest.raises(ProjectError, match=r"\[gateway\] port" if file else "does not exist"):
                supervisor.run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    assert [one.process for one in supervisor.children] == [None]
    assert find_supervisor(state) is None


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder."""
    (tmp_path / "run").mkdir()
    return tmp_path


def write(state: Path, pid: int, started: str) -> None:
    (state / "run" / "supervisor.json").write_bytes(msgspec.json.encode(Supervised(pid, started)))


@pytest.mark.parametrize("takeover", [False, True])
def test_a_supervisor_ends_when_its_state_is_not_its_own_any_more(tmp_path: Path, takeover: bool) -> None:
    """Nobody could find it otherwise, and it would hold its ports."""
    (tmp_path / "state" / "run").mkdir(parents=True)
    program = (
        "import socket, sys; from pathlib import Path; from falaj.app.supervisor import Supervisor\n"
        "state = Path(sys.argv[1])\n"
        "with socket.create_server(('127.0.0.1', 0)) as listener:\n"
        "    Supervisor(state, state, listener, workers=0, with_control=False, say=print).run()\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "state")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    state = tmp_path / "state"
    until(lambda: find_supervisor(state) is not None, "it has claimed the project")
    (state / "run").rename(tmp_path / "away")
    if takeover:
        (state / "run").mkdir()
        claim(state)
    said, _ = process.communicate(timeout=30)
    assert "was removed or taken over: ending" in said
    assert process.returncode == 0
    found = find_supervisor(state)
    assert (found is not None and found.pid == os.getpid()) if takeover else found is None


def test_one_supervisor_has_a_project(state: Path) -> None:
    assert find_supervisor(state) is None
    claim(state)
    claim(state)  # it is this process's own
    assert find_supervisor(state) == Supervised(os.getpid(), process_start(os.getpid()) or "")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        write(state, other.pid, process_start(other.pid) or "")
        with pytest.raises(Conflict, match=f"process {other.pid}"):
            claim(state)
        assert stop_supervisor(state, within_s=30)
        assert other.wait(30) == -signal.SIGTERM
    assert not stop_supervisor(state)
    claim(state)


def test_another_process_of_the_same_number_is_none(state: Path) -> None:
    write(state, os.getpid(), "long ago")
    assert find_supervisor(state) is None
    assert not stop_supervisor(state)
    (state / "run" / "supervisor.json").write_bytes(b"{")
    assert find_supervisor(state) is None
