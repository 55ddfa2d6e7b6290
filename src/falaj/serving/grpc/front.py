"""Front: what every gRPC method has in common: who asks, until when, how errors look, what is told of it."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, NoReturn, ParamSpec, TypeVar

import grpc
import msgspec

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.kernel.errors import FalajError, RateLimited
from falaj.kernel.sentence import one_sentence
from falaj.serving.boundary import contain
from falaj.serving.deadline import deadline_of
from falaj.serving.grpc.caller import Caller, caller_of
from falaj.serving.grpc.codes import code_of
from falaj.serving.grpc.messages import Message, read_message
from falaj.serving.grpc.watched_call import WatchedCall
from falaj.serving.intake import Receipt
from falaj.serving.observer import Observer
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


class Question(NamedTuple):
    """One message, and what is known of its call.

    Attributes:
        raw: The message.
        caller: Who sent it.
        remaining_s: How long the caller still waits for the call to end; None for as long as it takes.
        watched: What is noted of it; None for nothing.
    """

    raw: bytes
    caller: Caller
    remaining_s: float | None
    watched: WatchedCall | None


class Unary(NamedTuple):
    """A method that answers one message with one, at once.

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
    """Admits calls, tells errors, and counts and notes answers.

    Args:
        snapshots: Who may ask.
        stats: Counts faults.
        observer: Says which calls are looked at closely, and is told of them.
        now_us: The present instant in microseconds.
        monotonic: Seconds, for latencies.

    Attributes:
        responses: gRPC status code to answers; each message of a stream counts as one.
    """

    def __init__(
        self, snapshots: Snapshots, stats: WorkerStats, observer: Observer, now_us: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        self._snapshots = snapshots
        self._stats = stats
        self._observer = observer
        self._looks = observer.always
        self._now_us = now_us
        self._monotonic = monotonic
        self.responses: dict[str, int] = {}

    def admit(
        self, question: Question, action: str, resource: str, name: str = "", options: EndpointOptions | None = None
    ) -> Receipt:
        """Return the receipt of a message, if its sender may do that.

        Args:
            question: The message.
            action: Empty for what anybody may ask.
            resource: The name of the thing that it is done to.
            name: How the access log calls that; the resource by default.
            options: Of the endpoint, where its deadline holds beside that of the call; None elsewhere.

        Raises:
            Unauthenticated: There is no token, or it is unknown, revoked or expired.
            AccessDenied: It does not cover this.
            RateLimited: It, or its tenant, has reached its limit.
            InputError: The deadline is none.
        """
        received_us, started_s = self._now_us(), self._monotonic()
        watched, caller = question.watched, question.caller
        if watched is not None:
            watched.observed.name = name or resource
        if not action:
            return Receipt(received_us, started_s, "")
        receipt = receive(
            self._snapshots.guard, caller.authorization, action, resource, received_us, started_s, caller.deadline_ms,
            len(question.raw),
        )  # fmt: skip
        if watched is not None:
            watched.observed.actor = receipt.actor
            receipt = msgspec.structs.replace(receipt, trace_id=watched.observed.trace_id)
        until_s = deadline_of(receipt.deadline_s, started_s, options)
        if question.remaining_s is not None:
            ends_s = started_s + question.remaining_s
            until_s = ends_s if until_s is None else min(until_s, ends_s)
        return receipt if until_s is None else msgspec.structs.replace(receipt, deadline_s=until_s)

    def let_open(self, caller: Caller, action: str) -> None:
        """See that somebody may hold a stream open, which takes nothing from what its token may ask for.

        Raises:
            Unauthenticated: There is no token, or it is unknown, revoked or expired.
            AccessDenied: It covers no such action at all.
        """
        self._snapshots.guard.admit(caller.authorization, action, "*", self._now_us())

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

    def look(self, path: str, caller: Caller, size_bytes: int = 0) -> WatchedCall | None:
        """Begin to note a message, or return None when nobody wants to know anything of it.

        Args:
            path: The method's.
            caller: Who sent it.
            size_bytes: Of the message.
        """
        if not self._looks:
            return None
        observer = self._observer
        observer.left -= 1
        if observer.left > 0 and caller.traceparent is None:
            return None
        observed = observer.look(caller.traceparent, caller.tracestate)
        return None if observed is None else WatchedCall(observer, observed, path, size_bytes)

    def routed(self, question: Question) -> None:
        """Note that a message was handed to the batch."""
        if question.watched is not None:
            question.watched.observed.routed_s = self._monotonic()

    async def fail(self, context: Context, error: FalajError, watched: WatchedCall | None = None) -> NoReturn:
        """End the call with the error's status.

        Its trailing metadata has the error's own code in `falaj-code` and what to do next in `falaj-hint-bin`; after a
        reached limit also when, in `retry-after` (seconds) and `grpc-retry-pushback-ms`.
        """
        code = code_of(error.code)
        self.count(code.name)
        trailing: list[tuple[str, str | bytes]] = [("falaj-code", error.code)]
        if error.hint:
            trailing.append(("falaj-hint-bin", one_sentence(error.hint)[:_MAX_CHARACTERS].encode()))
        if isinstance(error, RateLimited):
            # What gRPC's own clients wait where their service config lets them try again.
            trailing.append(("grpc-retry-pushback-ms", str(1000 * error.retry_after_s)))
            trailing.append(("retry-after", str(error.retry_after_s)))
        if watched is not None:
            trailing += watched.trailing()
            watched.answered(error)
        await context.abort(code, one_sentence(error.message)[:_MAX_CHARACTERS], tuple(trailing))
        raise error  # abort does not return

    def unary(self, path: str, method: Unary) -> grpc.RpcMethodHandler:
        """Return gRPC's handler of a method that answers at once."""

        def work(question: Question) -> bytes:
            message = read_message(method.request, question.raw)
            resource = method.resource(message) if method.action else ""
            receipt = self.admit(question, method.action, resource)
            answer: bytes = method.answer(message, receipt, question.caller.authorization).SerializeToString()
            return answer

        async def answer(question: Question) -> bytes | FalajError:
            return self.attempt(work, question)

        return self.answering(path, answer)

    def answering(self, path: str, work: Callable[[Question], Awaitable[bytes | FalajError]]) -> grpc.RpcMethodHandler:
        """Return gRPC's handler of a method that answers one message with one.

        Args:
            path: The method's.
            work: Returns the answer, or why there is none.
        """

        async def handle(raw: bytes, context: Context) -> bytes:
            caller = caller_of(context.invocation_metadata())
            watched = self.look(path, caller, len(raw))
            try:
                answer = await work(Question(raw, caller, context.time_remaining(), watched))
                if isinstance(answer, FalajError):
                    await self.fail(context, answer, watched)
                self.count()
                if watched is not None:
                    context.set_trailing_metadata(watched.trailing())
                    watched.answered(None, len(answer))
            finally:
                if watched is not None:
                    watched.left()
            return answer

        return grpc.unary_unary_rpc_method_handler(handle)

    def streaming(
        self, path: str, serve: Callable[[Any, Context, Caller], Awaitable[None]]
    ) -> Callable[[Any, Context], Awaitable[None]]:
        """Return the handler of a stream that is counted and noted as a whole.

        Args:
            path: The method's.
            serve: Reads and writes until the stream ends; a `FalajError` of its is the call's status.
        """

        async def handle(first: Any, context: Context) -> None:
            caller = caller_of(context.invocation_metadata())
            watched = self.look(path, caller)
            try:
                try:
                    await serve(first, context, caller)
                except FalajError as error:
                    await self.fail(context, error, watched)
                self.count()
                if watched is not None:
                    watched.answered(None)
            finally:
                if watched is not None:
                    watched.left()

        return handle
