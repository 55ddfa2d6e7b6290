"""Trace context: which trace a request belongs to, as W3C's `traceparent` and `tracestate` say it."""

import random
import re
from typing import NamedTuple

# Of a version that is not known yet, the part that version 00 has is read; what may follow it is not.
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
_VERSION_0 = b"00-"
_VERSION_0_LENGTH = 55
_SAMPLED = 1
_LONGEST_STATE = 512
"""What W3C asks everybody to pass on; a longer one is left out as a whole, which it allows."""


class TraceContext(NamedTuple):
    """A request's place in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits.
        parent_id: The caller's span, 16 digits; empty when the trace begins here.
        span_id: Our span, 16 digits.
        sampled: Whether spans are exported: the caller's decision, or ours when the trace begins here.
        state: What other tracing systems carry along; passed on unread.
    """

    trace_id: str
    parent_id: str
    span_id: str
    sampled: bool
    state: bytes

    @property
    def traceparent(self) -> bytes:
        """The header that names our span."""
        return b"00-%b-%b-%b" % (self.trace_id.encode(), self.span_id.encode(), b"01" if self.sampled else b"00")


def parse(traceparent: bytes, state: bytes = b"") -> TraceContext | None:
    """Return the context that a caller sends, with a span id of our own; None for a header that is not valid.

    Args:
        traceparent: The header's value; one that was sent twice is joined by a comma, and so not valid.
        state: That of `tracestate`.

    Example:
        >>> found = parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        >>> found.trace_id, found.parent_id, found.sampled
        ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', True)
        >>> parse(b"00-00000000000000000000000000000000-b7ad6b7169203331-01") is None
        True
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or (traceparent.startswith(_VERSION_0) and len(traceparent) != _VERSION_0_LENGTH):
        return None
    kept = state if len(state) <= _LONGEST_STATE else b""
    return TraceContext(found[1].decode(), found[2].decode(), new_id(16), bool(int(found[3], 16) & _SAMPLED), kept)


def begin() -> TraceContext:
    """Return the context of a trace that begins here and is exported."""
    return TraceContext(new_id(32), "", new_id(16), True, b"")  # noqa: FBT003 - a named tuple's field


def new_id(digits: int) -> str:
    """Return a random identifier that is not zero; nothing secret hangs on it, so the fast generator is enough."""
    return f"{random.getrandbits(4 * digits) or 1:0{digits}x}"
