"""Who may do what: one table, and nothing that is not in it."""

import enum
from collections.abc import Iterable
from fnmatch import fnmatchcase

import msgspec

from falaj.kernel.errors import AccessDenied


class Role(enum.StrEnum):
    """What an actor is for; the table below says what that allows."""

    OWNER = "owner"
    ENGINEER = "engineer"
    APPROVER = "approver"
    SERVICE = "service"
    VIEWER = "viewer"


_READ = (
    "project.read", "source.read", "features.read", "dataset.read", "pipeline.read", "run.read", "model.read",
    "endpoint.read", "monitor.read", "alert.read", "incident.read", "approval.read", "cost.read", "mlflow.read",
)  # fmt: skip

ALLOWED: dict[Role, tuple[str, ...]] = {
    # Only an owner makes actors and tokens: whoever could make a second actor could approve his own work.
    Role.OWNER: ("*",),
    # Approving is allowed here, approving one's own is refused by `governance.approvals` for every role.
    Role.ENGINEER: (
        "project.*", "source.*", "features.*", "dataset.*", "pipeline.*", "run.*", "model.*", "endpoint.*",
        "monitor.*", "alert.*", "incident.*", "approval.*", "prediction.*", "feedback.push", "cost.read", "audit.read",
        "mlflow.*",
    ),
    Role.APPROVER: (*_READ, "prediction.read", "audit.read", "model.approve", "endpoint.approve", "approval.decide"),
    Role.SERVICE: (
        "endpoint.predict", "endpoint.explain", "endpoint.read", "feedback.push", "source.push", "features.online",
        "model.read",
    ),
    Role.VIEWER: _READ,
}  # fmt: skip
"""Role -> patterns of the actions it may do; an action is `noun.verb`, `*` stands for any text."""

EVERYTHING = ("*",)


class Actor(msgspec.Struct, frozen=True):
    """A person or a program that acts, as its token presented it.

    Attributes:
        name: Unique in the project.
        role: What it is for.
        scopes: Patterns that narrow the role: `noun.verb`, or `noun.verb@resource` for one resource only.
        token: Identifier of the token presented; empty for an actor inside the process.
    """

    name: str
    role: Role
    scopes: tuple[str, ...] = EVERYTHING
    token: str = ""


SYSTEM = Actor("system", Role.OWNER)
"""Falaj itself: reconcilers, triggers, and the first start of a project. It has no token and may not be created."""


def authorise(actor: Actor, action: str, resource: str) -> None:
    """Return if the actor may do the action on the resource.

    Args:
        actor: Who wants to act.
        action: `noun.verb`, such as `model.approve`.
        resource: The name of the thing acted on, such as `fraud`.

    Raises:
        AccessDenied: Neither its role nor its token's scopes allow it; denied is the default.

    Example:
        >>> authorise(Actor("ada", Role.ENGINEER), "model.train", "fraud")
        >>> try:
        ...     authorise(Actor("app", Role.SERVICE), "model.train", "fraud")
        ... except AccessDenied as error:
        ...     print(error)
        actor 'app' (role service) may not do model.train on 'fraud'
    """
    _authorise_role(actor, action, f" on {resource!r}")
    if not any(_scope_covers(scope, action, resource) for scope in actor.scopes):
        raise AccessDenied(
            f"the token of actor {actor.name!r} does not cover {action} on {resource!r}",
            hint=f"its scopes are {', '.join(actor.scopes) or 'empty'}; use a token made with scope {action}",
        )


def authorise_somewhere(actor: Actor, action: str) -> None:
    """Return if there is anything on which the actor may do the action.

    Asked before what it sent is read: who may not do it at all learns nothing about how it is done.

    Raises:
        AccessDenied: There is nothing.

    Example:
        >>> authorise_somewhere(Actor("app", Role.SERVICE, ("endpoint.predict@fraud",)), "endpoint.predict")
    """
    _authorise_role(actor, action, "")
    if not any(fnmatchcase(action, scope.partition("@")[0]) for scope in actor.scopes):
        raise AccessDenied(
            f"the token of actor {actor.name!r} does not cover {action}",
            hint=f"its scopes are {', '.join(actor.scopes) or 'empty'}; use a token made with scope {action}",
        )


def _authorise_role(actor: Actor, action: str, where: str) -> None:
    if not _matches(ALLOWED[actor.role], action):
        able = roles_allowing(action)
        raise AccessDenied(
            f"actor {actor.name!r} (role {actor.role}) may not do {action}{where}",
            hint=f"roles that may: {', '.join(able)}",
        )


def is_allowed(actor: Actor, action: str, resource: str) -> bool:
    """Return whether `authorise` would let the actor pass; for pages that hide what cannot be done.

    Example:
        >>> is_allowed(Actor("eve", Role.VIEWER), "model.read", "fraud")
        True
    """
    try:
        authorise(actor, action, resource)
    except AccessDenied:
        return False
    return True


def roles_allowing(action: str) -> list[Role]:
    """Return the roles whose table entry holds the action.

    Example:
        >>> [str(role) for role in roles_allowing("token.create")]
        ['owner']
    """
    return [role for role, patterns in ALLOWED.items() if _matches(patterns, action)]


def _matches(patterns: Iterable[str], action: str) -> bool:
    return any(fnmatchcase(action, pattern) for pattern in patterns)


def _scope_covers(scope: str, action: str, resource: str) -> bool:
    action_pattern, _, resource_pattern = scope.partition("@")
    return fnmatchcase(action, action_pattern) and fnmatchcase(resource, resource_pattern or "*")
