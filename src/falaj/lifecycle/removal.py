"""Removal: a version goes when nothing uses it: it is listed and deployed no more, and its files are deleted.

Its row stays, with its gate report and its card: decisions, runs and audit records name it, and its number is taken.
"""

from collections.abc import Iterable

from falaj.definitions.routing_table import ArtifactRef
from falaj.governance.access import Actor, authorise
from falaj.kernel.errors import InputError, InUse, NotFound
from falaj.kernel.names import did_you_mean
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.wishes import wishes
from falaj.models.version import ModelVersion
from falaj.rollout import rollouts, table


def remove_versions(rooms: Rooms, actor: Actor, model: str, number: int | None) -> list[int]:
    """Remove a version, or all versions of a bare model.

    Args:
        rooms: The project.
        actor: Who wants it.
        model: The model's name.
        number: The version; None for all of a bare model.

    Returns:
        The versions removed.

    Raises:
        AccessDenied: The actor may not do `model.remove`.
        InputError: The model was trained, and no version is given.
        NotFound: There is no such version.
        InUse: It serves, computes in the shadow, stands in staging or production, is wanted, or is what a rollback
            would return to.
    """
    authorise(actor, "model.remove", model)
    kept = [version for version in rooms.registry.versions(model) if not version.removed]
    chosen = [version for version in kept if number in (None, version.version)]
    if not chosen:
        raise _not_found(rooms, model, number, kept)
    if number is None and any(version.tensors is None for version in chosen):
        raise InputError(f"which version of {model!r} is to be removed is not said", hint="add --version N")
    with rooms.promoting:  # no version goes out between the look and the mark
        for version in chosen:
            why = use_of(rooms, version)
            if why:
                raise InUse(f"version {version.version} of {model!r} {why[0]}", hint=why[1])
        for version in chosen:
            rooms.registry.remove(model, version.version, actor)
    needed = _files(version for name in _models(rooms) for version in rooms.registry.versions(name))
    for digest in _files(chosen, removed=True) - needed:
        rooms.blobs.delete(digest)
    return sorted(version.version for version in chosen)


def use_of(rooms: Rooms, version: ModelVersion) -> tuple[str, str] | None:
    """Return what uses a version and what to do about it; None where nothing does."""
    subject = version.model, version.version
    with rooms.db.read() as connection:
        routes = table.current_routes(connection)
        running = {one.endpoint: one for one in rollouts.running(connection)}
        wanted = [one.endpoint for one in wishes(connection) if (one.model, one.version) == subject]
        last = {name: rollouts.find(connection, name, "promoted") for name in routes}
    for name, route in routes.items():
        for variant in route.variants:
            if (variant.model, variant.version) == subject:
                if variant.role == "shadow":
                    return f"computes in the shadow of endpoint {name!r}", f"first: falaj shadow {name} --end"
                return f"serves endpoint {name!r}", f"deploy another version, or: falaj undeploy {name}"
        before = [running[name]] if name in running else []
        before += [one for one in (last[name],) if one is not None]
        if any((v.model, v.version) == subject for one in before for v in one.previous):
            return (
                f"is what a rollback of endpoint {name!r} returns to",
                f"remove it after the next version, or after: falaj undeploy {name}",
            )
    if wanted:
        return f"is wanted on endpoint {wanted[0]!r}", f"deploy another version, or: falaj undeploy {wanted[0]}"
    if version.tensors is None and any(one.version == version.version for one in rooms.registry.in_use(version.model)):
        stage = rooms.registry.stage_of(version.model, version.version)
        return f"is in use: it stands in {stage}", "deploy another version first"
    return None


def _models(rooms: Rooms) -> list[str]:
    return [*rooms.registry.models(), *rooms.registry.bare_models()]


def _files(versions: Iterable[ModelVersion], *, removed: bool = False) -> set[str]:
    found: set[str] = set()
    for version in versions:
        if removed or not version.removed:
            for file in (version.artifact, *version.artifacts.values()):
                found |= _digests(file)
            found |= {version.state_digest} - {""}
    return found


def _digests(file: ArtifactRef) -> set[str]:
    return {file.digest, *(one.digest for one in file.beside), *([file.calibration] if file.calibration else [])}


def _not_found(rooms: Rooms, model: str, number: int | None, kept: list[ModelVersion]) -> NotFound:
    if kept:
        return NotFound(f"model {model!r} has no version {number}", hint=f"the newest is {kept[0].version}")
    known = [name for name in _models(rooms) if any(not version.removed for version in rooms.registry.versions(name))]
    hint = did_you_mean(model, known) if known else "there are no versions: train one, or add a file"
    return NotFound(f"model {model!r} has no versions", hint=hint)
