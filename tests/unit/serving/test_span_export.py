"""Span export, against a collector that takes, refuses, is away, or hangs."""

import base64
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from falaj.kernel.clock import SystemClock
from falaj.serving.span_export import SpanExport
from falaj.serving.spans import Trace, export_request
from falaj.serving.trace_context import TraceContext
from support.waiting import until
from support.webhook import Webhook

CONTEXT = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7", True, b"rojo=1")
STEPS = [("route", 1_000, 2_000), ("model", 2_000, 5_000)]


def trace(number: int = 0, **changes: Any) -> Trace:
    attributes: dict[str, Any] = {"http.route": "/v2", "http.response.status_code": 200, "number": number, "odd": True}
    return Trace(CONTEXT, "GET /v2", 1_000, 9_000, STEPS, attributes, False)._replace(**changes)


@pytest.fixture
def collector() -> Iterator[Webhook]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    webhook = Webhook(port)
    webhook.start()
    yield webhook
    webhook.stop()


def export_to(webhook: Webhook, **more: Any) -> SpanExport:
    fields = {"first_wait_s": 0.01, "pause_s": 0.01} | more
    return SpanExport(f"http://127.0.0.1:{webhook.port}/v1/traces", "gateway-0", SystemClock(), **fields)


def numbers(webhook: Webhook) -> list[int]:
    """The numbers of the traces that the collector took."""
    spans = [
        span
        for body in webhook.accepted
        for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]
        if span.get("parentSpanId") == CONTEXT.parent_id
    ]
    attributes = ({one["key"]: one["value"] for one in span["attributes"]} for span in spans)
    return [int(one["number"]["intValue"]) for one in attributes]


def test_every_trace_arrives_once(collector: Webhook) -> None:
    export = export_to(collector)
    for number in range(1500):
        export.offer(trace(number))
    until(lambda: export.exported == 1500, "all traces")
    export.close()
    assert sorted(numbers(collector)) == list(range(1500))
    assert (export.dropped, {body["path"] for body in collector.received}) == (0, {"/v1/traces"})
    assert {body["type"] for body in collector.received} == {"application/json"}


def test_a_collector_that_is_busy_is_asked_again(collector: Webhook) -> None:
    collector.answers += [503, 429, 502]
    export = export_to(collector)
    export.offer(trace(1))
    until(lambda: export.exported == 1, "the trace")
    export.close()
    assert (numbers(collector), len(collector.received), export.dropped) == ([1], 4, 0)


def test_what_a_collector_refuses_is_dropped_at_once_and_said_once(
    collector: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answers += [400, 401]
    export = export_to(collector)
    with caplog.at_level(logging.ERROR):
        for lost in (1, 2):
            export.offer(trace())
            until(lambda wanted=lost: export.dropped == wanted, "the loss")  # type: ignore[misc]
    export.close()
    assert (len(collector.received), export.exported, len(caplog.records)) == (2, 0, 1)


def test_a_collector_that_is_away_costs_the_traces_that_find_no_room(collector: Webhook) -> None:
    collector.stop()
    export = export_to(collector, size=100, tries=10**9)
    for number in range(1000):
        export.offer(trace(number))
    assert export.dropped >= 1000 - 100 - 512
    before = export.dropped
    collector.start()
    until(lambda: export.exported + export.dropped == 1000, "the rest")
    export.close()
    assert export.dropped == before
    assert len(numbers(collector)) == export.exported


def test_a_collector_that_hangs_does_not_hold_up_the_end(collector: Webhook) -> None:
    collector.silent.set()
    export = export_to(collector, timeout_s=0.1)
    export.offer(trace())
    until(lambda: collector.received, "the attempt")
    export.close(5.0)
    assert export.dropped == 1


def test_the_body_is_what_the_protocol_says() -> None:
    body = json.loads(export_request([trace(), trace(1, failed=True)], "gateway-0"))
    for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId", "parentSpanId"):  # OTLP has hexadecimal here, protobuf's own JSON has base64
            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    message = ParseDict(body, ExportTraceServiceRequest())
    (resource,) = message.resource_spans
    assert {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"] == "falaj-gateway"
    spans = resource.scope_spans[0].spans
    assert [(span.name, span.kind, span.status.code) for span in spans] == [
        ("GET /v2", 2, 0), ("route", 1, 0), ("model", 1, 0), ("GET /v2", 2, 2), ("route", 1, 0), ("model", 1, 0),
    ]  # fmt: skip
    root, step = spans[0], spans[1]
    assert (root.trace_id.hex(), root.parent_span_id.hex(), root.trace_state) == (*CONTEXT[:2], "rojo=1")
    assert step.parent_span_id == root.span_id
    assert (step.start_time_unix_nano, step.end_time_unix_nano) == (1_000, 2_000)
    assert {one.key: one.value.WhichOneof("value") for one in root.attributes}["odd"] == "bool_value"
    assert len({span.span_id for span in spans}) == 5  # both traces have one root's
