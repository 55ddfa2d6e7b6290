"""Promoted: where a version is on its way to an endpoint, as a plain value."""

import msgspec


class Promoted(msgspec.Struct, frozen=True):
    """Where a version is on its way to an endpoint.

    Attributes:
        endpoint: The endpoint.
        version: The version.
        state: "serves", "rolling out" or "waits for approval".
        reason: One sentence.
    """

    endpoint: str
    version: int
    state: str
    reason: str
