"""Replayed: a project whose clock is moved by hand, so that two years of serving and retraining pass in minutes.

Nothing is simulated but the clock: decisions go through the gateway's own intake, features, model and prediction log,
and all that control does between them is done by the reconcilers and the worker that a control process runs.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from falaj.app.backends import open_rooms
from falaj.app.operations.model import train
from falaj.app.reconcilers import reconcilers
from falaj.app.values.model import Train
from falaj.definitions.prediction_record import FeedbackRecord
from falaj.definitions.routing_table import RoutingTable
from falaj.features.online import OnlineReader
from falaj.governance.access import SYSTEM, Actor, Role
from falaj.kernel.clock import ManualClock, to_us
from falaj.kernel.settings import load_settings
from falaj.lifecycle.apply import apply_definitions, schema_of
from falaj.lifecycle.catch_up import catch_up, land_all
from falaj.lifecycle.mirror import MirrorStages
from falaj.lifecycle.project import load_definitions
from falaj.lifecycle.promotion import deploy_version
from falaj.lifecycle.rooms import Rooms
from falaj.pipelines.executors import InProcess
from falaj.pipelines.keys import StepKeys
from falaj.pipelines.runs import Run, RunState, list_runs
from falaj.pipelines.worker import Worker
from falaj.rollout.table import current_routes
from falaj.serving.batching import Batcher
from falaj.serving.intake import Instance, Intake, Receipt
from falaj.serving.loading import load_serving, model_loader
from falaj.serving.prediction_log import PredictionLog
from falaj.serving.predictor import Predictor
from falaj.serving.redaction import Redaction
from falaj.serving.request_ids import RequestIds
from falaj.serving.rows import Job, Row
from falaj.serving.stages import Stages
from falaj.serving.stats import WorkerStats, write_stats
from falaj.serving.variants import Serving
from falaj.storage.eventlog.segments import SegmentWriter

PERSON = Actor("ada", Role.OWNER)
_WORKER = "gateway-0"
_MOST_PASSES = 5
_SEGMENT_BYTES = 64 << 20


class Replayed:
    """A project between two instants of the past.

    Args:
        rooms: Its rooms.
        clock: Their clock.
    """

    def __init__(self, rooms: Rooms, clock: ManualClock) -> None:
        self.rooms = rooms
        self._clock = clock
        # MLflow is told of each training; that stages stand there too would double the time and decide nothing.
        self._reconcilers = [one for one in reconcilers(rooms) if one.name != MirrorStages.name]
        self._serving: Serving = Serving()
        self._stats = WorkerStats(worker=_WORKER)
        writer = SegmentWriter(rooms.state.predictions, _WORKER, _SEGMENT_BYTES, rooms.settings.storage.fsync_ms)
        self._log = PredictionLog(writer, rooms.clock)
        redaction = Redaction(rooms.settings.storage.redaction_key, self._stats)
        stages = Stages(time.monotonic)
        self._predictor = Predictor(
            OnlineReader(rooms.online), self._log, self._stats, time.monotonic, redaction, stages
        )
        self._ids = RequestIds()

    def push(self, source: str, events: Sequence[dict[str, Any]]) -> None:
        """Take events as the push route does, and bring them into the tables and the online store."""
        rooms = self.rooms
        rooms.events.accept(rooms.definitions.source(source), schema_of(rooms, source), list(events))
        land_all(rooms, source)
        catch_up(rooms, source)

    def decide(self, endpoint: str, instances: Sequence[Instance]) -> list[Row]:
        """Decide on instances by what serves now."""
        self._load()
        done: list[Job] = []
        later: list[Any] = []
        batcher: Batcher[Job] = Batcher(self._predictor.compute, _raise, later.append, max_rows=len(instances))
        receipt = Receipt(to_us(self._clock.now()), time.monotonic(), PERSON.name)
        intake = Intake(batcher, self._ids, self._stats, len(instances))
        intake.decide(self._serving.route(endpoint), instances, receipt, done.append)
        for call in later:
            call()
        rows = [row for job in done for row in job.rows]
        for row in rows:
            if row.error is not None:
                raise row.error
        return rows

    def tell(self, outcomes: Sequence[tuple[str, float]]) -> None:
        """Report outcomes by request id, known now."""
        now_us = to_us(self._clock.now())
        self._log.append([FeedbackRecord(request_id, outcome, now_us, now_us) for request_id, outcome in outcomes])

    def pass_time(self, until: datetime) -> None:
        """Move the clock, and let control do what is due: reconcile until nothing moves, and work on its runs."""
        self._clock.advance((until - self._clock.now()).total_seconds())
        self._stats.written_us = to_us(until)
        folder = self.rooms.state.run / "stats"
        folder.mkdir(exist_ok=True)
        write_stats(self._stats, folder)
        for _ in range(_MOST_PASSES):  # what one pass starts, such as a run or a rollout, the next one sees
            moved = sum(one.run_pass(until) for one in self._reconcilers)
            if not self.work() + moved:
                return

    def work(self) -> int:
        """Work on all runs that wait, and return how many steps were done."""
        rooms = self.rooms
        here = {"in_process": InProcess(rooms), "child": InProcess(rooms)}
        run = rooms.state.run
        worker = Worker(
            rooms.db, rooms.blobs, rooms.clock, StepKeys([rooms.folder], "replayed"), here,
            work=run / "work", logs=run / "logs",
        )  # fmt: skip
        return worker.run_until_idle()

    def begin(self, model: str, endpoint: str) -> None:
        """Train the first version and let it serve, as a person does.

        Raises:
            RuntimeError: It could not be trained.
        """
        train(self.rooms, PERSON, Train(model))
        self.work()
        run = self.runs(model)[0]
        if run.state is not RunState.SUCCEEDED:
            raise RuntimeError(f"the first training failed: {run.error}")
        deploy_version(self.rooms, self.rooms.definitions.endpoint(endpoint), None, PERSON)

    def runs(self, model: str) -> list[Run]:
        """All training runs, the newest first."""
        return list_runs(self.rooms.db, pipeline=f"train:{model}", limit=10_000)

    def close(self) -> None:
        """Close the prediction log."""
        self._log.close()

    def _load(self) -> None:
        """Load what the routing says, as a gateway does when it has changed."""
        rooms = self.rooms
        with rooms.db.read() as connection:
            routes = current_routes(connection)
        epoch = sum(route.epoch for route in routes.values())
        if epoch != self._serving.epoch:
            table = RoutingTable(epoch, routes, numbers=True)
            self._serving = load_serving(
                table, self._serving, model_loader(rooms.blobs, rooms.python_place("replayed"))
            )
            for route in self._serving.routes.values():
                for variant in route.variants:
                    variant.series = None


@contextmanager
def replayed(folder: Path, begins: datetime) -> Iterator[Replayed]:
    """Open a project's folder at an instant of the past and put its definitions in force."""
    clock = ManualClock(begins)
    settings = load_settings(folder)
    with open_rooms(folder, settings, clock=clock) as rooms:
        rooms.actors.create(PERSON.name, PERSON.role, SYSTEM)
        apply_definitions(rooms, load_definitions(folder, settings), PERSON)
        project = Replayed(rooms, clock)
        try:
            yield project
        finally:
            project.close()


def _raise(jobs: list[Job], error: Exception) -> None:
    del jobs
    raise error
