"""Observed: what is noted of one request, over whatever protocol it came, from its receipt to its answer."""

from typing import NamedTuple

from falaj.serving.spans import Value
from falaj.serving.trace_context import TraceContext

Step = tuple[str, float, float]
"""Name, begin and end, in seconds of the monotonic clock."""


class Observed:
    """One request that is timed, traced or in the access log; others have none of this.

    Args:
        context: Its trace; None for none.
        logged: Whether it has a line in the access log.
        begun_us: When it was received.
        begun_s: The same on the monotonic clock.

    Attributes:
        route: The pattern of the path, once it is found.
        name: What stood for the name in it: an endpoint or a model.
        actor: Who asks, once that is known.
        routed_s: When the request was handed to the batch; 0 while it is not.
    """

    __slots__ = ("actor", "begun_s", "begun_us", "context", "logged", "name", "route", "routed_s")

    def __init__(self, context: TraceContext | None, *, logged: bool, begun_us: int, begun_s: float) -> None:
        self.context = context
        self.logged = logged
        self.begun_us = begun_us
        self.begun_s = begun_s
        self.route = self.name = self.actor = ""
        self.routed_s = 0.0

    @property
    def trace_id(self) -> str:
        """The trace's identifier; empty without one."""
        return "" if self.context is None else self.context.trace_id


class Answered(NamedTuple):
    """How a request was answered, as its protocol says it.

    Attributes:
        method: Of the request.
        span: The name of its span.
        attributes: Of its span.
        status: The HTTP status; of another protocol's answer, the one that means the same.
        in_bytes: Of the request's body or message.
        out_bytes: Of the answer's.
        gone: Whether the client had left before it.
        grpc_status: The name of gRPC's status code; empty for HTTP.
    """

    method: str
    span: str
    attributes: dict[str, Value]
    status: int
    in_bytes: int
    out_bytes: int
    gone: bool
    grpc_status: str = ""
