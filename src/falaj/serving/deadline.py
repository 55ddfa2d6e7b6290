"""Deadline: until when a caller waits. What is still waiting then is answered without being computed."""

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.kernel.errors import InputError, Timeout

HEADER = b"falaj-deadline-ms"
"""Milliseconds that the caller waits, counted from when its request was read whole."""

MOST_MS = 3_600_000
"""An hour: who waits longer than that does not wait."""

_MOST_DIGITS = 7


def deadline_after(started_s: float, header: bytes) -> float:
    """Return the deadline that a header asks for.

    Args:
        started_s: When the request was read, on the monotonic clock.
        header: Its value.

    Raises:
        InputError: It is no whole number of milliseconds from 1 to an hour.

    Example:
        >>> deadline_after(10.0, b"50")
        10.05
    """
    if header.isdigit() and len(header) <= _MOST_DIGITS and 0 < (wait_ms := int(header)) <= MOST_MS:
        return started_s + wait_ms / 1000
    raise InputError(
        f"{HEADER.decode()}: {header[:40].decode('latin-1')!r} is no number of milliseconds",
        hint=f"send a whole number from 1 to {MOST_MS}",
    )


def deadline_of(sent_s: float | None, started_s: float, options: EndpointOptions | None) -> float | None:
    """Return until when a request may wait, on the monotonic clock: the caller's deadline, or else the endpoint's.

    Args:
        sent_s: The caller's; None when it sent none.
        started_s: When the request was read.
        options: Of the endpoint; None when it has none.

    Example:
        >>> own = EndpointOptions(deadline_ms=50.0)
        >>> deadline_of(None, 10.0, own), deadline_of(10.2, 10.0, own), deadline_of(None, 10.0, None)
        (10.05, 10.2, None)
    """
    if sent_s is not None or options is None or options.deadline_ms is None:
        return sent_s
    return started_s + options.deadline_ms / 1000


def too_late() -> Timeout:
    """Return what the caller is told."""
    return Timeout(
        "the request's deadline passed while it waited", hint="ask again with a later deadline, or ask less at once"
    )
