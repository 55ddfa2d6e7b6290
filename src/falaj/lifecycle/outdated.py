"""Outdated evidence: a version that was found no worse than what served then says nothing about what serves now."""

from falaj.definitions.gate import Change, Robustness
from falaj.kernel.errors import Conflict
from falaj.lifecycle.rooms import Rooms
from falaj.models.gate_report import load_report
from falaj.models.stages import Stage
from falaj.models.version import ModelVersion


def outdated(rooms: Rooms, version: ModelVersion) -> str:
    """Return why a version's comparison with production counts no more, as a sentence; empty where it does.

    One that was in production before may come back: what it is worth is known. Nothing is outdated where the gate
    compares with nothing, or where the same file is in production as then.

    Args:
        rooms: The project.
        version: What is to serve.
    """
    if not version.gate_digest:
        return ""
    holder = rooms.registry.holder(version.model, Stage.PRODUCTION)
    if holder is None or holder.version == version.version:
        return ""
    report = load_report(rooms.blobs, version.gate_digest)
    if report.baseline_digest == holder.artifact.digest or not _compares(rooms, version.model):
        return ""
    if any(move.to_stage is Stage.PRODUCTION for move in rooms.registry.history(version.model, version.version)):
        return ""
    then = "nothing" if report.baseline_version is None else f"version {report.baseline_version}"
    return f"its gate compared it with {then}, and version {holder.version} is in production now"


def refuse_outdated(rooms: Rooms, version: ModelVersion) -> None:
    """Raise if the version was compared with another one than is in production now.

    Raises:
        Conflict: It was.
    """
    why = outdated(rooms, version)
    if why:
        raise Conflict(
            f"version {version.version} of model {version.model!r} may not move: {why}",
            hint=f"have it judged against that one: falaj train {version.model}, which fits anew only what changed",
        )


def _compares(rooms: Rooms, model: str) -> bool:
    found = rooms.definitions.models.get(model)
    declared = () if found is None else found.gates
    return any(
        isinstance(check, Change) or (isinstance(check, Robustness) and check.against == "production")
        for check in declared
    )
