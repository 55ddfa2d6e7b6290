"""Approving: asking for the approvals that a version needs, and whether it has them."""

from datetime import datetime

from falaj.governance.access import SYSTEM, Actor
from falaj.governance.approvals import ApprovalState
from falaj.kernel.clock import from_us, to_us
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import Conflict
from falaj.lifecycle.rooms import Rooms
from falaj.models.version import ModelVersion


def is_approved(rooms: Rooms, version: ModelVersion) -> bool:
    """Return whether a version may go to production, by the registry's own rule."""
    policy = rooms.definitions.policy_of(version.model)
    return policy.auto_promote or len(rooms.registry.approvers(version, policy)) >= policy.approvals


def ask_for_approval(rooms: Rooms, version: ModelVersion, reason: str) -> None:
    """Ask for an approval in the name of the version's own actor, who therefore may not give it."""
    known = {one.name: one for one in rooms.actors.list()}
    maker = known.get(version.actor)
    asker = SYSTEM if maker is None else Actor(maker.name, maker.role)
    deadline = approval_deadline(rooms, version.model)
    rooms.approvals.request("model", version.subject, asker, reason=reason, deadline=deadline)


def approval_deadline(rooms: Rooms, model: str) -> datetime | None:
    """Return when a question that is asked now lapses, by the model's policy; None for never."""
    expires = rooms.definitions.policy_of(model).expires
    return from_us(to_us(rooms.clock.now()) + duration_us(expires)) if expires else None


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


def ask_once(rooms: Rooms, version: ModelVersion, actor: Actor, reason: str) -> None:
    """Ask for an approval where the policy wants one.

    A step that is tried again after a crash must not ask anew about what was approved or refused meanwhile.
    """
    wanted = not rooms.definitions.policy_of(version.model).auto_promote
    if wanted and not rooms.approvals.find(kind="model", subject=version.subject):
        deadline = approval_deadline(rooms, version.model)
        rooms.approvals.request("model", version.subject, actor, reason=reason, deadline=deadline)
