"""A project's rooms on the embedded backends of a temporary folder, with small models registered directly."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

import falaj as fj
from falaj.app.backends import open_rooms
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.model import Model
from falaj.definitions.policy import Policy
from falaj.definitions.prediction_record import FeedbackRecord, LogRecord, PredictionRecord
from falaj.definitions.project import Definitions, collect
from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.source import Source
from falaj.definitions.trainer import lightgbm
from falaj.governance.access import SYSTEM, Actor, Role
from falaj.governance.approvals import ApprovalState
from falaj.kernel.clock import Clock, ManualClock, to_us
from falaj.kernel.settings import Settings
from falaj.lifecycle.apply import apply_definitions, schema_of
from falaj.lifecycle.catch_up import land_all
from falaj.lifecycle.promoted import Promoted
from falaj.lifecycle.promotion import Promotions, Rollouts, deploy_version
from falaj.lifecycle.rooms import Rooms
from falaj.models.encoding import encode_columns, fit_signature
from falaj.models.export import export
from falaj.models.findings import Findings
from falaj.models.gate_report import CheckResult, GateReport, Outcome, save_report
from falaj.models.parts import Part
from falaj.models.stages import Stage
from falaj.models.training.fit import fit
from falaj.models.version import ModelVersion, NewVersion
from falaj.monitoring.references import fit_references, references_to_msgpack
from falaj.rollout import table
from falaj.serving.prediction_log import PredictionLog
from falaj.serving.stats import WorkerStats, write_stats
from falaj.storage.eventlog.segments import SegmentWriter

ADA = Actor("ada", Role.ENGINEER)
EVE = Actor("eve", Role.APPROVER)
START = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""

SCHEMA = {"id": "string", "card_id": "string", "at": "timestamp", "known": "timestamp", "amount": "float64",
          "is_fraud": "int64"}  # fmt: skip
CARD = fj.Entity("card", key="card_id", dtype="string")


def source(**changes: Any) -> Source:
    """A source of pushed events."""
    fields: dict[str, Any] = {"stream": fj.Push(), "id": "id", "timestamp": "at", "created": "known", "schema": SCHEMA}
    return Source("tx", **(fields | changes))


def event(number: int, label: int | None = None, **changes: Any) -> dict[str, Any]:
    """An event of the source, a minute after the one before."""
    at = START + timedelta(minutes=number)
    fields = {"id": f"t{number}", "card_id": "c1", "at": at, "known": at, "amount": 10.0, "is_fraud": label}
    return fields | changes


def view(of: Source | None = None, **features: Any) -> FeatureView:
    """Two windows over a card's events."""
    chosen = features or {"seen": fj.count(window="1d"), "amount_mean": fj.mean("amount", window="7d")}
    return FeatureView("activity", CARD, of or source(), chosen)


def model(name: str = "fraud", *, over: FeatureView | None = None, **changes: Any) -> Model:
    """A small classifier over the view and the request's amount."""
    activity = over or view()
    fields: dict[str, Any] = {
        "features": FeatureService(f"{name}_features", [activity, fj.request("amount", "float64")]),
        "label": fj.Label(activity.source, "is_fraud", delay="1d"),
        "trainer": lightgbm(num_trees=5),
        "gates": [fj.gate.at_least("auc", 0.5)],
    }
    return Model(name, **(fields | changes))


def endpoint(name: str = "fraud", of: Model | None = None, **changes: Any) -> Endpoint:
    """An endpoint whose canary bakes a minute a step and needs 50 requests."""
    plan = fj.canary(steps=[10, 100], bake="1m", abort_if=[fj.error_ratio > 0.05], min_requests=50, deadline="1h")
    return Endpoint(name, of or model(), **({"rollout": plan} | changes))


def definitions(*endpoints: Endpoint, policy: Policy | None = None, more: Sequence[Any] = ()) -> Definitions:
    """What the files of a project with these endpoints declare."""
    values = [*(endpoints or (endpoint(),)), *([policy] if policy else []), *more]
    return collect((f"test.py: {i}", value) for i, value in enumerate(values))


@functools.cache
def trained() -> tuple[bytes, str, tuple[str, ...]]:
    """A tiny model: its bytes, its runtime, its inputs; made once per process."""
    rng = np.random.default_rng(3)
    columns = {"activity__seen": rng.integers(0, 9, 400), "activity__amount_mean": rng.normal(50, 9, 400)}
    columns["amount"] = rng.normal(50, 20, 400)
    labels = (columns["amount"] + rng.normal(0, 5, 400) > 60).astype(np.int64)
    signature = fit_signature(
        columns, {"activity__seen": "int64", "activity__amount_mean": "float64", "amount": "float64"}
    )
    names = [spec.name for spec in signature.inputs]
    exported = export(
        fit(lightgbm(num_trees=5), encode_columns(signature, columns), labels, names, threads=1),
        encode_columns(signature, columns),
    )
    return exported.serving.content, exported.serving.runtime, tuple(names)


class World:
    """Opened rooms, and what a test does to them.

    Args:
        rooms: The rooms.
        clock: Their clock.
    """

    def __init__(self, rooms: Rooms, clock: ManualClock) -> None:
        self.rooms = rooms
        self.clock = clock
        self._runs = 0
        self._decided = 0

    def apply(self, wanted: Definitions) -> None:
        """Put definitions in force."""
        apply_definitions(self.rooms, wanted, ADA)

    def register(
        self, of: str = "fraud", *, gate: Outcome = Outcome.PASS, actor: str = "ada", run_id: str = "", **more: Any
    ) -> ModelVersion:
        """Register a version as a training run would; its gate said what is given."""
        rooms, self._runs = self.rooms, self._runs + 1
        content, runtime, _ = trained()
        service = rooms.applied.document.services[rooms.definitions.model(of).features.name]
        names = [name for name, _ in service.outputs]
        signature = fit_signature({name: np.zeros(1) for name in names}, dict(service.outputs))
        artifact = ArtifactRef(rooms.blobs.put(content), runtime)  # type: ignore[arg-type]
        check = CheckResult("auc", gate, "measured", 0.9, 0.5)
        measured = Findings(Part(100, 10))
        report = GateReport(of, gate, (check,), "d" * 64, artifact.digest, None, None, "p" * 64, measured, self._runs)
        save_report(rooms.blobs, report)
        new = NewVersion(
            model=of, run_id=run_id or f"run_{self._runs}", dataset=of, dataset_digest="d" * 64, artifact=artifact,
            signature=signature, service=service, **more,
        )  # fmt: skip
        return rooms.registry.register(new, SYSTEM, gate=report, actor=actor)

    def approve(self, version: ModelVersion, by: Actor = EVE) -> None:
        """Ask for an approval, if none is asked for, and give it."""
        asked = self.rooms.approvals.request("model", version.subject, ADA)
        self.rooms.approvals.approve(asked.id, by)

    def deploy(self, version: ModelVersion | int | None = None, to: str = "fraud", by: Actor = ADA) -> Promoted:
        """Deploy a version."""
        number = version.version if isinstance(version, ModelVersion) else version
        return deploy_version(self.rooms, self.rooms.definitions.endpoint(to), number, by)

    def promote(self, version: ModelVersion, to: str = "fraud") -> None:
        """Let a canary see good requests until it takes all traffic."""
        for _ in range(2):
            self.answered(version.version, 100, to=to)
            self.clock.advance(61)
            self.report()
            Rollouts(self.rooms).run_pass(self.clock.now())
            Promotions(self.rooms).run_pass(self.clock.now())
        assert self.serving(to) == {version.version: 100}

    def serving(self, to: str = "fraud") -> dict[int, int]:
        """Version to weight in percent, of an endpoint's live variants."""
        with self.rooms.db.read() as connection:
            route = table.current_route(connection, to)
        return {v.version: v.weight // 100 for v in route.variants} if route else {}

    def stages(self, of: str = "fraud") -> dict[int, str]:
        """Version to stage."""
        return {v.version: str(self.rooms.registry.stage_of(of, v.version)) for v in self.rooms.registry.versions(of)}

    def answered(
        self, version: int, requests: int, errors: int = 0, *, variant: str = "candidate", to: str = "fraud"
    ) -> None:
        """Add to the counters that a gateway worker writes."""
        if not hasattr(self, "_stats"):
            self._stats = WorkerStats(worker="gateway-0")
        series = self._stats.find(to, variant, version)
        series.requests, series.errors = series.requests + requests, series.errors + errors
        self.report()

    def adopt(self, epoch: int) -> None:
        """Let the gateway worker say that it goes by a publication of the routing."""
        self._stats.routing_epoch = epoch
        self.report()

    def report(self) -> None:
        """Let the gateway worker write its counters now."""
        folder = self.rooms.state.run / "stats"
        folder.mkdir(exist_ok=True)
        self._stats.written_us = int(self.clock.now().timestamp() * 1e6)
        write_stats(self._stats, folder)

    def references(self, mean: float = 50.0, segments: Sequence[str] = ()) -> str:
        """Keep the cells that drift is measured against, and return their digest; its outcomes agree with scores."""
        rng = np.random.default_rng(4)
        columns = {"activity__seen": rng.integers(0, 9, 2000), "activity__amount_mean": rng.normal(50, 9, 2000)}
        columns |= {"amount": rng.normal(mean, 20, 2000), "score": rng.random(2000)}
        outcomes = (columns["score"] > 0.5) != (rng.random(2000) < 0.1)
        found = fit_references(columns, segments=segments, outcomes=outcomes, threshold=0.5)
        return self.rooms.blobs.put(references_to_msgpack({"test": found, "training": found}))

    def push(self, *events: Any, to: str = "tx") -> None:
        """Push events, and land them in their table."""
        declared, schema = self.rooms.definitions.source(to), schema_of(self.rooms, to)
        self.rooms.events.accept(declared, schema, list(events))
        land_all(self.rooms, to)

    def decided(self, version: int, rows: int, *, mean: float = 50.0, good: bool | None = None, to: str = "fraud",
                of: str = "fraud") -> None:  # fmt: skip
        """Log decisions as a gateway worker does; with `good`, also outcomes that agree with their scores or do not."""
        rng = np.random.default_rng(self._decided)
        records: list[LogRecord] = []
        for _ in range(rows):
            self._decided, at_us = self._decided + 1, to_us(self.clock.now())
            number, score = f"req_{self._decided}", float(rng.random())
            values = [int(rng.integers(0, 9)), float(rng.normal(50, 9)), float(rng.normal(mean, 20))]
            records.append(
                PredictionRecord(number, "", to, "champion", "live", of, version, 1, number, at_us, at_us, 100,
                                 {"card_id": "c1"}, {"amount": values[2]}, values, {"*": "PRESENT"}, {}, score)
            )  # fmt: skip
            if good is not None:
                likely = score > 0.5 if good else score < 0.5
                records.append(FeedbackRecord(number, float(likely != (rng.random() < 0.1)), at_us, at_us))
        log = PredictionLog(SegmentWriter(self.rooms.state.log / "predictions", "gateway-0"), self.clock)
        log.append(records)
        log.close()

    def production(self, of: str = "fraud") -> int | None:
        """The version in production."""
        held = self.rooms.registry.holder(of, Stage.PRODUCTION)
        return held.version if held else None

    def pending(self) -> list[str]:
        """What waits for an approval."""
        return [one.subject for one in self.rooms.approvals.find(state=ApprovalState.PENDING)]


class Killed(BaseException):
    """The process ended here."""


def _die() -> None:
    raise Killed


class Deaths:
    """Lets the database's writes die at the n-th one: before it begins, or with all done but the commit.

    Args:
        rooms: Whose database.
        at: Which write, from 0; none dies beyond the last one.
        committing: Whether the transaction has done its work.
        end: Ends the process, or acts as if it did.
    """

    def __init__(self, rooms: Rooms, at: int, *, committing: bool, end: Callable[[], None] = _die) -> None:
        self._write = rooms.db.write
        self._left = at
        self._committing = committing
        self._end = end
        self.died = False
        vars(rooms.db)["write"] = self.write

    @contextmanager
    def write(self, *, flush: bool = True) -> Iterator[sa.Connection]:
        """The database's own `write`, until the process dies."""
        self._left -= 1
        dies = self._left < 0 or self.died
        if dies and not self._committing:
            self.died = True
            self._end()
        with self._write(flush=flush) as connection:
            yield connection
            if dies:
                self.died = True
                self._end()


@contextmanager
def opened(
    folder: Path, wanted: Definitions | None = None, clock: Clock | None = None, settings: Settings | None = None
) -> Iterator[World]:
    """Open rooms on a folder and put definitions in force."""
    chosen = clock or ManualClock(START)
    with open_rooms(folder, settings or Settings(), clock=chosen) as rooms:
        for actor in (ADA, EVE):
            if actor.name not in {one.name for one in rooms.actors.list()}:
                rooms.actors.create(actor.name, actor.role, SYSTEM)
        world = World(rooms, chosen)  # type: ignore[arg-type]
        if wanted is not None:
            world.apply(wanted)
        yield world
