"""Steps on a real Ray of two nodes, whatever becomes of their workers: done once, adopted, and really ended."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from falaj.definitions.pipeline import Pipeline
from falaj.governance.access import Actor, Role
from falaj.governance.audit import verify
from falaj.kernel.clock import SystemClock
from falaj.pipelines.process import process_start
from falaj.pipelines.runs import Run, RunState, StepRun, get_run, run_attempts, run_steps
from falaj.pipelines.submission import cancel
from falaj.pipelines.task import job_name
from falaj.storage.metadata.database import Database
from faults.pipelines.crashing_worker import open_worker, start_worker
from faults.pipelines.test_own_pipeline import begin
from support.databases import own_schema
from support.ray_cluster import RayCluster
from support.waiting import until
from unit.pipelines import ray_pipelines as own

ADA = Actor("ada", Role.ENGINEER)


class World:
    """A run of a pipeline whose steps run on Ray."""

    def __init__(self, folder: Path, ray: RayCluster, pipeline: Pipeline, **params: Any) -> None:
        self.folder = folder
        (folder / "ray.address").write_text(f"{ray.address} {ray.token}")
        (folder / "secrets").mkdir()
        (folder / "secrets" / "API_KEY").touch(mode=0o600)
        (folder / "secrets" / "API_KEY").write_text("s3cret-value")
        self.db: Database
        self.db, self.run_id = begin(folder, pipeline, "project", **params)

    def finish(self) -> Run:
        """Work on the run to its end, in this process."""
        db, worker = open_worker(self.folder, lease_s=1.0)
        run = worker.run_one(self.run_id)
        db.close()
        return run

    def done(self) -> list[str]:
        ledger = self.folder / "ledger"
        return ledger.read_text().splitlines() if ledger.exists() else []

    def began(self) -> int:
        """Wait for the step that is held to begin; return its process."""
        return int(until(self.done, "the step has begun")[-1].split()[1])

    def let_go(self) -> None:
        (self.folder / "ledger.go").touch()

    def step(self, name: str) -> StepRun:
        return next(step for step in run_steps(self.db, self.run_id) if step.name == name)

    def tries(self, name: str) -> list[str]:
        return [str(one.state) for one in run_attempts(self.db, self.run_id) if one.step == name]

    def log(self, name: str) -> str:
        return (self.folder / "logs" / self.run_id / f"{name}.log").read_text()

    def close(self) -> None:
        verify(self.db)
        self.db.check()
        # A finished job leaves nothing behind.
        assert not list((self.folder / "jobs").iterdir())
        self.db.close()


def _is_followed(step: StepRun, epoch: int) -> bool:
    return (step.epoch, step.progress, step.state) == (epoch, 0.5, RunState.RUNNING)


def gone(pid: int) -> None:
    until(lambda: process_start(pid) is None, "the step's process has ended")


def test_steps_run_where_there_is_what_they_ask_for(tmp_path: Path, ray: RayCluster) -> None:
    world = World(tmp_path, ray, own.spread)
    run = world.finish()
    assert run.error is None
    first, second = {"node": "head", "sum": 3, "key": 12}, {"node": "second", "cards": "0"}
    assert world.step("joined").outputs["result"].value == [first, second]
    assert sorted(line.split()[0] for line in world.done()) == ["head", "second"]
    # What a person with the dashboard sees is names.
    shown = ray.shown(world.run_id)
    assert shown.count("PENDING") == 0
    assert shown.count("falaj.pipelines.ray.child") == 2
    assert "on_head" in shown
    assert "s3cret" not in shown
    assert "ledger" not in shown
    assert "the key is ***" in world.log("on_head")
    assert not any("s3cret" in file.read_text() for file in ray.logs())
    world.close()


PLACES = ("named", "submitted", "executed", "stored", "completing", "completed")


@pytest.mark.parametrize("place", PLACES)
def test_a_step_is_done_once_wherever_its_worker_dies(tmp_path: Path, ray: RayCluster, place: str) -> None:
    world = World(tmp_path, ray, own.done_once)
    assert start_worker(tmp_path, place, run_id=world.run_id).wait(60) == -signal.SIGKILL
    assert world.finish().state is RunState.SUCCEEDED
    assert world.done() == ["once"]
    assert world.tries("once") == (["SUCCEEDED"] if place == "completed" else ["LOST", "SUCCEEDED"])
    assert (world.step("once").failures, world.step("once").crashes) == (0, 0)
    # The next worker begins what was not begun, and looks for what may have been.
    words = {"named": "on Ray: job", "submitted": "on Ray: adopted job"}.get(place, "")
    assert words in world.log("once").rpartition(" try 2 ")[2]
    world.close()


def test_a_step_is_done_once_with_a_server(tmp_path: Path, ray: RayCluster, postgres_url: str) -> None:
    (tmp_path / "database.url").write_text(own_schema(postgres_url))
    test_a_step_is_done_once_wherever_its_worker_dies(tmp_path, ray, "submitted")


def test_a_running_job_is_adopted_after_kill_9_and_its_words_go_on(tmp_path: Path, ray: RayCluster) -> None:
    world = World(tmp_path, ray, own.holding)
    for number in range(1, 5):  # more deaths than a step of this machine survives
        worker = start_worker(tmp_path, run_id=world.run_id)
        pid = world.began()
        until(lambda n=number: _is_followed(world.step("hold"), n), "the worker follows the job")  # type: ignore[misc]
        assert world.log("hold").count("is held") == 1
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    world.let_go()
    assert world.finish().state is RunState.SUCCEEDED
    assert world.done() == [f"held {pid}"]
    assert world.tries("hold") == ["LOST"] * 4 + ["SUCCEEDED"]
    assert (world.step("hold").failures, world.step("hold").crashes) == (0, 0)
    assert world.log("hold").count("is held") == 1
    world.close()


def test_a_worker_that_hangs_is_taken_over_and_its_late_result_refused(tmp_path: Path, ray: RayCluster) -> None:
    world = World(tmp_path, ray, own.holding)
    hanging = start_worker(tmp_path, lease_s=1.0, run_id=world.run_id)
    world.began()
    hanging.hang()
    world.let_go()
    assert world.finish().state is RunState.SUCCEEDED
    hanging.send_signal(signal.SIGCONT)
    assert hanging.wait(60) == 0
    assert (len(world.done()), world.tries("hold")) == (1, ["LOST", "SUCCEEDED"])
    world.close()


def test_a_worker_that_is_told_to_stop_leaves_the_job_to_the_next(tmp_path: Path, ray: RayCluster) -> None:
    world, stop = World(tmp_path, ray, own.holding), threading.Event()
    db, worker = open_worker(tmp_path)
    working = threading.Thread(target=worker.run_one, args=(world.run_id, stop))
    working.start()
    pid = world.began()
    stop.set()
    working.join(30)
    db.close()
    assert world.step("hold").error == "the worker was told to stop; its job goes on"
    assert process_start(pid) is not None
    world.let_go()
    assert world.finish().state is RunState.SUCCEEDED
    assert (len(world.done()), world.tries("hold")) == (1, ["PREEMPTED", "SUCCEEDED"])
    world.close()


def test_a_timeout_ends_the_job(tmp_path: Path, ray: RayCluster) -> None:
    world = World(tmp_path, ray, own.holding, late=True)
    run = world.finish()
    assert run.error == "step 'hold_a_second': it took longer than its timeout_s = 1"
    gone(world.began())
    world.close()


@pytest.mark.parametrize("found", ["followed", "alone", "unreachable"])
def test_cancel_ends_the_job(tmp_path: Path, ray: RayCluster, found: str) -> None:
    world = World(tmp_path, ray, own.holding)
    worker = start_worker(tmp_path, run_id=world.run_id)
    pid = world.began()
    if found != "followed":
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    if found == "unreachable":
        (tmp_path / "ray.address").write_text("http://127.0.0.1:1 none")
    cancel(world.db, SystemClock(), world.run_id, by=ADA)
    assert world.finish().state is RunState.CANCELLED
    if found == "followed":
        assert worker.wait(60) == 0
    gone(pid)
    name = job_name(world.run_id, "hold", 1)
    until(lambda: (job := ray.jobs.find(name)) is not None and job.status != "RUNNING", "Ray knows that it ended")
    world.close()


@pytest.mark.parametrize(
    ("dies", "error"),
    [
        (False, "step 'failing': ValueError: the column is empty"),
        (True, "step 'dying': the step killed its process 3 times; the last time: the step's job gave no result: "),
    ],
)
def test_a_step_that_fails_says_why(tmp_path: Path, ray: RayCluster, *, dies: bool, error: str) -> None:
    world = World(tmp_path, ray, own.bad, dies=dies)
    run = world.finish()
    assert (run.state, (run.error or "")[: len(error)]) == (RunState.FAILED, error)
    assert len(world.done()) == (3 if dies else 2)
    if dies:
        assert "signal 9" in (run.error or "")
    else:
        assert world.log("failing").count("Traceback") == 2
    world.close()


def test_a_step_whose_node_dies_is_done_on_another(tmp_path: Path, ray: RayCluster) -> None:
    world = World(tmp_path, ray, own.holding, second=True)
    worker = start_worker(tmp_path, run_id=world.run_id)
    pid = world.began()
    ray.kill("second")
    ray.start_second()
    until(lambda: len(world.done()) == 2, "the step has begun again")
    world.let_go()
    assert worker.wait(60) == 0
    step = world.step("hold_on_second")
    assert (step.state, step.failures, step.crashes) == (RunState.SUCCEEDED, 0, 1)
    assert (step.outputs["result"].value, process_start(pid)) == ("second", None)
    lost = next(one for one in run_attempts(world.db, world.run_id) if one.state == "LOST")
    assert lost.error == "the step's job gave no result: its node died"
    world.close()


def test_a_head_that_dies_loses_the_step_and_costs_no_try(tmp_path: Path, ray: RayCluster) -> None:
    world = World(tmp_path, ray, own.holding)
    worker = start_worker(tmp_path, run_id=world.run_id)
    world.began()
    ray.kill("head")
    until(lambda: "does not answer" in (world.step("hold").error or ""), "the step is lost")
    ray.kill("second")
    ray.start()
    until(lambda: len(world.done()) == 2, "the step has begun again")
    world.let_go()
    assert worker.wait(60) == 0
    assert get_run(world.db, world.run_id).state is RunState.SUCCEEDED
    assert set(world.tries("hold")) == {"LOST", "SUCCEEDED"}
    assert (world.step("hold").failures, world.step("hold").crashes) == (0, 0)
    world.close()


def test_a_wrong_token_is_said_at_once(tmp_path: Path, ray: RayCluster) -> None:
    world = World(tmp_path, ray, own.done_once)
    (tmp_path / "ray.address").write_text(f"{ray.address} {'0' * 64}")
    run = world.finish()
    assert "refuses the token (403) ([ray] token names the secret" in (run.error or "")
    assert world.done() == []
    world.close()
