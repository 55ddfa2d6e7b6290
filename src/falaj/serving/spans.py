"""Spans: what one traced request did and when, and the form that OTLP gives it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

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


class _Attribute(msgspec.Struct):
    key: str
    value: dict[str, Value]


class _Status(msgspec.Struct):
    code: int


class _Span(msgspec.Struct, omit_defaults=True, rename="camel"):
    trace_id: str
    span_id: str
    name: str
    kind: int
    start_time_unix_nano: str
    end_time_unix_nano: str
    parent_span_id: str = ""
    trace_state: str = ""
    attributes: list[_Attribute] = []
    status: _Status | None = None


class _Scope(msgspec.Struct):
    name: str = "falaj.serving"
    version: str = __version__


class _ScopeSpans(msgspec.Struct):
    spans: list[_Span]
    scope: _Scope = msgspec.field(default_factory=_Scope)


class _Resource(msgspec.Struct):
    attributes: list[_Attribute]


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: _Resource
    scope_spans: list[_ScopeSpans]


class _Request(msgspec.Struct, rename="camel"):
    resource_spans: list[_ResourceSpans]


_encode = msgspec.json.Encoder().encode


def export_request(traces: Iterable[Trace], worker: str) -> bytes:
    """Return the body of an OTLP/HTTP export in its JSON encoding.

    Numbers of 64 bits are text and identifiers hexadecimal, as OTLP says.

    Args:
        traces: What to export.
        worker: Which worker saw them.
    """
    resource = {"service.name": "falaj-gateway", "service.version": __version__, "service.instance.id": worker}
    spans = [span for trace in traces for span in _spans(trace)]
    return _encode(_Request([_ResourceSpans(_Resource(_attributes(resource)), [_ScopeSpans(spans)])]))


def _spans(trace: Trace) -> Iterator[_Span]:
    context = trace.context
    yield _Span(
        context.trace_id,
        context.span_id,
        trace.name,
        _SERVER,
        str(trace.begin_ns),
        str(trace.end_ns),
        context.parent_id,
        context.state.decode("latin-1"),
        _attributes(trace.attributes),
        _Status(_ERROR) if trace.failed else None,
    )
    for name, begin_ns, end_ns in trace.steps:
        yield _Span(context.trace_id, new_id(16), name, _INTERNAL, str(begin_ns), str(end_ns), context.span_id)


def _attributes(values: Mapping[str, Value]) -> list[_Attribute]:
    return [_Attribute(key, _value(value)) for key, value in values.items()]


def _value(value: Value) -> dict[str, Value]:
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}
