"""What a worker needs, with short ways to use it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from falaj.definitions.pipeline import Pipeline, trace_of
from falaj.definitions.trace import Trace
from falaj.governance.access import Actor, Role
from falaj.kernel.clock import Clock, SystemClock
from falaj.kernel.ids import NewId, id_maker
from falaj.pipelines.capacity import Capacity
from falaj.pipelines.child import ChildResources
from falaj.pipelines.executors import ChildProcess, InProcess
from falaj.pipelines.graph import Executor as GraphExecutor
from falaj.pipelines.graph import Graph, Step
from falaj.pipelines.keys import StepKeys
from falaj.pipelines.runs import Run, StepRun, run_steps
from falaj.pipelines.submission import submit
from falaj.pipelines.task import Executor
from falaj.pipelines.traced import graph_of
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
        self.capacity: Capacity | None = None
        (folder / "blobs").mkdir(exist_ok=True)

    def worker(self, environment: str = "env", crash_at: Callable[[str], None] | None = None) -> Worker:
        executors: dict[str, Executor] = {
            "in_process": InProcess({"shared": True}, self.folder / "secrets"),
            "child": ChildProcess(ChildResources(f"{STEPS}:make_resources", {"folder": "f"})),
            "project": ChildProcess(folder=self.folder, secrets=self.folder / "secrets"),
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
            folder=self.folder,
            capacity=self.capacity,
            **more,
        )

    def step(self, name: str, function: str, **fields: Any) -> Step:
        params = {"ledger": str(self.ledger), **fields.pop("params", {})}
        return Step(name=name, function=f"{STEPS}:{function}", params=params, **fields)

    def submit(self, *steps: Step, **fields: Any) -> str:
        return submit(self.db, self.clock, self.new_id, Graph("p", steps), by=ADA, reason="test", **fields)

    def start(self, pipeline: Pipeline, executor: GraphExecutor = "in_process", **params: Any) -> str:
        """Submit a run of a user's pipeline."""
        trace, plain = trace_of(pipeline.name, pipeline.__dict__["declared"], params)
        graph = graph_of(pipeline.name, trace, notify=pipeline.notify, executor=executor)
        return submit(self.db, self.clock, self.new_id, graph, by=ADA, reason="test", params=plain)

    def start_trace(self, trace: Trace) -> str:
        """Submit a run of the steps of a trace."""
        graph = graph_of("traced", trace, executor="in_process")
        return submit(self.db, self.clock, self.new_id, graph, by=ADA, reason="test")

    def results(self, run_id: str) -> dict[str, Any]:
        """What each step that succeeded returned."""
        steps = self.steps(run_id)
        return {name: step.outputs["result"].value for name, step in steps.items() if "result" in step.outputs}

    def run(self, *steps: Step) -> Run:
        return self.worker().run_one(self.submit(*steps))

    def steps(self, run_id: str) -> dict[str, StepRun]:
        return {step.name: step for step in run_steps(self.db, run_id)}

    def executions(self) -> list[str]:
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        return [line.split()[1] for line in lines]
