"""Audit records as plain values."""

from typing import Any

import msgspec


class AuditRecord(msgspec.Struct, frozen=True):
    """One write, and who did it.

    Attributes:
        seq: 1, 2, 3, … without gaps.
        at: Microseconds since 1970.
        actor: Name of who acted.
        action: `noun.verb`.
        resource: What was acted on.
        detail: Plain values that say what changed.
        prev_hash: The hash of the record before.
        hash: SHA-256 over all the fields above.
    """

    seq: int
    at: int
    actor: str
    action: str
    resource: str
    detail: dict[str, Any]
    prev_hash: str
    hash: str


class ChainHead(msgspec.Struct, frozen=True):
    """The last record of a chain that was found whole; kept elsewhere, it also proves that no tail was cut off."""

    records: int
    hash: str
