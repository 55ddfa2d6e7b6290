"""Workers racing over many tiny runs: each step runs exactly once, to success."""

from collections import Counter
from pathlib import Path

from falaj.governance.access import Actor, Role
from falaj.governance.audit import verify
from falaj.kernel.clock import SystemClock
from falaj.kernel.ids import id_maker
from falaj.pipelines.graph import Graph, Step
from falaj.pipelines.runs import RunState, list_runs, run_steps
from falaj.pipelines.submission import submit
from falaj.storage.metadata.database import Database
from faults.pipelines.crashing_worker import start_worker

RUNS = 40


def test_two_processes_share_many_runs(tmp_path: Path) -> None:
    db, clock = Database.sqlite(tmp_path / "falaj.db"), SystemClock()
    db.create_all()
    new_id, ada = id_maker(clock), Actor("ada", Role.ENGINEER)
    for number in range(RUNS):
        steps = tuple(
            # The name is a parameter too, or equal steps would be taken from the cache.
            Step(
                name=name,
                function="unit.pipelines.sample_steps:add",
                params={"ledger": str(tmp_path / "ledger"), "number": number, "name": name},
                needs=needs,
            )
            for name, needs in (("a", ()), ("b", ("a",)), ("c", ("a",)), ("d", ("b", "c")))
        )
        submit(db, clock, new_id, Graph("tiny", steps), by=ada, reason="race")
    workers = [start_worker(tmp_path) for _ in range(2)]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    runs = list_runs(db, limit=RUNS + 1)
    # A worker may leave when nothing is ready while the other is busy; whoever comes last leaves nothing.
    assert {run.state for run in runs} == {RunState.SUCCEEDED}
    executed = Counter(tuple(line.split()[:2]) for line in (tmp_path / "ledger").read_text().splitlines())
    assert len(executed) == RUNS * 4
    assert set(executed.values()) == {1}
    assert all(step.epoch == 1 and not step.cached for run in runs for step in run_steps(db, run.id))
    assert verify(db).records == RUNS * 5
    db.close()
