"""Operations on the audit trail: read and verify."""

import msgspec

from falaj.governance.access import Actor
from falaj.governance.audit import AuditRecord, ChainHead, list_records, verify
from falaj.lifecycle.rooms import Rooms


class AuditQuery(msgspec.Struct, frozen=True):
    """Which records to list; empty fields match all.

    Attributes:
        resource: What was acted on.
        who: The actor.
        action: The action; a trailing `*` stands for any ending.
        before_seq: Only older ones.
        limit: Most records.
    """

    resource: str = ""
    who: str = ""
    action: str = ""
    before_seq: int | None = None
    limit: int = 50


class VerifyAudit(msgspec.Struct, frozen=True):
    """Ask for the whole chain to be checked."""


def list_audit(rooms: Rooms, actor: Actor, params: AuditQuery) -> list[AuditRecord]:
    """Return records, the newest first."""
    del actor
    return list_records(
        rooms.db,
        actor=params.who or None,
        action=params.action or None,
        resource=params.resource or None,
        before_seq=params.before_seq,
        limit=params.limit,
    )


def verify_audit(rooms: Rooms, actor: Actor, params: VerifyAudit) -> ChainHead:
    """Recompute the chain of digests from the first record on."""
    del actor, params
    return verify(rooms.db)
