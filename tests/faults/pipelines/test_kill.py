"""kill -9 of a worker at every place: the next one finishes the run and repeats no finished step."""

import signal
import threading
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from falaj.governance.access import Actor, Role
from falaj.governance.audit import verify
from falaj.kernel.clock import SystemClock
from falaj.kernel.ids import id_maker
from falaj.pipelines.graph import Graph, Step
from falaj.pipelines.process import process_start
from falaj.pipelines.runs import RunState, run_steps
from falaj.pipelines.submission import submit
from falaj.storage.metadata.database import Database
from faults.pipelines.crashing_worker import open_worker
from faults.pipelines.crashing_worker import start_worker as _start

STEPS = "unit.pipelines.sample_steps"


def _submit(folder: Path, *steps: Step) -> tuple[Database, str]:
    (folder / "blobs").mkdir()
    db = Database.sqlite(folder / "falaj.db")
    db.create_all()
    ada, clock = Actor("ada", Role.ENGINEER), SystemClock()
    return db, submit(db, clock, id_maker(clock), Graph("p", steps), by=ada, reason="fault")


def _step(folder: Path, name: str, function: str, *needs: str, executor: str = "in_process") -> Step:
    params = {"ledger": str(folder / "ledger"), "started": str(folder / "started")}
    return Step(name=name, function=f"{STEPS}:{function}", needs=needs, params=params, executor=executor)  # type: ignore[arg-type]


def _executions(folder: Path) -> Counter[str]:
    ledger = folder / "ledger"
    return Counter(line.split()[1] for line in ledger.read_text().splitlines()) if ledger.exists() else Counter()


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("point", ["claimed", "executed", "stored", "completing", "completed"])
def test_the_next_worker_goes_on(tmp_path: Path, point: str, times: int) -> None:
    db, run_id = _submit(
        tmp_path,
        _step(tmp_path, "write", "write_file"),
        _step(tmp_path, "child", "write_file", "write", executor="child"),
        _step(tmp_path, "read", "read_file", "write", "child"),
    )
    assert _start(tmp_path, point, times).wait(60) == -signal.SIGKILL

    finished = {step.name for step in run_steps(db, run_id) if step.state is RunState.SUCCEEDED}
    assert len(finished) == (times if point == "completed" else times - 1)
    before = _executions(tmp_path)
    _, worker = open_worker(tmp_path)
    assert worker.run_one(run_id).state is RunState.SUCCEEDED

    after = _executions(tmp_path)
    assert {name: after[name] for name in finished} == {name: before[name] for name in finished}
    assert all(count == 1 for name, count in after.items() if name in finished)
    assert all(count <= 2 for count in after.values())
    assert run_steps(db, run_id)[2].outputs["text"].value == "model"
    verify(db)
    db.check()
    db.close()


def test_deaths_all_the_way_repeat_only_the_step_that_was_under_way(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    needs = dict(zip(names, [(), ("a",), ("b",), ("c",)], strict=True))
    db, run_id = _submit(tmp_path, *(_step(tmp_path, name, "add", *needs[name]) for name in names))
    for _ in names:
        # Each worker finishes one step, then dies inside the transaction that ends the next.
        assert _start(tmp_path, "completing", 2).wait(60) in (0, -signal.SIGKILL)
    _, worker = open_worker(tmp_path)
    assert worker.run_one(run_id).state is RunState.SUCCEEDED
    assert _executions(tmp_path) == {"a": 1, "b": 2, "c": 2, "d": 2}
    db.close()


def test_a_death_while_a_failure_is_written_down_repeats_that_try_and_no_more(tmp_path: Path) -> None:
    step = msgspec.structs.replace(_step(tmp_path, "a", "fail_twice"), retries=2)
    db, run_id = _submit(tmp_path, step)
    assert _start(tmp_path, "ending").wait(60) == -signal.SIGKILL
    _, worker = open_worker(tmp_path)
    assert worker.run_one(run_id).state is RunState.SUCCEEDED
    done = run_steps(db, run_id)[0]
    # Tries 1 (died), 2 (failed), 3 (succeeded): the failure that was never written down spent no retry.
    assert (done.epoch, done.failures, done.crashes) == (3, 1, 1)
    db.close()


def test_a_step_that_kills_its_worker_three_times_fails(tmp_path: Path) -> None:
    db, run_id = _submit(tmp_path, _step(tmp_path, "a", "kill_itself"))
    for _ in range(3):
        assert _start(tmp_path).wait(60) == -signal.SIGKILL
    assert _start(tmp_path).wait(60) == 0
    _, worker = open_worker(tmp_path)
    run = worker.run_one(run_id)
    assert run.state is RunState.FAILED
    assert "killed its process 3 times" in (run.error or "")
    assert _executions(tmp_path) == {"a": 3}
    db.close()


def test_the_child_of_a_killed_worker_dies_with_it(tmp_path: Path) -> None:
    db, _ = _submit(tmp_path, _step(tmp_path, "a", "wait_for_ever", executor="child"))
    worker, pause = _start(tmp_path), threading.Event()
    while not (tmp_path / "started").exists():
        pause.wait(0.01)
    pids = [int(pid) for pid in (tmp_path / "started").read_text().split()]
    worker.kill()
    worker.wait(10)
    for _ in range(1000):
        if all(process_start(pid) is None for pid in pids):
            break
        pause.wait(0.01)
    assert [pid for pid in pids if process_start(pid) is not None] == []
    db.close()
