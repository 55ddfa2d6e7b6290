"""Values of the operations on endpoint."""

import msgspec

from falaj.app.values.bounds import VersionNumber


class Deploy(msgspec.Struct, frozen=True):
    """Ask for a version to serve.

    Attributes:
        endpoint: Which endpoint.
        version: Which version; None for the newest whose gate passed.
    """

    endpoint: str
    version: VersionNumber | None = None


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
        in_force_s: Seconds until every gateway worker routed by it; None where none runs, or not all had within the
            time that the command waits.
    """

    endpoint: str
    withdrawn: int
    serves: tuple[int, ...]
    in_force_s: float | None = None


class Undeploy(msgspec.Struct, frozen=True):
    """Ask for an endpoint to serve nothing."""

    endpoint: str


class Undeployed(msgspec.Struct, frozen=True):
    """An endpoint that serves nothing now."""

    endpoint: str
