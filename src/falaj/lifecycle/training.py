"""The steps of the training pipeline. Each takes a StepContext whose resources are the project's rooms."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pyarrow.compute as pc

from falaj.data.report import refuse_incomplete
from falaj.definitions.model import Model
from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.signature import Signature
from falaj.governance.access import SYSTEM, Actor, Role
from falaj.kernel.codec import to_builtins
from falaj.kernel.errors import Conflict, DataError
from falaj.lifecycle.continuing import Continued, Parent, continued
from falaj.lifecycle.dataset import build_dataset, sources_of, table_versions
from falaj.lifecycle.deciding import unseen_threshold
from falaj.lifecycle.known_labels import known_labels
from falaj.lifecycle.learning import learning_of
from falaj.lifecycle.pipeline import files_digest, pinned
from falaj.lifecycle.rooms import Rooms
from falaj.models.making import Made, make
from falaj.models.parity import Parity
from falaj.models.tuning.found import Found
from falaj.pipelines.context import StepContext
from falaj.pipelines.runs import Run, get_run

Outputs = Mapping[str, Any]


def ingest(context: StepContext) -> Outputs:
    """Read new files and land pushed events of every source that the model reads."""
    rooms, model = model_of(context)
    actor = run_actor(rooms, run_of(context))
    accepted = quarantined = 0
    for name in sorted(sources_of(rooms, model)):
        more, refused = read_files(rooms, name, actor, context)
        accepted, quarantined = accepted + more, quarantined + refused
    versions = table_versions(rooms, model)
    return {"accepted": accepted, "quarantined": quarantined, "versions": versions}


def read_files(rooms: Rooms, name: str, actor: Actor, context: StepContext) -> tuple[int, int]:
    """Read a source's new files; return how many rows were accepted and quarantined.

    Raises:
        DataError: A file could not be taken.
    """
    source = rooms.definitions.source(name)
    if source.batch is None:
        return 0, 0
    context.progress(0.0, f"reading {name}")
    report = rooms.ingestion.ingest(
        source,
        rooms.applied.document.schemas[name],
        rooms.folder,
        actor,
        lambda file: context.progress(0.5, f"{file.path}: {file.accepted:,} rows"),
    )
    refuse_incomplete(report.refused)
    return report.accepted, report.quarantined


def validate(context: StepContext) -> Outputs:
    """Hold the sources against what training needs: rows, a usable label, and not mostly refused rows."""
    rooms, model = model_of(context)
    versions: dict[str, int] = context.input("ingest", "versions")
    counts = {name: usable_rows(rooms, name, at)[0] for name, at in versions.items()}
    label = model.label
    table, version = f"source/{label.source.name}", versions[label.source.name]
    values = rooms.tables.read(table, [label.column], version=version).to_table().column(label.column).drop_null()
    known = known_labels(rooms, label, version)
    if pc.count_distinct(values).as_py() < 2:
        kinds = "classes" if model.task == "classification" else "values"
        raise DataError(
            f"label {label.column!r} of source {label.source.name!r} has fewer than two {kinds} among "
            f"{known:,} known labels",
            hint="ingest more history, or look whether labels have arrived",
        )
    return {"versions": versions, "labels": known, "rows": counts[label.source.name]}


def usable_rows(rooms: Rooms, name: str, version: int) -> tuple[int, int]:
    """Return how many rows a source has, and how many of it are in quarantine.

    Raises:
        DataError: More of its rows are in quarantine than are not.
    """
    rows, refused = rooms.tables.read(f"source/{name}", version=version).count_rows(), 0
    refused_table = f"quarantine/{name}"
    if rooms.tables.version(refused_table) is not None:
        refused = rooms.tables.read(refused_table).count_rows()
    if refused > rows:
        raise DataError(
            f"source {name!r}: {refused:,} rows are in quarantine and {rows:,} are not",
            hint=f"look at the reasons: falaj source quarantine {name}",
        )
    return rows, refused


def features(context: StepContext) -> Outputs:
    """Build the immutable training set."""
    rooms, model = model_of(context)
    dataset = build_dataset(rooms, model, run_actor(rooms, run_of(context)), context.input("validate", "versions"))
    context.made(dataset.digest)
    context.progress(1.0, f"{dataset.rows:,} examples")
    return {"dataset": dataset.digest, "rows": dataset.rows}


def train(context: StepContext) -> Outputs:
    """Fit, calibrate, export, and choose the file that serves."""
    rooms, model = model_of(context)
    check_files(rooms, model, context)
    learning = learning_of(rooms, model, service_of(rooms, model).model_inputs, context)
    found = found_by(context)
    trainer = model.trainer if found is None else found.trainer
    going_on = _continued(context, learning.signature)
    context.progress(0.1, _fitting(len(learning.rows.labels), going_on))
    parent = None
    if going_on is not None and not going_on.full:
        parent = going_on.fresh, rooms.blobs.get(going_on.parent.state)
    made = make(trainer, learning.rows, learning.held, model.calibrate, parent=parent, tell=context.progress)
    fitted = made.fitted
    outputs = exported_outputs(context, made, learning.signature)
    outputs |= {
        "trainer": to_builtins(trainer),
        "params": made.params(found),
        "train_rows": len(learning.rows.labels),
        "threshold": unseen_threshold(model, trainer, learning, made, parent, context.progress),
        **_told(going_on),
    }
    if fitted.state and fitted.state != fitted.native and going_on is not None:
        (context.folder / "state.json").write_bytes(fitted.state)
        outputs["state"] = context.folder / "state.json"
    return outputs


def exported_outputs(context: StepContext, made: Made, signature: Signature) -> dict[str, Any]:
    """Return what the later steps need of a model, its files written.

    Args:
        context: Of the step that has the model.
        made: The model.
        signature: Its inputs.
    """
    fitted, exported = made.fitted, made.exported
    outputs: dict[str, Any] = {
        "signature": msgspec.to_builtins(signature),
        "runtime": exported.serving.runtime,
        "parity": msgspec.to_builtins(exported.serving.parity),
        "importance": fitted.importance,
        "params": fitted.params,
        "files": {},
    }
    for file in exported.files:
        if file.content:
            path = context.folder / f"model.{file.runtime}"
            path.write_bytes(file.content)
            outputs[f"model_{file.runtime}"] = path
            outputs["files"][file.runtime] = file.error or msgspec.to_builtins(file.parity)
    if made.calibration is not None:
        outputs["calibration"] = context.folder / "calibration.json"
        outputs["calibration"].write_bytes(made.calibration.encode())
    return outputs


def check_files(rooms: Rooms, model: Model, context: StepContext) -> None:
    """Refuse to fit a class whose files are no longer those that the run was submitted for.

    Raises:
        Conflict: They changed.
    """
    if files_digest(rooms, model) != context.params["files"]:
        raise Conflict(
            f"the files of {model.trainer.folder} changed while run {context.run_id} was under way",
            hint=f"train it by the new ones: falaj train {model.name}",
        )


def _continued(context: StepContext, signature: Signature) -> Continued | None:
    """Return what the model goes on from, and on which rows; None for one that never does."""
    rooms, model = model_of(context)
    if "parent" not in context.params:
        return None
    parent = msgspec.convert(context.params["parent"], Parent)
    rows = rooms.datasets.load(context.input("features", "dataset"))
    found = continued(rooms, model, service_of(rooms, model), parent, rows, signature)
    if not found.full:
        context.used(parent.state)
    return found


def _fitting(rows: int, going_on: Continued | None) -> str:
    if going_on is None:
        return f"fitting {rows:,} rows"
    if going_on.full:
        return f"fitting all {rows:,} rows anew: {going_on.full}"
    return f"continuing version {going_on.parent.version} on {len(going_on.fresh):,} new rows of {rows:,}"


def _told(going_on: Continued | None) -> dict[str, Any]:
    """Return what the run says of a warm start, and what the version will."""
    if going_on is None:
        return {}
    if going_on.full:
        return {"continues": {"parent": 0, "generation": 0, "rows": 0, "full": going_on.full}}
    parent = going_on.parent
    told = {"parent": parent.version, "generation": parent.generation, "rows": len(going_on.fresh), "full": ""}
    return {"continues": told}


def service_of(rooms: Rooms, model: Model) -> ServiceSpec:
    """Return the compiled features that a model is trained on now."""
    return rooms.applied.document.services[model.features.name]


def found_by(context: StepContext) -> Found | None:
    """Return what the tune step found, to a step that needs it; None where a model has no such step."""
    made = context.inputs.get("tune")
    return None if made is None else msgspec.convert(made["found"], Found)


def artifacts_of(context: StepContext) -> tuple[ArtifactRef, dict[str, ArtifactRef], Signature]:
    """Return what the train step made: the file that serves, all files, and the signature."""
    made = context.inputs["train"]
    files = {
        name.removeprefix("model_"): ArtifactRef(digest, name.removeprefix("model_"))  # type: ignore[arg-type]
        for name, digest in made.items()
        if name.startswith("model_")
    }
    chosen: ArtifactRef = files[made["runtime"]]
    beside = tuple(file for name, file in files.items() if file != chosen and _holds(made["files"][name]))
    chosen = msgspec.structs.replace(chosen, beside=beside, calibration=made.get("calibration", ""))
    return chosen, files, msgspec.convert(made["signature"], Signature)


def _holds(found: Any) -> bool:
    """Return whether a file's scores are those of the model; what was found is a text where it has none."""
    return not isinstance(found, str) and msgspec.convert(found, Parity).holds


def run_actor(rooms: Rooms, run: Run) -> Actor:
    """Return who started a run; a trigger's runs are Falaj's own."""
    known = {one.name: one for one in rooms.actors.list()}
    found = known.get(run.actor)
    return SYSTEM if found is None else Actor(found.name, Role(found.role))


def run_of(context: StepContext) -> Run:
    """Return the run that a step belongs to."""
    rooms: Rooms = context.resources
    return get_run(rooms.db, context.run_id)


def model_of(context: StepContext) -> tuple[Rooms, Model]:
    """Return the project's rooms and the model that a step works on.

    Raises:
        Conflict: The definitions changed since the run was submitted: what it made would be kept as made by the old.
    """
    rooms: Rooms = context.resources
    model = rooms.definitions.model(context.params["model"])
    now = pinned(rooms, model)
    if any(context.params[name] != value for name, value in now.items()):
        raise Conflict(
            f"the definitions of model {model.name!r} changed while run {context.run_id} was under way",
            hint=f"train it by the new ones: falaj train {model.name}",
        )
    return rooms, model
