"""A user's pipeline, with a map and a condition, whatever becomes of its workers: it ends right, nothing done twice."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from falaj.definitions.pipeline import Pipeline, trace_of
from falaj.governance.access import Actor, Role
from falaj.governance.audit import verify
from falaj.kernel.clock import SystemClock
from falaj.kernel.ids import id_maker
from falaj.pipelines.graph import Executor
from falaj.pipelines.runs import RunState, get_run, run_attempts, run_steps
from falaj.pipelines.submission import submit
from falaj.pipelines.traced import graph_of
from falaj.storage.metadata.database import Database
from faults.pipelines.crashing_worker import open_database, open_worker, start_worker
from support.databases import own_schema
from support.waiting import until
from unit.pipelines import counted_pipelines as counted

PLACES = {"claimed": 9, "executed": 6, "stored": 6, "completing": 7, "completed": 9, "dividing": 1, "skipping": 1}
"""Where a worker can die, and how often it comes there in a run of three parts and a condition that does not hold."""
AFTER_WORK = ("executed", "stored", "completing")
GATHERING = 5
"""The completion that only puts parts together."""
ONCE = Counter(["days", "square 0", "square 1", "square 2", "total", "report"])


def begin(folder: Path, pipeline: Pipeline, executor: Executor = "in_process", **params: Any) -> tuple[Database, str]:
    """Make a database in the folder, or use the one whose address is there, and submit a run."""
    (folder / "blobs").mkdir()
    db = open_database(folder)
    db.create_all()
    clock = SystemClock()
    trace, plain = trace_of(pipeline.name, pipeline.__dict__["declared"], {"ledger": str(folder / "ledger"), **params})
    graph = graph_of(pipeline.name, trace, executor=executor)
    ada = Actor("ada", Role.ENGINEER)
    return db, submit(db, clock, id_maker(clock), graph, by=ada, reason="fault", params=plain)


def done(folder: Path) -> Counter[str]:
    ledger = folder / "ledger"
    return Counter(ledger.read_text().splitlines()) if ledger.exists() else Counter()


def check_death(folder: Path, place: str, times: int) -> None:
    db, run_id = begin(folder, counted.squares, number=3, above=100)
    assert start_worker(folder, place, times).wait(60) == -signal.SIGKILL
    other, worker = open_worker(folder)
    assert worker.run_one(run_id).state is RunState.SUCCEEDED

    again = done(folder) - ONCE
    # Only what was under way is done again, and only where its worker died between doing it and writing it down.
    worked = place in AFTER_WORK and not (place == "completing" and times == GATHERING)
    assert done(folder) == ONCE + again
    assert again.total() == (1 if worked else 0)
    steps = {step.name: step for step in run_steps(db, run_id)}
    assert steps["total"].outputs["result"].value == {"sum": 5, "days": 3}
    assert (steps["publish"].state, steps["report"].outputs["result"].value) == (RunState.SKIPPED, "nothing")
    lost = [one for one in run_attempts(db, run_id) if one.state == "LOST"]
    assert len(lost) == (0 if place == "completed" else 1)
    verify(db)
    db.check()
    other.close()
    db.close()


@pytest.mark.parametrize(("place", "times"), [(place, n) for place, most in PLACES.items() for n in range(1, most + 1)])
@pytest.mark.parametrize("server", [False, True], ids=["sqlite", "postgres"])
def test_the_next_worker_goes_on(
    tmp_path: Path, request: pytest.FixtureRequest, place: str, times: int, *, server: bool
) -> None:
    if server:
        (tmp_path / "database.url").write_text(own_schema(request.getfixturevalue("postgres_url")))
    check_death(tmp_path, place, times)


@pytest.mark.parametrize("server", [False, True], ids=["sqlite", "postgres"])
def test_a_worker_that_hangs_is_taken_over_and_its_late_result_refused(
    tmp_path: Path, request: pytest.FixtureRequest, *, server: bool
) -> None:
    if server:
        (tmp_path / "database.url").write_text(own_schema(request.getfixturevalue("postgres_url")))
    db, run_id = begin(tmp_path, counted.holding)
    hanging = start_worker(tmp_path, lease_s=1.0)
    until(lambda: done(tmp_path)["hold 1"], "the step has begun")
    hanging.hang()
    other, worker = open_worker(tmp_path, lease_s=1.0)
    assert worker.run_one(run_id).state is RunState.SUCCEEDED

    (tmp_path / "ledger.go").touch()
    hanging.send_signal(signal.SIGCONT)
    assert hanging.wait(60) == 0
    assert done(tmp_path) == {"hold 1": 1, "hold 2": 1, "square 2": 1}
    step = run_steps(db, run_id)[0]
    assert (step.epoch, step.outputs["result"].value) == (2, 2)
    assert [str(one.state) for one in run_attempts(db, run_id) if one.step == "hold"] == ["LOST", "SUCCEEDED"]
    verify(db)
    other.close()
    db.close()


@pytest.mark.parametrize(("workers", "server"), [(2, False), (8, False), (2, True), (8, True)])
def test_workers_race_over_a_thousand_steps(
    tmp_path: Path, request: pytest.FixtureRequest, workers: int, *, server: bool
) -> None:
    if server:
        (tmp_path / "database.url").write_text(own_schema(request.getfixturevalue("postgres_url")))
    db, run_id = begin(tmp_path, counted.listed, number=1000)
    racing = [start_worker(tmp_path, run_id=run_id) for _ in range(workers)]
    assert [one.wait(280) for one in racing] == [0] * workers
    assert get_run(db, run_id).state is RunState.SUCCEEDED
    assert done(tmp_path) == Counter([*(f"square {day}" for day in range(1000)), "total"])
    attempts = run_attempts(db, run_id)
    assert {str(one.state) for one in attempts} == {"SUCCEEDED"}
    # 1000 parts, their whole twice (divided, then gathered), and what adds them up.
    assert len(attempts) == 1003
    assert len({one.owner for one in attempts}) == workers
    verify(db)
    db.close()
