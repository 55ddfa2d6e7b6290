"""Operations on endpoints: deploy, roll back, stop."""

import msgspec

from falaj.governance.access import Actor
from falaj.kernel.errors import InputError
from falaj.lifecycle.promotion import Promoted, deploy_version, roll_back_endpoint
from falaj.lifecycle.publication import publish_snapshots
from falaj.lifecycle.rooms import Rooms
from falaj.rollout.deploy import withdraw


class Deploy(msgspec.Struct, frozen=True):
    """Ask for a version to serve.

    Attributes:
        endpoint: Which endpoint.
        version: Which version; None for the newest whose gate passed.
    """

    endpoint: str
    version: int | None = None


class Rollback(msgspec.Struct, frozen=True):
    """Ask for what served before.

    Attributes:
        endpoint: Which endpoint.
        reason: Kept with the rollout and in the audit record.
    """

    endpoint: str
    reason: str = "asked for"


class RolledBack(msgspec.Struct, frozen=True):
    """What serves now.

    Attributes:
        endpoint: The endpoint.
        withdrawn: The version that no longer serves.
        serves: The versions that serve again.
    """

    endpoint: str
    withdrawn: int
    serves: tuple[int, ...]


class Undeploy(msgspec.Struct, frozen=True):
    """Ask for an endpoint to serve nothing."""

    endpoint: str


class Undeployed(msgspec.Struct, frozen=True):
    """An endpoint that serves nothing now."""

    endpoint: str


def deploy(rooms: Rooms, actor: Actor, params: Deploy) -> Promoted:
    """Roll a version out, or note that it is wanted once it is approved."""
    if params.version is not None and params.version < 1:
        raise InputError(f"version {params.version} does not exist", hint="versions begin at 1")
    return deploy_version(rooms, rooms.definitions.endpoint(params.endpoint), params.version, actor)


def rollback(rooms: Rooms, actor: Actor, params: Rollback) -> RolledBack:
    """Return to what served before, now."""
    undone = roll_back_endpoint(rooms, params.endpoint, actor, params.reason)
    return RolledBack(params.endpoint, undone.candidate.version, tuple(variant.version for variant in undone.previous))


def undeploy(rooms: Rooms, actor: Actor, params: Undeploy) -> Undeployed:
    """Stop serving."""
    withdraw(rooms.db, rooms.clock, actor, params.endpoint, publish=lambda: publish_snapshots(rooms))
    return Undeployed(params.endpoint)
