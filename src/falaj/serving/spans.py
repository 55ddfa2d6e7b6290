"""Spans: what one traced request did and when, and the form that OTLP gives it."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from falaj.kernel.version import __version__
from falaj.serving.trace_context import TraceContext, new_id

_SERVER = 2
_INTERNAL = 1
_ERROR = 2

Value = str | int | bool


class Trace(NamedTuple):
    """One request that was traced, finished.

    Attributes:
        context: Where it belongs.
        name: Of its span, such as `POST /v1/endpoints/{name}/predict`.
        begin_ns: When it was received, in nanoseconds since 1970.
        end_ns: When it was answered.
        steps: Name, begin and end of each step, likewise.
        attributes: What is known of it.
        failed: Whether it failed by a fault of the serving side.
    """

    context: TraceContext
    name: str
    begin_ns: int
    end_ns: int
    steps: list[tuple[str, int, int]]
    attributes: dict[str, Value]
    failed: bool


def export_request(traces: Iterable[Trace], worker: str) -> dict[str, Any]:
    """Return the body of an OTLP/HTTP export in its JSON encoding.

    Numbers of 64 bits are text and identifiers hexadecimal, as OTLP says.

    Args:
        traces: What to export.
        worker: Which worker saw them.
    """
    resource = {"service.name": "falaj-gateway", "service.version": __version__, "service.instance.id": worker}
    spans = [span for trace in traces for span in _spans(trace)]
    scope = {"scope": {"name": "falaj.serving", "version": __version__}, "spans": spans}
    return {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}]}


def _spans(trace: Trace) -> Iterable[dict[str, Any]]:
    context = trace.context
    root = _span(context.trace_id, context.span_id, context.parent_id, trace.name, trace.begin_ns, trace.end_ns)
    root |= {"kind": _SERVER, "attributes": _attributes(trace.attributes)}
    if context.state:
        root["traceState"] = context.state.decode("latin-1")
    if trace.failed:
        root["status"] = {"code": _ERROR}
    yield root
    for name, begin_ns, end_ns in trace.steps:
        step = _span(context.trace_id, new_id(16), context.span_id, name, begin_ns, end_ns)
        yield step | {"kind": _INTERNAL}


def _span(trace_id: str, span_id: str, parent_id: str, name: str, begin_ns: int, end_ns: int) -> dict[str, Any]:
    parent = {"parentSpanId": parent_id} if parent_id else {}
    times = {"startTimeUnixNano": str(begin_ns), "endTimeUnixNano": str(end_ns)}
    return {"traceId": trace_id, "spanId": span_id, **parent, "name": name, **times}


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}
