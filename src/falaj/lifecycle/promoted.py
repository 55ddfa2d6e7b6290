"""Promoted: where a version is on its way to an endpoint, as a plain value."""

import msgspec

WAITS = "waits for approval"
KEPT_BACK = "waits in staging"


class Promoted(msgspec.Struct, frozen=True):
    """Where a version is on its way to an endpoint.

    Attributes:
        endpoint: The endpoint.
        version: The version.
        state: "serves", "rolling out", "waits for approval" or "waits in staging".
        reason: One sentence.
        in_force_s: Seconds until every gateway worker went by it; None where none runs, it changes no traffic, or they
            took longer than a command waits.
    """

    endpoint: str
    version: int
    state: str
    reason: str
    in_force_s: float | None = None

    @property
    def waits(self) -> bool:
        """Whether it changes no traffic yet."""
        return self.state in (WAITS, KEPT_BACK)
