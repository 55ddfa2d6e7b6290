"""Child processes: real timeouts, real cancellation, no orphans, no pickle."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from falaj.cost.report import report
from falaj.kernel.settings import CostSettings
from falaj.pipelines.executors import end_leftover
from falaj.pipelines.process import process_start
from falaj.pipelines.runs import RunState, get_run, run_attempts
from falaj.pipelines.submission import cancel
from unit.pipelines.worker_bench import Bench


def _wait_for(path: Path) -> list[int]:
    pause = threading.Event()
    while not path.exists():
        pause.wait(0.01)
    return [int(pid) for pid in path.read_text().split()]


def _wait_until_gone(pids: list[int]) -> None:
    pause = threading.Event()
    for _ in range(500):
        if all(process_start(pid) is None for pid in pids):
            return
        pause.wait(0.01)
    pytest.fail(f"still alive: {[pid for pid in pids if process_start(pid) is not None]}")


def test_a_child_gets_its_context_and_gives_plain_values_and_files_back(bench: Bench) -> None:
    run = bench.run(
        bench.step("look", "look", executor="child", params={"trees": 150}),
        bench.step("write", "write_file", executor="child"),
        bench.step("read", "read_file", executor="child", needs=("write",)),
    )
    assert run.error is None
    steps = bench.steps(run.id)
    seen = {name: output.value for name, output in steps["look"].outputs.items()}
    assert seen["params"]["trees"] == 150
    assert seen["resources"] == {"made from": {"folder": "f"}}
    assert seen["pid"] != os.getpid()
    assert steps["read"].outputs["text"].value == "model"
    assert "looked around" in Path(steps["look"].log or "").read_text()


def test_a_failure_in_a_child_tells_its_sentence_and_its_traceback(bench: Bench) -> None:
    run = bench.run(bench.step("a", "fail_for_good", executor="child", retries=3))
    assert run.error == "step 'a': column 'amount' is missing (add it)"
    assert bench.executions() == ["a"]
    assert "Traceback" in Path(bench.steps(run.id)["a"].log or "").read_text()


def test_a_timeout_ends_the_whole_group(bench: Bench) -> None:
    started = bench.folder / "started"
    step = bench.step("a", "wait_for_ever", executor="child", timeout_s=1.0, params={"started": str(started)})
    run = bench.run(step)
    assert run.state is RunState.TIMED_OUT
    assert run.error == "step 'a': it took longer than its timeout_s = 1"
    _wait_until_gone(_wait_for(started))


def test_cancel_ends_the_whole_group_within_a_second_or_so(bench: Bench) -> None:
    started = bench.folder / "started"
    run_id = bench.submit(bench.step("a", "wait_for_ever", executor="child", params={"started": str(started)}))
    thread = threading.Thread(target=bench.worker().run_until_idle)
    thread.start()
    pids = _wait_for(started)
    cancel(bench.db, bench.clock, run_id, by=bench.actor)
    thread.join(20)
    assert get_run(bench.db, run_id).state is RunState.CANCELLED
    _wait_until_gone(pids)


def test_a_worker_told_to_stop_ends_the_child_and_gives_the_step_back(bench: Bench) -> None:
    started, stop = bench.folder / "started", threading.Event()
    run_id = bench.submit(bench.step("a", "wait_for_ever", executor="child", params={"started": str(started)}))
    thread = threading.Thread(target=bench.worker().run_until_idle, args=(stop,))
    thread.start()
    pids = _wait_for(started)
    stop.set()
    thread.join(20)
    step = bench.steps(run_id)["a"]
    assert (step.state, step.error, step.crashes) == (RunState.PENDING, "the worker was told to stop", 0)
    _wait_until_gone(pids)


def test_a_child_that_is_killed_three_times_is_a_failure(bench: Bench) -> None:
    run = bench.run(bench.step("a", "kill_itself", executor="child"))
    assert bench.executions() == ["a", "a", "a"]
    assert run.state is RunState.FAILED
    assert "killed its process 3 times" in (run.error or "")
    assert "signal 9" in (run.error or "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process by RLIMIT_DATA")
def test_a_memory_limit_holds(bench: Bench) -> None:
    run = bench.run(bench.step("a", "take_memory", executor="child", memory_bytes=512 << 20))
    assert run.error == "step 'a': MemoryError"


def test_a_leftover_child_is_killed_and_a_later_process_with_its_pid_is_not(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    (tmp_path / "child.pid").write_text(f"{child.pid} another-start")
    end_leftover(tmp_path)
    assert child.poll() is None
    (tmp_path / "child.pid").write_text(f"{child.pid} {process_start(child.pid)}")
    end_leftover(tmp_path)
    assert child.wait(10) == -signal.SIGKILL
    end_leftover(tmp_path)
    end_leftover(tmp_path / "absent")


def test_a_starting_child_loads_no_sql_and_no_dataframes() -> None:
    code = (
        "import sys, falaj.pipelines.child;"
        "print([m for m in ('sqlalchemy', 'numpy', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_a_killed_child_used_is_paid_for(bench: Bench) -> None:
    """Else a training that runs out of memory each time would cost nothing, and no budget would stop it."""
    run = bench.run(bench.step("a", "work_until_killed", executor="child"))
    spent = [tried.cpu_seconds for tried in run_attempts(bench.db, run.id)]
    assert len(spent) == 3 and min(spent) > 0.5
    (line,) = report(bench.db, CostSettings())
    assert line.used.cpu_seconds == pytest.approx(sum(spent))


def test_what_a_child_used_until_its_time_was_over_is_paid_for(bench: Bench) -> None:
    params = {"started": str(bench.folder / "started")}
    run = bench.run(bench.step("a", "wait_for_ever", executor="child", timeout_s=1.0, params=params))
    (tried,) = run_attempts(bench.db, run.id)
    assert tried.state == "TIMED_OUT" and tried.cpu_seconds > 0
