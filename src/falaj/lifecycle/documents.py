"""A version's documents: the model card and the gate report, as Markdown and as pages; and its run in MLflow."""

from contextlib import closing

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from falaj.definitions.model import Model
from falaj.features.entity_frame import TIME_COLUMN
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import to_us
from falaj.kernel.codec import canonical_json
from falaj.lifecycle.dataset import SPLIT
from falaj.lifecycle.examples import LABEL
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.training import found_by
from falaj.models.card_facts import CardFacts, DataFacts
from falaj.models.cards import render_card, render_gate
from falaj.models.evaluation import Evaluation
from falaj.models.gate_report import GateReport
from falaj.models.plots import draw
from falaj.models.split import SplitSummary
from falaj.models.tracked_run import TrackedRun, installed_packages
from falaj.models.tracking import Tracking
from falaj.models.version import ModelVersion
from falaj.pipelines.context import StepContext
from falaj.pipelines.runs import Run


def write_documents(
    rooms: Rooms, model: Model, version: ModelVersion, report: GateReport, context: StepContext
) -> dict[str, bytes]:
    """Write a version's card and gate report, keep them with it, and return them by name.

    Args:
        rooms: The project.
        model: The definition.
        version: The registered version.
        report: Its gate report.
        context: Of the register step, whose inputs hold what was measured.
    """
    rows = rooms.datasets.load(version.dataset_digest)
    evaluation = msgspec.convert(context.input("evaluate", "evaluation"), Evaluation, strict=False)
    plots = draw(evaluation)
    facts = CardFacts(
        version,
        _data_facts(model, rows),
        _split_summary(model, rows),
        evaluation,
        report,
        model.owner,
        "",
        context.input("train", "importance"),
        plots,
    )
    texts = render_card(facts) | render_gate(report, version, plots)
    documents = {name: text.encode() for name, text in texts.items()}
    digests = {name: rooms.blobs.put(content) for name, content in documents.items()}
    rooms.registry.attach(version.model, version.version, digests, SYSTEM)
    found = found_by(context)
    searched = {} if found is None else {"search/trials.json": canonical_json(found.trials)}
    return documents | plots | searched | {"gate.json": canonical_json(report)}


def track(
    rooms: Rooms, tracking: Tracking, version: ModelVersion, run: Run, context: StepContext, files: dict[str, bytes]
) -> None:
    """Log a version's run in MLflow and register it there, with the stages of now: it may have moved meanwhile.

    Args:
        rooms: The project.
        tracking: Its MLflow store.
        version: The registered version.
        run: The run that made it.
        context: Of the register step.
        files: Plots and documents by name.
    """
    onnx = version.artifacts.get("onnx")
    threshold = {} if version.threshold is None else {"threshold": version.threshold}
    tracking.log(
        TrackedRun(
            model=version.model,
            run_id=version.run_id,
            dataset=version.dataset,
            dataset_digest=version.dataset_digest,
            source=rooms.definitions.model(version.model).label.source.name,
            started_us=run.started or run.created,
            ended_us=to_us(rooms.clock.now()),
            signature=version.signature,
            params=context.input("train", "params") | threshold,
            metrics=version.metrics,
            tags={
                "falaj.code_digest": version.code_digest,
                "falaj.environment_digest": version.environment_digest,
                "falaj.gate": str(version.gate_outcome),
                "falaj.reason": run.reason,
            },
            files={**files, "environment/requirements.txt": installed_packages().encode()},
            onnx=rooms.blobs.get(onnx.digest) if onnx is not None else None,
        )
    )
    tracking.register(version)
    tracking.mirror_stages(version.model, stages_of(rooms, version.model))


def stages_of(rooms: Rooms, model: str) -> dict[int, str]:
    """Return the stage of each of a model's versions."""
    return {v.version: str(rooms.registry.stage_of(model, v.version)) for v in rooms.registry.versions(model)}


def tracking_of(rooms: Rooms) -> closing[Tracking]:
    """Return the project's MLflow store, for a `with`."""
    return closing(Tracking(rooms.state.mlflow_db, rooms.state.path / "mlflow"))


def _data_facts(model: Model, rows: pa.Table) -> DataFacts:
    first_us, last_us = None, None
    if TIME_COLUMN in rows.column_names:
        times = pc.min_max(rows.column(TIME_COLUMN)).as_py()
        first_us, last_us = to_us(times["min"]), to_us(times["max"])
    label = model.label
    positives = None if model.task == "regression" else int(pc.sum(rows.column(LABEL)).as_py())
    return DataFacts(label.source.name, label.column, label.delay_us, rows.num_rows, positives, first_us, last_us)


def _split_summary(model: Model, rows: pa.Table) -> SplitSummary:
    """Return how the dataset's rows were divided, from the rows themselves."""
    counts: dict[str, tuple[int, int | None]] = {}
    for part in ("train", "test", "gap"):
        labels = rows.filter(pc.field(SPLIT) == part).column(LABEL)
        counts[part] = len(labels), None if model.task == "regression" else int(pc.sum(labels).as_py() or 0)
    start_us, by_class = None, "" if model.task == "regression" else " by class"
    described = f"{model.split.test:.0%} of rows test, drawn{by_class} with seed {model.split.seed}"
    if model.split.kind == "time":
        test = rows.filter(pc.field(SPLIT) == "test").column(TIME_COLUMN)
        start = pc.min(test).as_py()
        start_us = to_us(start)
        described = (
            f"rows from {start.isoformat()} on test (the latest {model.split.test:.0%}); rows train whose label, known "
            f"after {model.label.delay}, was known by then"
        )
    return SplitSummary(described, *counts["train"], *counts["test"], counts["gap"][0], start_us)
