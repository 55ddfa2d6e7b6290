"""Values of the operations on audit."""

import msgspec

from falaj.app.values.bounds import Limit, Sequence


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
    before_seq: Sequence | None = None
    limit: Limit = 50


class VerifyAudit(msgspec.Struct, frozen=True):
    """Ask for the whole chain to be checked."""
