"""Observer: which requests are looked at closely, and what is told of them."""

import math
import random
from collections.abc import Callable

from falaj.serving.access_log import Access, AccessLog
from falaj.serving.observed import Answered, Observed, Step
from falaj.serving.span_export import SpanExport
from falaj.serving.spans import Trace, Value
from falaj.serving.stages import Stages
from falaj.serving.trace_context import TraceContext, begin, parse

_NEVER = 1 << 62


class Sample:
    """Chooses a share of what comes by, each one independently of the others.

    How many to pass over is drawn at once: a random number for each request would cost more than all else that is done
    for those that are not chosen.

    Args:
        ratio: The share, 0 to 1.

    Example:
        >>> Sample(1.0).gap(), Sample(0.0).gap() > 10**15
        (1, True)
    """

    def __init__(self, ratio: float) -> None:
        self._log = math.log1p(-ratio) if ratio < 1 else -math.inf

    def gap(self) -> int:
        """Return which of the next is chosen: 1 is the first."""
        if self._log == 0.0:
            return _NEVER
        return min(1 + int(math.log(1.0 - random.random()) / self._log), _NEVER)  # noqa: S311 - a sample, no secret


class Tracing:
    """Whether and where requests are traced.

    Args:
        sample_ratio: Share of the requests without a caller's trace that begin one.
        export: Takes the finished traces; None to keep and echo contexts only.
    """

    def __init__(self, sample_ratio: float, export: SpanExport | None = None) -> None:
        self.sample_ratio = sample_ratio if export is not None else 0.0
        self.export = export


class Observer:
    """Watches requests that ask for it, are traced, or are in the access log's sample.

    Args:
        stages: Measures batches while somebody asks.
        now_us: The present instant in microseconds.
        monotonic: Seconds.
        tracing: None where traces are off.
        access: None where the access log is off.
        access_ratio: Share of the answers that get a line.

    Attributes:
        always: Whether every request counts; else only those with a query are looked at.
        left: Requests until the next that is in a sample; the caller counts it down.
    """

    def __init__(
        self, stages: Stages, now_us: Callable[[], int], monotonic: Callable[[], float], tracing: Tracing | None = None,
        access: AccessLog | None = None, access_ratio: float = 1.0,
    ) -> None:  # fmt: skip
        self._stages = stages
        self._now_us = now_us
        self._monotonic = monotonic
        self._tracing = tracing
        self._access = access
        self.always = tracing is not None or access is not None
        self._traced = Sample(0.0 if tracing is None else tracing.sample_ratio)
        self._logged = Sample(0.0 if access is None else access_ratio)
        self._trace_in, self._log_in = self._traced.gap(), self._logged.gap()
        self.left = self._armed = min(self._trace_in, self._log_in)

    def look(self, sent: bytes | None, state: bytes, *, timing: bool = False) -> Observed | None:
        """Begin to note a request, or return None when nobody wants to know anything of it.

        Whoever gets something calls `answering` once, or batches would read the clock for ever.

        Args:
            sent: The caller's `traceparent`, if any.
            state: Its `tracestate`.
            timing: Whether the caller itself asks where the time went.
        """
        traced, logged = self._due() if self.left <= 0 else (False, False)
        context = None if self._tracing is None or sent is None else parse(sent, state)
        if context is None and traced:
            context = begin()
        if context is None and not logged and not timing:
            return None
        self._stages.asked += 1
        return Observed(context, logged=logged, begun_us=self._now_us(), begun_s=self._monotonic())

    def _due(self) -> tuple[bool, bool]:
        """Return which samples this request is in, and draw the next."""
        passed = self._armed - self.left
        self._trace_in -= passed
        self._log_in -= passed
        traced, logged = self._trace_in <= 0, self._log_in <= 0
        if traced:
            self._trace_in = self._traced.gap()
        if logged:
            self._log_in = self._logged.gap()
        self.left = self._armed = min(self._trace_in, self._log_in)
        return traced, logged

    def answering(self, observed: Observed) -> tuple[list[Step], float]:
        """Return what a request went through until its answer was made, and when that is: now, on the monotonic clock.

        The batch that it was in may be under way still.
        """
        now_s = self._monotonic()
        stages = self._stages
        stages.asked -= 1
        if not stages.running:  # answered at once, by a handler of its own
            return [("route", observed.begun_s, now_s)], now_s
        # A request may be watched while the batch that it is in was begun by others.
        routed_s = observed.routed_s or stages.begun_s
        steps = [("route", observed.begun_s, routed_s), ("queue", routed_s, stages.begun_s), *stages.laps]
        return steps, now_s

    def answered(self, observed: Observed, answer: Answered, steps: list[Step], sending_s: float) -> None:
        """Note a request whose answer has been sent.

        Args:
            observed: The request.
            answer: How it was answered.
            steps: As `answering` returned them.
            sending_s: When it began to be sent, on the monotonic clock.
        """
        end_s = self._monotonic()
        steps.append(("respond", sending_s, end_s))
        context = observed.context
        if context is not None and context.sampled and self._tracing is not None and self._tracing.export is not None:
            self._tracing.export.offer(_trace(observed, context, answer, steps, end_s))
        if observed.logged and self._access is not None:
            self._access.offer(_access(observed, answer, steps, end_s))


def added(steps: list[Step]) -> dict[str, float]:
    """Return how long each step took, in seconds, steps of one name added up."""
    found: dict[str, float] = {}
    for name, begin_s, end_s in steps:
        found[name] = found.get(name, 0.0) + end_s - begin_s
    return found


def _trace(observed: Observed, context: TraceContext, answer: Answered, steps: list[Step], end_s: float) -> Trace:
    received_ns, begun_s = observed.begun_us * 1000, observed.begun_s

    def at(moment_s: float) -> int:
        return received_ns + int((moment_s - begun_s) * 1e9)

    attributes: dict[str, Value] = dict(answer.attributes)
    if observed.route:
        attributes["falaj.name"] = observed.name
        attributes["falaj.actor"] = observed.actor
    spans = [(step, at(begin_s), at(finish_s)) for step, begin_s, finish_s in steps]
    return Trace(context, answer.span, received_ns, at(end_s), spans, attributes, answer.status >= 500)


def _access(observed: Observed, answer: Answered, steps: list[Step], end_s: float) -> Access:
    steps_us = {name: int(1e6 * spent_s) for name, spent_s in added(steps).items()}
    return Access(
        observed.begun_us, answer.method, observed.route, observed.name, observed.actor, answer.status,
        answer.in_bytes, answer.out_bytes, int((end_s - observed.begun_s) * 1e6), answer.gone, observed.trace_id,
        steps_us, answer.grpc_status,
    )  # fmt: skip
