"""Caller: what a call's metadata say: who asks, which variant shall decide, how long they wait, in which trace."""

from typing import Any, NamedTuple

from falaj.serving.deadline import HEADER
from falaj.serving.intake import VARIANT_HEADER

AUTHORIZATION = "authorization"
VARIANT = VARIANT_HEADER.decode()
DEADLINE = HEADER.decode()
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

_READ = frozenset((AUTHORIZATION, VARIANT, DEADLINE, TRACEPARENT, TRACESTATE))


class Caller(NamedTuple):
    """Of one call; the headers of HTTP under the same names.

    Attributes:
        authorization: The token, as it was sent.
        variant: The variant that shall decide, as a test.
        deadline_ms: How long the caller waits for each message's answer.
        traceparent: The trace it belongs to.
        tracestate: What other tracing systems carry along.
    """

    authorization: bytes | None = None
    variant: bytes | None = None
    deadline_ms: bytes | None = None
    traceparent: bytes | None = None
    tracestate: bytes = b""


def caller_of(metadata: Any) -> Caller:
    """Return what a call's metadata say; repeated ones are joined with a comma, which no token is.

    Args:
        metadata: Pairs of names and values.

    Example:
        >>> caller_of([("user-agent", "x"), ("authorization", "Bearer a"), ("falaj-variant", "candidate")]).variant
        b'candidate'
    """
    found: dict[str, bytes] = {}
    for key, value in metadata:
        if key in _READ:
            raw = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
            found[key] = found[key] + b", " + raw if key in found else raw
    return Caller(
        found.get(AUTHORIZATION), found.get(VARIANT), found.get(DEADLINE), found.get(TRACEPARENT),
        found.get(TRACESTATE, b""),
    )  # fmt: skip
