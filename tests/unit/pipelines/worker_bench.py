"""What a worker needs, with short ways to use it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from falaj.governance.access import Actor, Role
from falaj.kernel.clock import Clock, SystemClock
from falaj.kernel.ids import NewId, id_maker
from falaj.pipelines.child import ChildResources
from falaj.pipelines.executors import ChildProcess, Executor, InProcess
from falaj.pipelines.graph import Graph, Step
from falaj.pipelines.keys import StepKeys
from falaj.pipelines.runs import Run, StepRun, run_steps
from falaj.pipelines.submission import submit
from falaj.pipelines.worker import Worker
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.metadata.database import Database

ADA = Actor("ada", Role.ENGINEER)
STEPS = "unit.pipelines.sample_steps"


class Bench:
    """Everything a worker needs, and short ways to use it."""

    def __init__(self, db: Database, folder: Path, clock: Clock) -> None:
        self.db = db
        self.folder = folder
        self.clock = clock
        self.new_id: NewId = id_maker(SystemClock())
        self.blobs = LocalBlobs(folder / "blobs")
        self.ledger = folder / "ledger"
        self.actor = ADA
        (folder / "blobs").mkdir(exist_ok=True)

    def worker(self, environment: str = "env", crash_at: Callable[[str], None] | None = None) -> Worker:
        executors: dict[str, Executor] = {
            "in_process": InProcess({"shared": True}),
            "child": ChildProcess(ChildResources(f"{STEPS}:make_resources", {"folder": "f"})),
        }
        keys = StepKeys([self.folder / "project"], environment)
        more: dict[str, Any] = {} if crash_at is None else {"crash_at": crash_at}
        return Worker(
            self.db,
            self.blobs,
            self.clock,
            keys,
            executors,
            work=self.folder / "work",
            logs=self.folder / "logs",
            **more,
        )

    def step(self, name: str, function: str, **fields: Any) -> Step:
        params = {"ledger": str(self.ledger), **fields.pop("params", {})}
        return Step(name=name, function=f"{STEPS}:{function}", params=params, **fields)

    def submit(self, *steps: Step, **fields: Any) -> str:
        return submit(self.db, self.clock, self.new_id, Graph("p", steps), by=ADA, reason="test", **fields)

    def run(self, *steps: Step) -> Run:
        return self.worker().run_one(self.submit(*steps))

    def steps(self, run_id: str) -> dict[str, StepRun]:
        return {step.name: step for step in run_steps(self.db, run_id)}

    def executions(self) -> list[str]:
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        return [line.split()[1] for line in lines]
