"""Approving: asking for the approvals that a version needs, and whether it has them."""

from datetime import datetime

from falaj.governance.access import SYSTEM, Actor
from falaj.governance.approvals import ApprovalState
from falaj.kernel.clock import from_us, to_us
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import Conflict
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.wishes import wishes
from falaj.models.version import ModelVersion
from falaj.rollout.table import current_routes


def is_approved(rooms: Rooms, version: ModelVersion) -> bool:
    """Return whether a version may go to production, by the registry's own rule."""
    policy = rooms.definitions.policy_of(version.model)
    return policy.auto_promote or len(rooms.registry.approvers(version, policy)) >= policy.approvals


def ask_for_approval(rooms: Rooms, version: ModelVersion, reason: str) -> None:
    """Ask for an approval in the name of the version's own actor, who therefore may not give it."""
    date_questions(rooms, version.subject)
    known = {one.name: one for one in rooms.actors.list()}
    maker = known.get(version.actor)
    asker = SYSTEM if maker is None else Actor(maker.name, maker.role)
    deadline = approval_deadline(rooms, version.model)
    rooms.approvals.request("model", version.subject, asker, reason=reason, deadline=deadline)


def approval_deadline(rooms: Rooms, model: str) -> datetime | None:
    """Return when a question that is asked now lapses, by the model's policy; None for never."""
    expires = rooms.definitions.policy_of(model).expires
    return from_us(to_us(rooms.clock.now()) + duration_us(expires)) if expires else None


def date_questions(rooms: Rooms, subject: str | None = None) -> bool:
    """Let each question that waits lapse when the policy in force now says, whatever was in force when it was asked.

    Args:
        rooms: The project.
        subject: Look at this version's alone.

    Returns:
        Whether any lapses at another time than before.
    """
    changed = False
    for asked in rooms.approvals.find(kind="model", subject=subject, state=ApprovalState.PENDING):
        expires = rooms.definitions.policy_of(asked.subject.rpartition("/")[0]).expires
        deadline_us = asked.requested + duration_us(expires) if expires else None
        if deadline_us != asked.deadline:
            rooms.approvals.put_deadline(asked, deadline_us)
            changed = True
    return changed


def is_rejected(rooms: Rooms, version: ModelVersion) -> bool:
    """Return whether the newest question about a version was answered with no."""
    newest = rooms.approvals.find(kind="model", subject=version.subject)
    return bool(newest) and newest[0].state is ApprovalState.REJECTED


def refuse_rejected(rooms: Rooms, version: ModelVersion) -> None:
    """Raise if the version was refused.

    Raises:
        Conflict: It was; who and why is said.
    """
    if is_rejected(rooms, version):
        newest = rooms.approvals.find(kind="model", subject=version.subject)[0]
        raise Conflict(
            f"version {version.version} of model {version.model!r} was refused by {newest.decided_by}: "
            f"{newest.comment or 'no comment'}",
            hint="train another one",
        )


def whom_it_waits_for(rooms: Rooms, version: ModelVersion) -> str:
    """Return who must approve a version before it goes out, and how, as one sentence."""
    policy = rooms.definitions.policy_of(version.model)
    missing = policy.approvals - len(rooms.registry.approvers(version, policy))
    number = f"{missing} of {policy.approvals} approvals are missing, by" if policy.approvals > 1 else "asked is"
    maker = "" if version.actor == SYSTEM.name else f", not {version.actor}, who had it made"
    return f"{number} {policy.asks()}{maker}: falaj approve {version.model} {version.version}"


def ask_once(rooms: Rooms, version: ModelVersion, actor: Actor, reason: str) -> None:
    """Ask for an approval where the policy wants one.

    A step that is tried again after a crash must not ask anew about what was approved or refused meanwhile.
    """
    wanted = not rooms.definitions.policy_of(version.model).auto_promote
    if wanted and not rooms.approvals.find(kind="model", subject=version.subject):
        deadline = approval_deadline(rooms, version.model)
        rooms.approvals.request("model", version.subject, actor, reason=reason, deadline=deadline)


def still_needed(rooms: Rooms, version: ModelVersion) -> str:
    """Return what somebody must do before an approved version goes out, as one sentence; empty where nobody must.

    A version that is wanted nowhere stays where it is, however many approve it.

    Args:
        rooms: The project.
        version: Somebody has just approved it.
    """
    policy = rooms.definitions.policy_of(version.model)
    missing = policy.approvals - len(rooms.registry.approvers(version, policy))
    if missing > 0 and not policy.auto_promote:
        return f"{missing} more of {policy.approvals} approvals, each by another person: {policy.asks()}"
    with rooms.db.read() as connection:
        wanted = wishes(connection)
        routes = current_routes(connection)
    decides = {one.subject for route in routes.values() for one in route.variants if one.role == "live"}
    if version.subject in decides or any(
        (one.model, one.version) == (version.model, version.version) for one in wanted
    ):
        return ""
    endpoints = [one.name for one in rooms.definitions.endpoints.values() if one.model.name == version.model]
    if not endpoints:
        return ""
    other = next((one for one in wanted if one.endpoint in endpoints), None)
    why = f"version {other.version} is wanted on {other.endpoint!r}" if other else "it is wanted on no endpoint"
    return f"{why}; to let it out: falaj deploy {other.endpoint if other else endpoints[0]} --version {version.version}"
