"""Bare models: ONNX files that serve as they are, from the file to the traffic and away again.

    added ──(approved)──► serves ──► undeployed ──► removed

No data and no training stands behind them, so there is no gate; the policy's approvals hold for them as for any other.
"""

from pathlib import Path

import sqlalchemy as sa

from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.signature import Signature
from falaj.governance.access import SYSTEM, Actor, authorise
from falaj.kernel.errors import Conflict, NotFound
from falaj.kernel.names import check_name, did_you_mean
from falaj.lifecycle.approving import ask_for_approval, is_approved, refuse_rejected, whom_it_waits_for
from falaj.lifecycle.candidate import variant_of
from falaj.lifecycle.hindrances import unquiet
from falaj.lifecycle.promoted import KEPT_BACK, WAITS, Promoted
from falaj.lifecycle.publication import publish_snapshots
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.wishes import Wish, close_older, forget, wish, wishes, withdraw_wishes
from falaj.models.bare_file import read_bare_file
from falaj.models.version import ModelVersion, NewVersion
from falaj.rollout import table
from falaj.rollout.deploy import replace
from falaj.rollout.rollouts import Rollout
from falaj.storage.disk import given_file


def add_bare(rooms: Rooms, actor: Actor, name: str, file: Path) -> ModelVersion:
    """Keep a file as the next version of a bare model; it serves nothing yet.

    Args:
        rooms: The project.
        actor: Who adds it, and may not approve it.
        name: The name that it will serve under.
        file: The ONNX file, on the machine where the project is.

    Returns:
        The version; the newest one when its file is the same.

    Raises:
        AccessDenied: The actor may not do `model.register`.
        Conflict: A model or an endpoint of the project has the name.
        DataError: The file is no ONNX model.
        InputError: It cannot be read.
        Unsupported: It keeps weights in other files, or takes or gives what is no tensor.
    """
    authorise(actor, "model.register", check_name("model", name))
    with given_file(file):
        model = file.read_bytes()
    return add_bare_bytes(rooms, actor, name, model, file.name)


def add_bare_bytes(rooms: Rooms, actor: Actor, name: str, model: bytes, file: str) -> ModelVersion:
    """Keep the bytes of a file as the next version of a bare model; as `add_bare`.

    Args:
        rooms: The project.
        actor: Who adds it, and may not approve it.
        name: The name that it will serve under.
        model: The ONNX file's bytes.
        file: Where it came from, for people.
    """
    authorise(actor, "model.register", check_name("model", name))
    if name in rooms.definitions.models or name in rooms.definitions.endpoints or name in rooms.registry.models():
        raise Conflict(f"{name!r} is a model or an endpoint of this project", hint="give another --name")
    tensors = read_bare_file(model, file)
    digest = rooms.blobs.put(model)
    newest = next(iter(bare_versions(rooms, name)), None)
    if newest is not None and newest.artifact.digest == digest:
        return newest
    new = NewVersion(
        model=name,
        run_id=rooms.new_id("file"),
        dataset="",
        dataset_digest="",
        artifact=ArtifactRef(digest, "onnx"),
        signature=Signature(()),
        tensors=tensors,
        trainer={"file": file},
    )
    version = rooms.registry.register(new, actor)
    if not is_approved(rooms, version):
        ask_for_approval(rooms, version, f"to serve {name}")
    return version


def bare_versions(rooms: Rooms, name: str) -> list[ModelVersion]:
    """Return a bare model's versions, the newest first; those that were removed are left out."""
    return [v for v in rooms.registry.versions(name) if v.tensors is not None and not v.removed]


def deploy_bare(rooms: Rooms, actor: Actor, name: str, number: int | None) -> Promoted:
    """Let a version serve under its model's name in place of what did, as soon as it is approved.

    Args:
        rooms: The project.
        actor: Who wants it.
        name: The bare model.
        number: The version; the newest by default.

    Raises:
        AccessDenied: The actor may not do `endpoint.deploy` there.
        NotFound: There is no such version.
        Conflict: It serves already, or was refused.
    """
    authorise(actor, "endpoint.deploy", name)
    version = _chosen(rooms, name, number)
    if not is_approved(rooms, version):
        refuse_rejected(rooms, version)
        ask_for_approval(rooms, version, f"to serve {name}")
        wish(rooms, name, version, actor)
        return Promoted(
            name,
            version.version,
            WAITS,
            whom_it_waits_for(rooms, version),
        )
    why = unquiet(rooms, name, name)
    if why:
        wish(rooms, name, version, actor)
        return Promoted(name, version.version, KEPT_BACK, f"{why}; then it begins by itself")
    with rooms.promoting:
        return Promoted(name, version.version, "serves", _put_in_place(rooms, actor, version).reason)


def begin_bare(rooms: Rooms, wanted: Wish) -> bool:
    """Let a wanted version serve if its approval has come.

    Returns:
        Whether it serves now and did not before.
    """
    version = rooms.registry.get(wanted.model, wanted.version)
    if not is_approved(rooms, version) or unquiet(rooms, wanted.endpoint, wanted.model):
        return False
    with rooms.promoting:
        with rooms.db.read() as connection:
            if wanted not in wishes(connection):  # it was withdrawn since it was read
                return False
        with rooms.db.read() as connection:
            route = table.current_route(connection, wanted.endpoint)
        if route is not None and any(v.version == version.version for v in route.variants):
            forget(rooms, wanted)
            return False
        _put_in_place(rooms, SYSTEM, version)
        return True


def _put_in_place(rooms: Rooms, actor: Actor, version: ModelVersion) -> Rollout:
    def within(connection: sa.Connection) -> None:
        withdraw_wishes(connection, version.model)  # whatever was wanted before
        close_older(rooms, connection, version.model, version.version)

    return replace(
        rooms.db,
        rooms.clock,
        rooms.new_id,
        actor,
        version.model,
        variant_of(version),
        publish=lambda: publish_snapshots(rooms),
        within=within,
    )


def _chosen(rooms: Rooms, name: str, number: int | None) -> ModelVersion:
    versions = bare_versions(rooms, name)
    for version in versions:
        if number in (None, version.version):
            return version
    if versions:
        raise NotFound(f"bare model {name!r} has no version {number}", hint=f"the newest is {versions[0].version}")
    raise _not_found(rooms, name)


def _not_found(rooms: Rooms, name: str) -> NotFound:
    known = [bare for bare in rooms.registry.bare_models() if bare_versions(rooms, bare)]
    hint = did_you_mean(name, known) if known else "add one: falaj models add FILE --name NAME"
    return NotFound(f"there is no bare model {name!r}", hint=hint)
