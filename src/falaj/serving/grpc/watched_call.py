"""Watched call: a message whose answer is traced or written to the access log; other messages have none of this."""

from falaj.kernel.errors import FalajError
from falaj.serving.grpc.codes import code_of
from falaj.serving.observed import Answered, Observed, Step
from falaj.serving.observer import Observer
from falaj.serving.statuses import status_of

METHOD = "GRPC"
"""What stands for the method in the access log: gRPC's own is always POST."""

_LEFT_STATUS, _LEFT_CODE, _CANCELLED = 499, "CANCELLED", 1


class WatchedCall:
    """One message, from its receipt to its answer.

    Args:
        observer: Is told of the answer.
        observed: What is noted of the message.
        path: The method's, `/package.Service/Method`.
        in_bytes: Of the message.
    """

    __slots__ = ("_answered", "_in_bytes", "_observer", "_path", "_steps", "observed")

    def __init__(self, observer: Observer, observed: Observed, path: str, in_bytes: int) -> None:
        self.observed = observed
        self._observer = observer
        self._path = path
        self._in_bytes = in_bytes
        self._steps: tuple[list[Step], float] | None = None
        self._answered = False
        observed.route = path

    def decided(self) -> None:
        """Note that the answer is there; called while the batch that made it is under way."""
        if self._steps is None:
            self._steps = self._observer.answering(self.observed)

    def answered(self, error: FalajError | None, out_bytes: int = 0) -> None:
        """Note how it was answered.

        Args:
            error: Why there is no answer; None for success.
            out_bytes: Of the answer.
        """
        if error is None:
            self._tell(200, "OK", 0, out_bytes)
        else:
            code = code_of(error.code)
            self._tell(status_of(error.code), code.name, code.value[0], out_bytes)

    def left(self) -> None:
        """Note that the client has left before its answer; nothing when it has one."""
        self._tell(_LEFT_STATUS, _LEFT_CODE, _CANCELLED, 0, gone=True)

    def trailing(self) -> tuple[tuple[str, str], ...]:
        """Return the trailing metadata that name the trace, as HTTP's headers do."""
        context = self.observed.context
        if context is None:
            return ()
        named = (("traceparent", context.traceparent.decode()),)
        state = context.state.decode("latin-1")
        # What gRPC may not send would fail the call.
        return (*named, ("tracestate", state)) if state.isascii() and state.isprintable() and state else named

    def _tell(self, status: int, code: str, number: int, out_bytes: int, *, gone: bool = False) -> None:
        if self._answered:
            return
        self._answered = True
        self.decided()
        assert self._steps is not None
        service, _, method = self._path[1:].rpartition("/")
        attributes: dict[str, str | int | bool] = {
            "rpc.system": "grpc", "rpc.service": service, "rpc.method": method, "rpc.grpc.status_code": number,
        }  # fmt: skip
        answer = Answered(METHOD, self._path[1:], attributes, status, self._in_bytes, out_bytes, gone, grpc_status=code)
        self._observer.answered(self.observed, answer, *self._steps)
