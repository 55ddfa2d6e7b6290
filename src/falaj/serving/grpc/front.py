"""Front: what every gRPC method has in common: who asks, what an error looks like, and what is counted."""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, ParamSpec, TypeVar

import grpc
import msgspec

from falaj.kernel.errors import FalajError
from falaj.kernel.sentence import one_sentence
from falaj.serving.boundary import contain
from falaj.serving.grpc.codes import code_of
from falaj.serving.grpc.messages import Message, read_message
from falaj.serving.intake import Receipt
from falaj.serving.reception import receive
from falaj.serving.snapshots import Snapshots
from falaj.serving.stats import WorkerStats

P = ParamSpec("P")
T = TypeVar("T")

Context = Any
"""gRPC's `ServicerContext` of one call."""

_MAX_CHARACTERS = 300
"""Of an error's message and of its hint: many clients take no more than 8 KiB of metadata, and one character may need
twelve bytes there."""


class Unary(NamedTuple):
    """A method that answers one message with one.

    Attributes:
        request: The class of what it takes.
        action: What the caller must be allowed to do; empty for what anybody may ask.
        resource: The name of the thing that it is done to.
        answer: Gets the message, when and from whom it came, and the authorization.
    """

    request: Any
    action: str
    resource: Callable[[Message], str]
    answer: Callable[[Message, Receipt, bytes | None], Message]


class Front:
    """Admits calls, tells errors and counts answers.

    Args:
        snapshots: Who may ask.
        stats: Counts faults.
        now_us: The present instant in microseconds.
        monotonic: Seconds, for latencies.

    Attributes:
        responses: gRPC status code to answers; each message of a stream counts as one.
    """

    def __init__(
        self, snapshots: Snapshots, stats: WorkerStats, now_us: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self._snapshots = snapshots
        self._stats = stats
        self._now_us = now_us
        self._monotonic = monotonic
        self.responses: dict[str, int] = {}

    def admit(
        self,
        authorization: bytes | None,
        action: str,
        resource: str,
        *,
        remaining_s: float | None = None,
        size_bytes: int = 0,
    ) -> Receipt:
        """Return the receipt of a message, if its sender may do that.

        Args:
            authorization: The metadata's value.
            action: Empty for what anybody may ask.
            resource: The name of the thing that it is done to.
            remaining_s: How long the caller still waits; None for as long as it takes.
            size_bytes: How much it sent.

        Raises:
            Unauthenticated: There is no token, or it is unknown, revoked or expired.
            AccessDenied: It does not cover this.
            RateLimited: It, or its tenant, has reached its limit.
        """
        received_us, started_s = self._now_us(), self._monotonic()
        if not action:
            return Receipt(received_us, started_s, "")
        guard = self._snapshots.guard
        receipt = receive(guard, authorization, action, resource, received_us, started_s, None, size_bytes)
        if remaining_s is None:
            return receipt
        return msgspec.structs.replace(receipt, deadline_s=started_s + remaining_s)

    def let_open(self, authorization: bytes | None, action: str) -> None:
        """See that somebody may hold a stream open, which takes nothing from what its token may ask for.

        Raises:
            Unauthenticated: There is no token, or it is unknown, revoked or expired.
            AccessDenied: It covers no such action at all.
        """
        self._snapshots.guard.admit(authorization, action, "*", self._now_us())

    def attempt(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | FalajError:
        """Return what the work returns, or the error that the caller is told."""
        outcome: list[T | FalajError] = []

        def run() -> None:
            try:
                outcome.append(work(*args, **kwargs))
            except FalajError as error:
                outcome.append(error)

        if contain(run) is not None:
            self._stats.faults += 1
            return FalajError("the gateway failed on this request")
        return outcome[0]

    def count(self, code: str = "OK") -> None:
        """Count an answer."""
        self.responses[code] = self.responses.get(code, 0) + 1

    async def fail(self, context: Context, error: FalajError) -> NoReturn:
        """End the call with the error's status.

        Its trailing metadata has the error's own code in `falaj-code`, and what to do next in `falaj-hint-bin`.
        """
        code = code_of(error.code)
        self.count(code.name)
        trailing: list[tuple[str, str | bytes]] = [("falaj-code", error.code)]
        if error.hint:
            trailing.append(("falaj-hint-bin", one_sentence(error.hint)[:_MAX_CHARACTERS].encode()))
        await context.abort(code, one_sentence(error.message)[:_MAX_CHARACTERS], tuple(trailing))
        raise error  # abort does not return

    def unary(self, method: Unary) -> grpc.RpcMethodHandler:
        """Return gRPC's handler of a method."""

        def work(raw: bytes, authorization: bytes | None, remaining_s: float | None) -> bytes:
            message = read_message(method.request, raw)
            resource = method.resource(message) if method.action else ""
            receipt = self.admit(authorization, method.action, resource, remaining_s=remaining_s, size_bytes=len(raw))
            answer: bytes = method.answer(message, receipt, authorization).SerializeToString()
            return answer

        async def handle(raw: bytes, context: Context) -> bytes:
            answer = self.attempt(work, raw, authorization_of(context), context.time_remaining())
            if isinstance(answer, FalajError):
                await self.fail(context, answer)
            self.count()
            return answer

        return grpc.unary_unary_rpc_method_handler(handle)


def authorization_of(context: Context) -> bytes | None:
    """Return the value of a call's `authorization` metadata; repeated ones are joined, which no token is."""
    found = None
    for key, value in context.invocation_metadata():
        if key == "authorization":
            raw = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
            found = raw if found is None else found + b", " + raw
    return found
