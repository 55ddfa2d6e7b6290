"""The last steps of the training pipeline: evaluate, gate, register."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from falaj.definitions.model import Model
from falaj.definitions.project import digest_of
from falaj.features.entity_frame import TIME_COLUMN
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import to_us
from falaj.kernel.codec import to_builtins
from falaj.kernel.digest import digest_value
from falaj.lifecycle.approving import ask_once
from falaj.lifecycle.challenging import is_proven
from falaj.lifecycle.continuing import label_digest
from falaj.lifecycle.documents import track, tracking_of, write_documents
from falaj.lifecycle.examples import LABEL
from falaj.lifecycle.measuring import Measurement, begin, findings_of, production_evidence
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.training import artifacts_of, model_of, run_actor, run_of, service_of
from falaj.lifecycle.wishes import wanted_by, wish, wishes
from falaj.models.evaluation import evaluation_of
from falaj.models.gate_report import Evidence, GateReport, save_report
from falaj.models.gates import judge
from falaj.models.parity import Parity
from falaj.models.probe import probe_artifact
from falaj.models.stages import is_blessed
from falaj.models.version import ModelVersion, NewVersion
from falaj.monitoring.references import SCORE, Origin, References, fit_references, references_to_msgpack
from falaj.pipelines.context import StepContext
from falaj.pipelines.keys import environment_digest
from falaj.rollout import rollouts
from falaj.rollout.table import current_route

Outputs = Mapping[str, Any]


def evaluate(context: StepContext) -> Outputs:
    """Measure the file that will serve on the test rows, and production's on the same rows."""
    rooms, model = model_of(context)
    context.used(context.input("features", "dataset"))
    measured = begin(rooms, model, context)
    context.progress(0.3, f"measuring {len(measured.labels):,} test rows")
    findings = findings_of(rooms, model, context, measured)
    context.progress(0.6, "timing single rows")
    artifact, _, signature = artifacts_of(context)
    candidate = Evidence(
        model=model.name,
        version=None,
        dataset_digest=measured.dataset,
        artifact=artifact,
        signature=signature,
        service=service_of(rooms, model),
        findings=findings,
        parity=msgspec.convert(context.input("train", "parity"), Parity),
        probe=probe_artifact(rooms.blobs, artifact, measured.candidate.matrix, place=rooms.python_place(model.name)),
    )
    production = production_evidence(model, measured)
    evaluation = evaluation_of(measured.sides(model.cost), findings.whole)
    pq.write_table(_scored(model, measured), context.folder / "scores.parquet")
    references = _references(rooms, model, context, measured)
    (context.folder / "references.msgpack").write_bytes(references_to_msgpack(references))
    return {
        "metrics": evaluation.metrics,
        "evaluation": to_builtins(evaluation),
        "candidate": to_builtins(candidate),
        "production": None if production is None else to_builtins(production),
        "scores": context.folder / "scores.parquet",
        "references": context.folder / "references.msgpack",
    }


def _references(rooms: Rooms, model: Model, context: StepContext, measured: Measurement) -> dict[Origin, References]:
    """Freeze what traffic will be compared with, by the segments that the model's endpoints now judge."""
    training, test = measured.training, measured.test
    names = [name for name, _ in measured.service.model_inputs]
    importance: Mapping[str, float] = context.input("train", "importance")
    order = sorted(names, key=lambda name: (-importance.get(name, 0.0), name))
    watched = (one.monitor for one in rooms.definitions.endpoints.values() if one.model.name == model.name)
    segments = sorted({by for monitor in watched for by in monitor.segments})
    tested = fit_references(
        {name: test.column(name) for name in names} | {SCORE: measured.candidate.scores},
        segments=segments,
        order=order,
        outcomes=None if model.task == "regression" else measured.labels > 0,
        threshold=None if model.task == "regression" else measured.candidate.threshold,
    )
    trained = fit_references({name: training.column(name) for name in names}, segments=segments, order=order)
    return {"test": tested, "training": trained.by_scores_of(tested)}


def _scored(model: Model, measured: Measurement) -> pa.Table:
    """Return the test rows' instants, keys and identities with their labels and scores."""
    test = measured.test
    keys = [key for view in model.features.views for key, _ in view.keys]
    wanted = {TIME_COLUMN, *keys, model.label.source.id}
    scored = test.select([column for column in test.column_names if column in wanted])
    scored = scored.append_column(LABEL, test.column(LABEL))
    scored = scored.append_column("score", pa.array(measured.candidate.scores, pa.float64()))
    if measured.production is None:
        return scored
    return scored.append_column("production_score", pa.array(measured.production.scores, pa.float64()))


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
    blessed = is_blessed(version, rooms.definitions.policy_of(model.name))
    if blessed:
        ask_once(rooms, version, actor, run.reason)
    # A pipeline of a user's own may have parameters of any name; what it registers goes out when somebody deploys it.
    if blessed and run.pipeline == f"train:{model.name}" and run.params.get("triggered"):
        wish_once(rooms, str(run.params["endpoint"]), version)
    context.made(version.subject)
    return {"version": version.version}


def wish_once(rooms: Rooms, endpoint: str, version: ModelVersion) -> None:
    """Let what a trigger trained go out by itself once somebody has approved it, or the policy needs nobody.

    A step that is tried again after a crash must not send out anew what was aborted or rolled back meanwhile, and an
    endpoint that was withdrawn stays so until a person deploys to it. What a person waits for is not replaced either,
    nor a challenger that has shown to be better on live decisions.
    """
    with rooms.db.read() as connection:
        awaited = wanted_by(connection, endpoint) not in (None, SYSTEM.name)
        past = [one.candidate for one in rollouts.history(connection, endpoint)]
        route = current_route(connection, endpoint)
        proven = any(is_proven(connection, one) for one in wishes(connection) if one.endpoint == endpoint)
    if (
        route
        and not awaited
        and not proven
        and not any((one.model, one.version) == (version.model, version.version) for one in past)
    ):
        wish(rooms, endpoint, version, SYSTEM)


def _new_version(context: StepContext, rooms: Rooms, model: Model, mlflow_run_id: str) -> NewVersion:
    artifact, files, signature = artifacts_of(context)
    evaluated, trained = context.inputs["evaluate"], context.inputs["train"]
    continues: dict[str, Any] = trained.get("continues", {})
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
        trainer=context.inputs["train"].get("adopted") or context.input("train", "trainer"),
        threshold=evaluated["evaluation"]["threshold"],
        code_digest=digest_value([digest_of(model), service_of(rooms, model).digest]),
        environment_digest=environment_digest(),
        reference_digest=evaluated["references"],
        mlflow_run_id=mlflow_run_id,
        labels=context.input("validate", "labels"),
        rows=context.input("validate", "rows"),
        task=model.task,
        label_digest=label_digest(model),
        parent=continues.get("parent", 0),
        generation=continues.get("generation", 0),
        state_digest=trained.get("state", ""),
    )
