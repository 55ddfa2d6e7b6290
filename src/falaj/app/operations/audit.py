"""Operations on the audit trail: read and verify."""

from falaj.app.values.audit import AuditQuery, VerifyAudit
from falaj.governance.access import Actor
from falaj.governance.audit import list_records, verify
from falaj.governance.audit_record import AuditRecord, ChainHead
from falaj.lifecycle.rooms import Rooms


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
