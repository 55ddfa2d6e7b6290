"""Reception: from who asks for what to a receipt, for every protocol alike."""

from falaj.serving.deadline import deadline_after
from falaj.serving.guard import Guard
from falaj.serving.intake import Receipt


def receive(
    guard: Guard, authorization: bytes | None, action: str, resource: str, received_us: int, started_s: float,
    deadline_ms: bytes | None, size_bytes: int = 0,
) -> Receipt:  # fmt: skip
    """Admit a request, take its first row from what its token may ask for, and note how long its caller waits.

    Args:
        guard: Who is let in.
        authorization: The header's value.
        action: What the caller must be allowed to do.
        resource: The name of the thing acted on.
        received_us: Wall clock.
        started_s: Monotonic clock.
        deadline_ms: What the caller sent as its deadline, if anything.
        size_bytes: How much was sent.

    Raises:
        Unauthenticated: There is no token, or it is unknown, revoked or expired.
        AccessDenied: It does not cover this.
        RateLimited: It, or its tenant, has reached its limit.
        InputError: The deadline is none.
    """
    actor = guard.admit(authorization, action, resource, received_us)
    if not guard.allowances and deadline_ms is None:  # by far most requests
        return Receipt(received_us, started_s, actor.name, "", size_bytes)
    allowance = guard.allowances.get(actor.token)
    if allowance is not None:
        allowance.take(1, received_us)
    deadline_s = None if deadline_ms is None else deadline_after(started_s, deadline_ms)
    return Receipt(
        received_us, started_s, actor.name, size_bytes=size_bytes, allowance=allowance, deadline_s=deadline_s
    )
