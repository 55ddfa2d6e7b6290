"""Operations on models: train, add, remove, list, show, approve, reject."""

from pathlib import Path

from falaj.app.values.model import (
    Added,
    AddModel,
    Adopt,
    Adopted,
    Decide,
    Decided,
    Removed,
    RemoveModel,
    ShowVersion,
    Started,
    Train,
    VersionDetail,
    VersionsQuery,
)
from falaj.app.values.status import VersionStatus
from falaj.definitions.tensor_signature import TensorSignature
from falaj.governance.access import Actor, authorise
from falaj.governance.approvals import Approval, ApprovalState
from falaj.kernel.errors import AccessDenied, Conflict, FalajError
from falaj.lifecycle.adopted_models import adopt_bare, adopt_model
from falaj.lifecycle.approving import ask_for_approval, is_approved, still_needed
from falaj.lifecycle.bare_models import add_bare
from falaj.lifecycle.pipeline import training_graph
from falaj.lifecycle.promotion import begin_wished
from falaj.lifecycle.removal import remove_versions
from falaj.lifecycle.rooms import Rooms
from falaj.models.gate_report import load_report
from falaj.models.stages import Stage
from falaj.models.version import ModelVersion
from falaj.pipelines.runs import get_run
from falaj.pipelines.submission import submit
from falaj.rollout.table import current_route


def train(rooms: Rooms, actor: Actor, params: Train) -> Started:
    """Submit a training run; a worker takes it."""
    definition = rooms.definitions.model(params.model)
    run_id = submit(
        rooms.db,
        rooms.clock,
        rooms.new_id,
        training_graph(rooms, definition.name),
        by=actor,
        reason=params.reason,
        params={"model": definition.name},
        dedup_key=f"train:{definition.name}",
    )
    return Started(run_id)


def add(rooms: Rooms, actor: Actor, params: AddModel) -> Added:
    """Keep an ONNX file as the next version of a bare model."""
    version = add_bare(rooms, actor, params.name, Path(params.file))
    tensors = version.tensors or TensorSignature((), ())
    return Added(version.model, version.version, version.artifact.digest, tensors.inputs, tensors.outputs)


def adopt(rooms: Rooms, actor: Actor, params: Adopt) -> Adopted:
    """Submit a run that judges a model from elsewhere; one without a definition becomes a bare model."""
    definition = rooms.definitions.models.get(params.model)
    if definition is None:
        version = adopt_bare(rooms, actor, params.model, Path(params.folder))
        return Adopted("", version.version)
    return Adopted(adopt_model(rooms, actor, definition, Path(params.folder), params.origin))


def remove(rooms: Rooms, actor: Actor, params: RemoveModel) -> Removed:
    """Remove a version that nothing uses, or a bare model with all its versions."""
    return Removed(params.name, tuple(remove_versions(rooms, actor, params.name, params.version)))


def list_versions(rooms: Rooms, actor: Actor, params: VersionsQuery) -> list[VersionStatus]:
    """Return versions, the newest first."""
    del actor
    bare = rooms.registry.bare_models()
    if params.model:
        models = [params.model] if params.model in bare else [rooms.definitions.model(params.model).name]
    else:
        models = [*rooms.registry.models(), *bare]
    found = [
        version_status(rooms, version)
        for model in models
        for version in rooms.registry.versions(model)
        if not version.removed
    ]
    return sorted(found, key=lambda version: -version.created_us)


def show(rooms: Rooms, actor: Actor, params: ShowVersion) -> VersionDetail:
    """Return a version with its card and gate report."""
    del actor
    version = rooms.registry.get(params.model, params.version)

    def text(name: str) -> str:
        digest = version.documents.get(name)
        return rooms.blobs.get(digest).decode() if digest else ""

    gate = load_report(rooms.blobs, version.gate_digest) if version.gate_digest else None
    return VersionDetail(
        version_status(rooms, version), text("card.md"), text("card.html"), text("gate.md"), text("gate.html"), gate
    )


def approve(rooms: Rooms, actor: Actor, params: Decide) -> Decided:
    """Approve a version; a rollout that waited for it begins."""
    version = rooms.registry.get(params.model, params.version)
    _refuse_maker(version, actor)
    policy = rooms.definitions.policy_of(params.model)
    if not policy.counts(actor.name, actor.role):
        raise AccessDenied(
            f"policy {policy.name!r} does not ask {actor.role} {actor.name!r} about model {params.model!r}",
            hint=f"it asks {', '.join(policy.approvers)}",
        )
    if actor.name in rooms.registry.approvers(version, policy) and not is_approved(rooms, version):
        raise Conflict(
            f"version {params.version} of model {params.model!r} is already approved by {actor.name!r}",
            hint=f"the policy asks for {policy.approvals} different people",
        )
    approval = _pending(rooms, actor, version)
    decided = rooms.approvals.approve(approval.id, actor, params.comment)
    if not is_approved(rooms, version):
        ask_for_approval(rooms, version, approval.reason)
    try:
        begin_wished(rooms, version)
    except FalajError as error:
        message = f"version {params.version} is approved, but its rollout did not begin: {error.message}"
        raise type(error)(message, hint=error.hint) from error
    return Decided(params.model, params.version, decided.state, actor.name, still_needed(rooms, version))


def reject(rooms: Rooms, actor: Actor, params: Decide) -> Decided:
    """Refuse a version."""
    version = rooms.registry.get(params.model, params.version)
    _refuse_maker(version, actor)
    decided = rooms.approvals.reject(_pending(rooms, actor, version).id, actor, params.comment)
    return Decided(params.model, params.version, decided.state, actor.name)


def _refuse_maker(version: ModelVersion, actor: Actor) -> None:
    about = f"version {version.version} of model {version.model!r}"
    if version.actor == actor.name:
        raise AccessDenied(
            f"actor {actor.name!r} had {about} trained and may not decide about it",
            hint="ask somebody else: falaj token create --actor NAME --role approver",
        )


def _pending(rooms: Rooms, actor: Actor, version: ModelVersion) -> Approval:
    """Return the question that waits, asked anew where that is due: for somebody whom nothing keeps from deciding."""
    authorise(actor, "model.approve", version.subject)
    about = f"version {version.version} of model {version.model!r}"
    asked = rooms.approvals.find(kind="model", subject=version.subject)
    if asked and asked[0].state is not ApprovalState.REJECTED and not is_approved(rooms, version):
        # One more is needed, or it left production since, or the question lapsed.
        ask_for_approval(rooms, version, asked[0].reason)
        asked = rooms.approvals.find(kind="model", subject=version.subject)
    pending = [approval for approval in asked if approval.state is ApprovalState.PENDING]
    if pending:
        return pending[0]
    if asked:
        raise Conflict(f"{about} is already {asked[0].state.lower()}", hint="train another version to decide anew")
    raise Conflict(
        f"{about} asks for no approval: its gate is {version.gate_outcome}",
        hint=f"read why: falaj models show {version.model} {version.version} --gate",
    )


def version_status(rooms: Rooms, version: ModelVersion) -> VersionStatus:
    """Return a version as the command line and the page show it."""
    approvals = rooms.approvals.find(kind="model", subject=version.subject)
    if version.tensors is None:
        stage: str = rooms.registry.stage_of(version.model, version.version)
        reason = get_run(rooms.db, version.run_id).reason
    else:
        with rooms.db.read() as connection:
            route = current_route(connection, version.model)
        serves = route is not None and any(v.version == version.version for v in route.variants)
        stage = Stage.PRODUCTION if serves else Stage.DEVELOPMENT
        reason = f"added from {version.trainer.get('file', 'a file')}"
    return VersionStatus(
        version.model,
        version.version,
        stage,
        version.gate_outcome or "none",
        approvals[0].state if approvals else "",
        (approvals[0].decided_by or "") if approvals else "",
        version.created_us,
        version.metrics,
        version.dataset_digest,
        version.run_id,
        reason,
    )
