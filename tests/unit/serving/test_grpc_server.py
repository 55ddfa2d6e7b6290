"""gRPC's server on a gateway in memory: the deadline of each message, and what is noted of calls; the clock is ours."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.kernel.clock import SystemClock
from falaj.serving.access_log import AccessLog
from falaj.serving.grpc.messages import INFERENCE
from falaj.serving.grpc.server import GrpcServer
from falaj.serving.http import Limits
from falaj.serving.observer import Observer, Tracing
from falaj.serving.span_export import SpanExport
from falaj.serving.spans import Trace
from support.grpc_client import INFER, MESSAGES, STREAM, answered, fraud, streamed
from support.serving_world import TOKEN, World, route

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
METADATA = f"/{INFERENCE}/ModelMetadata"
PLAIN, SLOW = EndpointOptions(), EndpointOptions(deadline_ms=50.0)
LIMITS = Limits()

Metadata = list[tuple[str, str]]


class Collected(SpanExport):
    """An export that keeps what it is offered."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def offer(self, trace: Trace) -> None:
        self.traces.append(trace)


class Served:
    """A world that answers over gRPC, on the loop that runs."""

    def __init__(
        self, world: World, tracing: Tracing | None, access: AccessLog | None, limits: Limits = LIMITS
    ) -> None:
        self.world = world
        observer = Observer(world.stages, world.now, world.clock.monotonic, tracing, access)
        self.server = GrpcServer(
            world.plane, world.snapshots, world.stats, limits, observer, world.now, world.clock.monotonic
        )
        self.channel: Any = None

    async def infer(self, message: bytes, *sent: tuple[str, str], path: str = INFER, **more: Any) -> Any:
        """Begin a call and return it."""
        return self.channel.unary_unary(path)(message, metadata=metadata(*sent), **more)

    def stream(self, *sent: tuple[str, str], **more: Any) -> Any:
        """Open a stream."""
        return self.channel.stream_stream(STREAM)(metadata=metadata(*sent), **more)

    async def waits(self) -> None:
        """Return when a message waits to be computed."""
        async with asyncio.timeout(20):
            while not self.world.turns:
                await asyncio.sleep(0.001)

    async def ask(self, stream: Any, message: bytes, *, after_s: float = 0.0) -> Any:
        """Ask on a stream, let so much time pass, compute, and return the answer."""
        await stream.write(message)
        await self.waits()
        self.world.clock.advance(after_s)
        self.world.turn()
        return streamed(await stream.read())


def metadata(*sent: tuple[str, str]) -> Metadata:
    return [("authorization", f"Bearer {TOKEN}"), *sent]


def serve(
    scenario: Callable[[Served], Awaitable[None]], *, options: EndpointOptions = PLAIN,
    tracing: Tracing | None = None, access: AccessLog | None = None, limits: Limits = LIMITS,
) -> World:  # fmt: skip
    """Run a scenario; nothing that batches measure for callers may be left behind."""
    world = World(route(options=options))

    async def main() -> None:
        served = Served(world, tracing, access, limits)
        await served.server.start("127.0.0.1", 0)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{served.server.port}") as served.channel:
            await scenario(served)
        assert await served.server.drain(10.0)

    asyncio.run(main())
    assert world.stages.asked == 0
    return world


def test_each_message_of_a_stream_has_the_deadline_that_its_caller_sent() -> None:
    async def scenario(served: Served) -> None:
        stream = served.stream(("falaj-deadline-ms", "50"))
        seen = [await served.ask(stream, fraud(id=f"{after_s}"), after_s=after_s) for after_s in (0.04, 0.06, 0.04)]
        assert [one.infer_response.id for one in seen] == ["0.04", "0.06", "0.04"]
        assert [one.infer_response.parameters["falaj-code"].string_param for one in seen] == ["", "timeout", ""]
        assert "deadline passed while it waited" in seen[1].error_message
        assert served.server.front.responses == {"OK": 2, "DEADLINE_EXCEEDED": 1}
        stream.cancel()

    world = serve(scenario)
    assert (len(world.sink.records), world.stats.late) == (2, 1)


def test_each_message_of_a_stream_has_the_deadline_of_the_endpoint_whatever_that_of_the_stream() -> None:
    async def scenario(served: Served) -> None:
        for more in ({}, {"timeout": 3600.0}):
            stream = served.stream(**more)
            seen = [await served.ask(stream, fraud(), after_s=after_s) for after_s in (0.04, 0.06, 0.04)]
            assert [bool(one.error_message) for one in seen] == [False, True, False]
            stream.cancel()

    assert serve(scenario, options=SLOW).stats.late == 2


def test_the_deadline_of_a_stream_is_that_of_its_messages_too() -> None:
    async def scenario(served: Served) -> None:
        stream = served.stream(("falaj-deadline-ms", "3600000"), timeout=600.0)
        assert not (await served.ask(stream, fraud(), after_s=590.0)).error_message
        # By the machine's clock, which the stream's end is measured by, no ten minutes have passed.
        assert (await served.ask(stream, fraud(), after_s=601.0)).error_message
        stream.cancel()

    assert serve(scenario).stats.late == 1


def test_a_call_has_the_earlier_one_of_both_deadlines_of_its_caller_and_the_endpoints_without_them() -> None:
    async def scenario(served: Served) -> None:
        async def outcome(after_s: float, *sent: tuple[str, str], **more: Any) -> str:
            call = await served.infer(fraud(), *sent, **more)
            await served.waits()
            served.world.clock.advance(after_s)
            served.world.turn()
            return str((await call.code()).name)

        sent = ("falaj-deadline-ms", "100")
        assert await outcome(0.09, sent, timeout=600.0) == "OK"
        assert await outcome(0.11, sent, timeout=600.0) == "DEADLINE_EXCEEDED"
        assert await outcome(601.0, ("falaj-deadline-ms", "3600000"), timeout=600.0) == "DEADLINE_EXCEEDED"
        assert await outcome(590.0, timeout=600.0) == "OK"
        assert await outcome(0.04) == "OK"
        assert await outcome(0.06) == "DEADLINE_EXCEEDED"
        assert await outcome(3600.0, timeout=7200.0) == "OK"

    assert serve(scenario, options=SLOW).stats.late == 3


@pytest.mark.parametrize("sent", ["0", "1.5", "-1", "soon", "99999999", "1, 2"])
def test_a_deadline_that_is_none_is_refused(sent: str) -> None:
    async def scenario(served: Served) -> None:
        call = await served.infer(fraud(), ("falaj-deadline-ms", sent))
        assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert f"falaj-deadline-ms: {sent!r}" in await call.details()

    assert serve(scenario).sink.records == []


def test_a_stream_that_asks_nothing_for_too_long_is_ended_and_one_that_waits_for_an_answer_is_not() -> None:
    async def scenario(served: Served) -> None:
        waiting, silent = served.stream(), served.stream()
        await waiting.write(fraud(id="late"))
        await served.waits()
        assert await silent.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert await silent.details() == "nothing was asked on the stream for 0.3 s"
        assert not waiting.done()
        served.world.turn()
        assert streamed(await waiting.read()).infer_response.id == "late"
        assert await waiting.code() == grpc.StatusCode.DEADLINE_EXCEEDED

    serve(scenario, limits=Limits(idle_timeout_s=0.3))


def test_a_call_is_a_span_of_its_callers_trace_and_its_record_says_which() -> None:
    export = Collected()

    async def scenario(served: Served) -> None:
        sent = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", "rojo=1"))
        call = await served.infer(fraud(), *sent)
        await served.waits()
        served.world.turn()
        assert answered(await call).model_version == "1"
        trailing = dict(await call.trailing_metadata())
        assert trailing["traceparent"][:36] == f"00-{TRACE}-"
        assert trailing["tracestate"] == "rojo=1"
        missing = MESSAGES.make("inference.ModelMetadataRequest", name="frod").SerializeToString()
        refused = await served.infer(missing, sent[0], path=METADATA)
        assert await refused.code() == grpc.StatusCode.NOT_FOUND
        assert "traceparent" in dict(await refused.trailing_metadata())
        plain = await served.infer(missing, ("traceparent", "00-nonsense"), path=METADATA)
        assert "traceparent" not in dict(await plain.trailing_metadata())

    world = serve(scenario, tracing=Tracing(0.0, export))
    decided, refused = export.traces
    assert [record.trace_id for record in world.sink.records] == [TRACE]
    assert (decided.context.trace_id, decided.context.parent_id, decided.failed) == (TRACE, PARENT, False)
    assert [name for name, _, _ in decided.steps] == ["route", "queue", "features", "model", "log", "respond"]
    assert (decided.name, decided.attributes["falaj.name"]) == (INFER[1:], "fraud")
    assert decided.attributes["falaj.actor"] == "app"
    assert {name: decided.attributes[f"rpc.{name}"] for name in ("system", "service", "method")} == {
        "system": "grpc", "service": INFERENCE, "method": "ModelInfer",
    }  # fmt: skip
    assert [trace.attributes["rpc.grpc.status_code"] for trace in (decided, refused)] == [0, 5]
    assert [name for name, _, _ in refused.steps] == ["route", "respond"]


def test_each_message_of_a_stream_is_a_span_and_late_ones_are_failures() -> None:
    export = Collected()

    async def scenario(served: Served) -> None:
        stream = served.stream(("traceparent", f"00-{TRACE}-{PARENT}-01"), ("falaj-deadline-ms", "50"))
        for after_s in (0.0, 0.1):
            await served.ask(stream, fraud(), after_s=after_s)
        await stream.write(b"\xff")
        assert streamed(await stream.read()).error_message
        await stream.done_writing()
        assert await stream.code() == grpc.StatusCode.OK

    serve(scenario, tracing=Tracing(0.0, export))
    assert [(trace.attributes["rpc.grpc.status_code"], trace.failed) for trace in export.traces] == [
        (0, False), (4, True), (3, False),
    ]  # fmt: skip
    assert {trace.context.trace_id for trace in export.traces} == {TRACE}
    assert len({trace.context.span_id for trace in export.traces}) == 3


def test_of_what_begins_no_trace_the_sample_does() -> None:
    export = Collected()

    async def scenario(served: Served) -> None:
        for _ in range(400):
            ready = await served.infer(b"", path=f"/{INFERENCE}/ServerReady")
            assert await ready.code() == grpc.StatusCode.OK

    serve(scenario, tracing=Tracing(0.25, export))
    assert 50 < len(export.traces) < 150
    assert {trace.context.parent_id for trace in export.traces} == {""}


def test_the_access_log_has_a_line_for_each_answer_and_for_who_left(tmp_path: Path) -> None:
    access = AccessLog(tmp_path / "access.jsonl", "gateway-0", SystemClock())

    async def scenario(served: Served) -> None:
        decided = await served.infer(fraud())
        await served.waits()
        served.world.clock.advance(0.002)
        served.world.turn()
        size = len(await decided)
        refused = served.channel.unary_unary(INFER)(fraud(), metadata=[])
        assert await refused.code() == grpc.StatusCode.UNAUTHENTICATED
        closed = served.channel.stream_stream(STREAM)(metadata=[])
        assert await closed.code() == grpc.StatusCode.UNAUTHENTICATED
        stream = served.stream()
        await stream.write(fraud(model_version="9"))
        assert streamed(await stream.read()).error_message
        for call in (await served.infer(fraud()), stream):
            if call is stream:
                await stream.write(fraud())
            await served.waits()
            call.cancel()
            before = served.world.stages.asked
            async with asyncio.timeout(20):
                while served.world.stages.asked == before:
                    await asyncio.sleep(0.001)
            served.world.turn()  # what was under way is decided and logged
        assert size > 0

    world = serve(scenario, access=access)
    access.close()
    lines = [json.loads(line) for line in (tmp_path / "access.jsonl").read_text().splitlines()]
    assert [(line["status"], line["grpc_status"], line.get("gone", False)) for line in lines] == [
        (200, "OK", False), (401, "UNAUTHENTICATED", False), (401, "UNAUTHENTICATED", False),
        (404, "NOT_FOUND", False), (499, "CANCELLED", True), (499, "CANCELLED", True),
    ]  # fmt: skip
    assert [line["name"] for line in lines] == ["fraud", "fraud", "", "fraud/9", "fraud", "fraud"]
    assert {line["method"] for line in lines} == {"GRPC"}
    first = lines[0]
    assert (first["route"], first["actor"], first["in_bytes"]) == (INFER, "app", len(fraud()))
    assert (first["spent_us"], list(first["steps_us"])) == (
        2000, ["route", "queue", "features", "model", "log", "respond"],
    )  # fmt: skip
    assert first["out_bytes"] > 0
    assert len(world.sink.records) == 3


def test_nothing_is_noted_where_nothing_is_switched_on() -> None:
    async def scenario(served: Served) -> None:
        call = await served.infer(fraud(), ("traceparent", f"00-{TRACE}-{PARENT}-01"))
        await served.waits()
        assert served.world.stages.asked == 0
        served.world.turn()
        await call
        assert "traceparent" not in dict(await call.trailing_metadata())

    assert [record.trace_id for record in serve(scenario).sink.records] == [""]
