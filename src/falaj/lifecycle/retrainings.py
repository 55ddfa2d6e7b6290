"""Retrainings: why each training run of a model started, and what came of it."""

import msgspec

from falaj.definitions.endpoint import Endpoint
from falaj.lifecycle.rooms import Rooms
from falaj.models.stages import is_blessed
from falaj.models.version import ModelVersion
from falaj.pipelines.runs import Run, RunState, list_runs
from falaj.rollout import rollouts
from falaj.rollout.rollouts import Rollout


class Retraining(msgspec.Struct, frozen=True):
    """One training run, with its end.

    Attributes:
        run_id: The run.
        started_us: When it was asked for, in microseconds since 1970.
        actor: Who asked; "system" for a trigger.
        reason: Why.
        state: How the run stands.
        version: What it made; None for nothing.
        outcome: What came of it, as one sentence.
        continues: The version that it went on from; 0 where all was learned anew.
    """

    run_id: str
    started_us: int
    actor: str
    reason: str
    state: RunState
    version: int | None
    outcome: str
    continues: int = 0


def retrainings(rooms: Rooms, endpoint: Endpoint, *, limit: int) -> list[Retraining]:
    """Return the training runs of an endpoint's model, the newest first.

    Args:
        rooms: The project.
        endpoint: What its versions were rolled out on.
        limit: Most runs.
    """
    model = endpoint.model.name
    made = {version.run_id: version for version in rooms.registry.versions(model)}
    with rooms.db.read() as connection:
        past = rollouts.history(connection, endpoint.name)
    out = {one.candidate.version: one for one in reversed(past) if one.candidate.model == model}  # the latest of each
    return [
        Retraining(
            run.id,
            run.created,
            run.actor,
            run.reason,
            run.state,
            None if (version := made.get(run.id)) is None else version.version,
            _outcome(rooms, run, version, None if version is None else out.get(version.version)),
            0 if version is None else version.parent,
        )
        for run in list_runs(rooms.db, pipeline=f"train:{model}", limit=limit)
    ]


def _outcome(rooms: Rooms, run: Run, version: ModelVersion | None, rollout: Rollout | None) -> str:
    if version is None:
        return run.error or ("no version" if run.state.ended else "under way")
    if rollout is not None:
        word = {"running": "rolling out", "rolled_back": "rolled back"}.get(rollout.status, rollout.status)
        return f"{word}: {rollout.reason}" if rollout.reason else word
    if not is_blessed(version, rooms.definitions.policy_of(version.model)):
        return f"gate {version.gate_outcome or 'not judged'}"
    asked = rooms.approvals.find(kind="model", subject=version.subject)
    if not asked:
        return f"gate {version.gate_outcome}, not rolled out"
    word = {"PENDING": "waits for an approval"}.get(asked[0].state, asked[0].state.lower())
    return f"gate {version.gate_outcome}, {word}" + (f": {asked[0].comment}" if asked[0].comment else "")
