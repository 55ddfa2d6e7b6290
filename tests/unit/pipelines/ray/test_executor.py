"""Steps that cannot begin on Ray, and steps that never were meant to."""

from pathlib import Path
from typing import Any

import pytest

from falaj.definitions.pipeline import trace_of
from falaj.definitions.step import step
from falaj.kernel.errors import DefinitionError
from falaj.pipelines.attempt import Result, judge
from falaj.pipelines.context import EndState, StopSignal
from falaj.pipelines.graph import Step
from falaj.pipelines.ray.assignment import AssignmentFolder
from falaj.pipelines.ray.executor import OnRay
from falaj.pipelines.ray.jobs import Jobs
from falaj.pipelines.task import Task, job_name
from falaj.pipelines.traced import graph_of
from support.ray_cluster import RayCluster
from unit.pipelines import ray_pipelines as own


class OneTask:
    """A step on Ray without a database."""

    def __init__(self, folder: Path, jobs: Jobs, key: str = "key", cpu: float = 0.5, **more: Any) -> None:
        self.executor = OnRay(jobs, folder, patience_s=0.2, **more)
        self.said: list[str] = []
        (folder / "jobs").mkdir(exist_ok=True)
        step = Step(name="once", function="unit.pipelines.ray_pipelines:once", executor="ray", cpu=cpu)
        name = job_name(folder.name, "once", 1)
        place, ledger = self.executor.place(name), str(folder / "ledger")
        arguments = {"ledger": ledger}
        self.task = Task("r", step, 1, {}, {}, place, folder / "check", folder / "log", key, arguments)

    def run(self, signal: StopSignal | None = None) -> Result:
        signal = signal or StopSignal(lambda: None, lambda: 0.0)
        return self.executor.run(self.task, signal, lambda _, text: self.said.append(text))


def test_nodes_without_the_interpreter_are_told_of(tmp_path: Path, ray: RayCluster) -> None:
    result = OneTask(tmp_path, ray.jobs, python="/nowhere/python").run()
    assert (result.state, result.retryable, result.job_over) == (EndState.FAILED, False, True)
    assert "/nowhere/python" in (result.error or "")
    assert "[ray] python" in (result.error or "")


def test_a_job_of_other_code_is_not_adopted(tmp_path: Path, ray: RayCluster) -> None:
    old = OneTask(tmp_path, ray.jobs)
    assert old.run().state is EndState.SUCCEEDED
    new = OneTask(tmp_path, ray.jobs, key="another")
    result = new.run()
    assert (result.state, result.blameless, result.job_over) == (EndState.LOST, True, True)
    assert not new.task.folder.exists()


@pytest.mark.parametrize("here", [True, False])
def test_what_is_about_a_folder_that_a_node_lacks_is_left_out(tmp_path: Path, ray: RayCluster, *, here: bool) -> None:
    home, ledger = tmp_path / "home", str(tmp_path / "ledger")
    if here:
        home.mkdir()
    before = "unit.pipelines.ray_pipelines:prepare"
    environment = {"FALAJ_TEST_LEDGER": ledger}
    one = OneTask(tmp_path, ray.jobs, before=before, home=home, environment=lambda _: environment)
    assert one.run().state is EndState.SUCCEEDED
    assert Path(ledger).read_text() == ("prepared\nonce\n" if here else "once\n")
    assert "LEDGER" not in ray.shown(one.task.folder.name)


def test_a_step_for_which_there_is_no_room_waits_and_can_be_cancelled(tmp_path: Path, ray: RayCluster) -> None:
    one = OneTask(tmp_path, ray.jobs, cpu=64.0)
    waits, asked = "waits for room on Ray: 64 cores", iter(range(1_000_000))
    signal = StopSignal(lambda: EndState.CANCELLED if waits in one.said else None, lambda: next(asked))
    result = one.run(signal)
    assert (result.state, result.job_over) == (EndState.CANCELLED, True)
    assert AssignmentFolder(one.task.folder).given() is None
    assert not (tmp_path / "ledger").exists()


def test_an_absent_ray_costs_no_try_and_keeps_the_name(tmp_path: Path) -> None:
    one = OneTask(tmp_path, Jobs("http://127.0.0.1:1"))
    result = one.run()
    assert (result.state, result.blameless, result.job_over, result.delay_s) == (EndState.LOST, True, False, 0.2)
    assert "Ray at http://127.0.0.1:1 does not answer" in one.said[0]
    verdict = judge(one.task.step, result, failures=0, crashes=2, run_over=False)
    assert (verdict.state, verdict.crashes, verdict.failures, verdict.delay_s) == (None, 2, 0, 0.2)


def test_what_was_told_of_an_absent_ray_is_taken_back(tmp_path: Path, ray: RayCluster) -> None:
    jobs = Jobs("http://127.0.0.1:1", ray.jobs._token)
    one = OneTask(tmp_path, jobs)
    one.executor = OnRay(jobs, tmp_path)

    def told(_: float, text: str) -> None:
        one.said.append(text)
        jobs.address = ray.jobs.address  # Ray is there now

    assert one.executor.run(one.task, StopSignal(lambda: None, lambda: 0.0), told).state is EndState.SUCCEEDED
    assert "does not answer" in one.said[0]
    assert one.said[-1] == ""


def test_engine_is_a_choice_of_two() -> None:
    with pytest.raises(DefinitionError, match="engine = 'dask' is none"):
        step(engine="dask")  # type: ignore[call-overload]


def test_where_a_step_runs_is_said_in_the_graph() -> None:
    trace, _ = trace_of("spread", own.spread.__dict__["declared"], {"ledger": ""})
    found = {one.name: (one.executor, one.cpu, one.gpu) for one in graph_of("spread", trace).steps}
    assert found["rows"] == ("project", 1.0, 0)
    assert (found["on_head"], found["on_second"]) == (("ray", 2.0, 0), ("ray", 1.0, 1))
    assert {one.executor for one in graph_of("spread", trace, executor="in_process").steps} == {"in_process"}


def test_called_directly_it_runs_here(tmp_path: Path) -> None:
    assert own.done_once(str(tmp_path / "ledger")) == 1
    assert own.once(str(tmp_path / "ledger")) == 1
    assert (tmp_path / "ledger").read_text() == "once\nonce\n"
