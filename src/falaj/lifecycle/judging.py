"""The last steps of the training pipeline: evaluate, gate, register."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from falaj.definitions.model import Model
from falaj.definitions.project import digest_of
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.entity_frame import TIME_COLUMN
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import to_us
from falaj.kernel.codec import to_builtins
from falaj.kernel.digest import digest_value
from falaj.lifecycle.approving import ask_once
from falaj.lifecycle.dataset import SPLIT, features_of
from falaj.lifecycle.documents import track, tracking_of, write_documents
from falaj.lifecycle.examples import LABEL
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.training import artifacts_of, labels_of, model_of, run_actor, run_of, service_of
from falaj.lifecycle.wishes import wanted_by, wish
from falaj.models.artifacts import load_artifact
from falaj.models.encoding import encode_columns
from falaj.models.evaluation import best_threshold, evaluate_fully
from falaj.models.gate_report import Evidence, GateReport, Outcome, save_report
from falaj.models.gates import judge
from falaj.models.parity import Parity
from falaj.models.probe import probe_artifact
from falaj.models.stages import Stage
from falaj.models.version import ModelVersion, NewVersion
from falaj.monitoring.references import SCORE, Origin, References, fit_references, references_to_msgpack
from falaj.pipelines.context import StepContext
from falaj.pipelines.keys import environment_digest
from falaj.rollout import rollouts
from falaj.rollout.table import current_route

Outputs = Mapping[str, Any]
Floats = NDArray[np.float64]


def evaluate(context: StepContext) -> Outputs:
    """Score the test rows by the file that will serve, and production's on the same rows."""
    rooms, model = model_of(context)
    artifact, _, signature = artifacts_of(context)
    spec = service_of(rooms, model)
    rows = rooms.datasets.load(context.input("features", "dataset"))
    context.used(context.input("features", "dataset"))
    training, test = (rows.filter(pc.field(SPLIT) == part) for part in ("train", "test"))
    place = rooms.python_place(model.name)
    runtime = load_artifact(rooms.blobs, artifact, len(signature.inputs), place)
    names = [name for name, _ in spec.model_inputs]
    matrix = encode_columns(signature, {name: test.column(name) for name in names})
    scores, labels = runtime.predict(matrix), labels_of(test)
    context.progress(0.3, f"measuring {len(labels):,} test rows")
    train_matrix = encode_columns(signature, {name: training.column(name) for name in names})
    threshold = best_threshold(runtime.predict(train_matrix), labels_of(training))
    found = evaluate_fully(scores, labels, threshold=threshold)
    context.progress(0.6, "timing single rows")
    candidate = Evidence(
        model=model.name,
        version=None,
        dataset_digest=context.input("features", "dataset"),
        artifact=artifact,
        signature=signature,
        service=spec,
        metrics=found.metrics,
        rows=len(labels),
        positives=int(labels.sum()),
        parity=msgspec.convert(context.input("train", "parity"), Parity),
        probe=probe_artifact(rooms.blobs, artifact, matrix, place=place),
    )
    scored = test.select([c for c in test.column_names if c in _places(model, test)])
    scored = scored.append_column(LABEL, test.column(LABEL)).append_column("score", pa.array(scores, pa.float64()))
    production, scored = _production(rooms, model, context, test, scored)
    pq.write_table(scored, context.folder / "scores.parquet")
    references = _references(rooms, model, context, (training, test), scores, threshold)
    (context.folder / "references.msgpack").write_bytes(references_to_msgpack(references))
    return {
        "metrics": found.metrics,
        "evaluation": to_builtins(found),
        "candidate": to_builtins(candidate),
        "production": None if production is None else to_builtins(production),
        "scores": context.folder / "scores.parquet",
        "references": context.folder / "references.msgpack",
    }


def _references(
    rooms: Rooms, model: Model, context: StepContext, parts: tuple[pa.Table, pa.Table], scores: Floats, threshold: float
) -> dict[Origin, References]:
    """Freeze what traffic will be compared with, by the segments that the model's endpoints now judge."""
    training, test = parts
    names = [name for name, _ in service_of(rooms, model).model_inputs]
    importance: Mapping[str, float] = context.input("train", "importance")
    order = sorted(names, key=lambda name: (-importance.get(name, 0.0), name))
    watched = (one.monitor for one in rooms.definitions.endpoints.values() if one.model.name == model.name)
    segments = sorted({by for monitor in watched for by in monitor.segments})
    tested = fit_references(
        {name: test.column(name) for name in names} | {SCORE: scores},
        segments=segments,
        order=order,
        outcomes=labels_of(test) > 0,
        threshold=threshold,
    )
    trained = fit_references({name: training.column(name) for name in names}, segments=segments, order=order)
    return {"test": tested, "training": trained.by_scores_of(tested)}


def _places(model: Model, test: pa.Table) -> list[str]:
    """Return the columns by which a scored row is found again: instant, keys and identity."""
    keys = [key for view in model.features.views for key, _ in view.keys]
    wanted = [TIME_COLUMN, *keys, model.label.source.id]
    return [column for column in dict.fromkeys(wanted) if column is not None and column in test.column_names]


def _production(
    rooms: Rooms, model: Model, context: StepContext, test: pa.Table, scored: pa.Table
) -> tuple[Evidence | None, pa.Table]:
    """Score production's version on the same rows, by its own artifact and its own features."""
    holder = rooms.registry.holder(model.name, Stage.PRODUCTION)
    if holder is None or holder.service is None:
        return None, scored
    rows = test
    if holder.service.digest != service_of(rooms, model).digest:
        rows = _same_rows(rooms, model, context, holder.service, test)
    columns = {name: rows.column(name) for name, _ in holder.service.model_inputs}
    matrix = encode_columns(holder.signature, columns)
    scores = load_artifact(rooms.blobs, holder.artifact, matrix.shape[1], rooms.python_place(model.name)).predict(
        matrix
    )
    labels = labels_of(test)
    evidence = Evidence(
        model=model.name,
        version=holder.version,
        dataset_digest=context.input("features", "dataset"),
        artifact=holder.artifact,
        signature=holder.signature,
        service=holder.service,
        metrics=evaluate_fully(scores, labels, threshold=holder.threshold, resamples=1).metrics,
        rows=len(labels),
        positives=int(labels.sum()),
    )
    return evidence, scored.append_column("production_score", pa.array(scores, pa.float64()))


def _same_rows(rooms: Rooms, model: Model, context: StepContext, service: ServiceSpec, test: pa.Table) -> pa.Table:
    """Return the test rows with another service's features: examples come in one order, so positions agree."""
    everything = features_of(rooms, model, service, context.input("validate", "versions"))
    whole = rooms.datasets.load(context.input("features", "dataset"))
    positions = np.flatnonzero(np.asarray(whole.column(SPLIT).to_pylist(), dtype=object) == "test")
    del test
    return everything.take(pa.array(positions))


def gate(context: StepContext) -> Outputs:
    """Judge the candidate, and keep the report."""
    rooms, model = model_of(context)
    evaluated = context.inputs["evaluate"]
    candidate = msgspec.convert(evaluated["candidate"], Evidence, strict=False)
    production = evaluated["production"]
    report = judge(
        model.gates,
        candidate,
        None if production is None else msgspec.convert(production, Evidence, strict=False),
        at_us=to_us(rooms.clock.now()),
    )
    digest = save_report(rooms.blobs, report)
    context.made(digest)
    return {"outcome": report.outcome, "report": digest, "checks": to_builtins(report.checks)}


def register(context: StepContext) -> Outputs:
    """Register the version, write its documents, and ask for an approval when its gate passed."""
    rooms, model = model_of(context)
    run = run_of(context)
    actor = run_actor(rooms, run)
    report = msgspec.json.decode(rooms.blobs.get(context.input("gate", "report")), type=GateReport)
    with tracking_of(rooms) as tracking:
        new = _new_version(context, rooms, model, tracking.begin(model.name, run.id, run.started or run.created))
        version = rooms.registry.register(new, SYSTEM, gate=report, actor=actor.name)
        context.progress(0.5, f"version {version.version}")
        files = write_documents(rooms, model, version, report, context)
        context.progress(0.7, "tracking in MLflow")
        track(rooms, tracking, version, run, context, files)
    if report.outcome is Outcome.PASS:
        ask_once(rooms, version, actor, run.reason)
    if report.outcome is Outcome.PASS and run.params.get("triggered"):
        wish_once(rooms, str(run.params["endpoint"]), version)
    context.made(version.subject)
    return {"version": version.version}


def wish_once(rooms: Rooms, endpoint: str, version: ModelVersion) -> None:
    """Let what a trigger trained go out by itself once somebody has approved it, or the policy needs nobody.

    A step that is tried again after a crash must not send out anew what was aborted or rolled back meanwhile, and an
    endpoint that was withdrawn stays so until a person deploys to it. What a person waits for is not replaced either.
    """
    with rooms.db.read() as connection:
        awaited = wanted_by(connection, endpoint) not in (None, SYSTEM.name)
        past = [one.candidate for one in rollouts.history(connection, endpoint)]
        serves = current_route(connection, endpoint) is not None
    if serves and not awaited and not any((one.model, one.version) == (version.model, version.version) for one in past):
        wish(rooms, endpoint, version, SYSTEM)


def _new_version(context: StepContext, rooms: Rooms, model: Model, mlflow_run_id: str) -> NewVersion:
    artifact, files, signature = artifacts_of(context)
    evaluated = context.inputs["evaluate"]
    return NewVersion(
        model=model.name,
        run_id=context.run_id,
        dataset=model.name,
        dataset_digest=context.input("features", "dataset"),
        artifact=artifact,
        artifacts=files,
        signature=signature,
        service=service_of(rooms, model),
        metrics=evaluated["metrics"],
        trainer=to_builtins(model.trainer),
        threshold=evaluated["evaluation"]["threshold"],
        code_digest=digest_value([digest_of(model), service_of(rooms, model).digest]),
        environment_digest=environment_digest(),
        reference_digest=evaluated["references"],
        mlflow_run_id=mlflow_run_id,
        labels=context.input("validate", "labels"),
        rows=context.input("validate", "rows"),
    )
