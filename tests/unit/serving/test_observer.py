"""What is looked at closely: asked for, traced, or in the access log; and nothing of all others."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from falaj.definitions.prediction_record import BlockRecord
from falaj.kernel.clock import ManualClock, SystemClock
from falaj.serving.access_log import AccessLog
from falaj.serving.observer import Tracing
from falaj.serving.span_export import SpanExport
from falaj.serving.spans import Trace
from support.serving_http import MemoryTransport
from support.serving_world import TOKEN, World, ask, bare_route, route, variant

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: rojo=1, congo=2\r\n"
PREDICT = "/v1/endpoints/fraud/predict"
BARE = {"inputs": [{"name": "in", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}


class Collected(SpanExport):
    """An export that keeps what it is offered."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def offer(self, trace: Trace) -> None:
        self.traces.append(trace)


def request(path: str, body: Any, headers: str = "", token: str = TOKEN) -> bytes:
    raw = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
    return f"{head}content-length: {len(raw)}\r\n{headers}\r\n".encode() + raw


def ask_raw(world: World, path: str, body: Any, headers: str = "", token: str = TOKEN) -> tuple[int, dict[str, str]]:
    """Ask, and return the status and the headers of the answer."""
    raw = json.dumps(body).encode()
    connection, transport = world.server.connect(), MemoryTransport()
    connection.connection_made(transport)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {len(raw)}\r\n{headers}"
    )
    connection.data_received(head.encode() + b"\r\n" + raw)
    world.turn()
    first, *lines = transport.written.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return int(first.split(" ")[1]), {name: value for name, _, value in pairs}


def durations(headers: dict[str, str]) -> dict[str, float]:
    parts = (re.fullmatch(r"(\w+);dur=(\d+\.\d{3})", part) for part in headers["server-timing"].split(", "))
    return {part[1]: float(part[2]) for part in parts if part is not None}


@pytest.mark.parametrize(
    ("path", "body", "steps"),
    [
        (f"{PREDICT}?timing=1", ask(), ["route", "queue", "features", "model", "log", "total"]),
        (f"{PREDICT}?a=b&timing", [ask(), ask("c2")], ["route", "queue", "features", "model", "log", "total"]),
        ("/v2/models/bare:raw/infer?timing=true", BARE, ["route", "queue", "model", "log", "total"]),
        (f"{PREDICT}?timing=1", {"entities": {}}, ["route", "total"]),
        ("/v1/nowhere?timing=1", {}, ["route", "total"]),
    ],
)
def test_who_asks_is_told_where_the_time_went(path: str, body: Any, steps: list[str]) -> None:
    world = World(route(), bare_route())
    _, headers = ask_raw(world, path, body)
    assert list(durations(headers)) == steps
    assert world.stages.asked == 0


class Ticking(ManualClock):
    """Each look at it takes half a millisecond."""

    def monotonic(self) -> float:
        self.advance(0.0005)
        return super().monotonic()


def test_the_steps_follow_each_other() -> None:
    found = durations(ask_raw(World(clock=Ticking()), f"{PREDICT}?timing=1", ask())[1])
    total = found.pop("total")
    assert min(found.values()) >= 0.5
    assert total == pytest.approx(sum(found.values()), abs=1.6)  # what the answer's own making takes is in the total


def test_nobody_else_is_measured_or_told() -> None:
    world = World()
    for query in ("", "?timing=0", "?x=timing", "?timings=1"):
        _, headers = ask_raw(world, f"{PREDICT}{query}", ask(), SENT)
        assert not {"server-timing", "traceparent", "tracestate"} & set(headers)
        assert (world.stages.begun_s, world.stages.laps) == (0.0, [])
    assert {record.trace_id for record in world.sink.records} == {""}


def test_a_callers_trace_is_kept_echoed_and_exported() -> None:
    collected = Collected()
    shadow = variant("candidate", 2, 10_000, role="shadow")
    world = World(route(variant(), shadow), tracing=Tracing(0.0, collected))
    status, headers = ask_raw(world, PREDICT, ask(), SENT)
    assert (status, headers["tracestate"]) == (200, "rojo=1, congo=2")
    assert {(record.role, record.trace_id) for record in world.sink.records} == {("live", TRACE), ("shadow", TRACE)}
    (trace,) = collected.traces
    assert headers["traceparent"] == f"00-{TRACE}-{trace.context.span_id}-01"
    assert (trace.context.trace_id, trace.context.parent_id) == (TRACE, PARENT)
    assert [name for name, _, _ in trace.steps] == ["route", "queue", "features", "model", "log", "respond"]
    assert trace.name == "POST /v1/endpoints/{name}/predict"
    assert trace.attributes["falaj.name"] == "fraud"
    assert (trace.attributes["falaj.actor"], trace.attributes["http.response.status_code"]) == ("app", 200)
    assert trace.begin_ns == world.now_us * 1000
    assert TOKEN not in repr(trace)


def test_a_caller_that_does_not_sample_is_not_exported() -> None:
    collected = Collected()
    world = World(tracing=Tracing(1.0, collected))
    _, headers = ask_raw(world, PREDICT, ask(), SENT.replace("-01\r", "-00\r"))
    assert headers["traceparent"].startswith(f"00-{TRACE}-")
    assert headers["traceparent"].endswith("-00")
    assert world.sink.records[0].trace_id == TRACE
    assert collected.traces == []


def test_a_share_of_the_others_begins_a_trace_here() -> None:
    collected = Collected()
    world = World(route(), bare_route(), tracing=Tracing(0.5, collected))
    kept = [ask_raw(world, PREDICT, ask())[1].get("traceparent", "") for _ in range(200)]
    assert 50 < sum(map(bool, kept)) == len(collected.traces) < 150
    assert [record.trace_id for record in world.sink.records] == [header[3:35] for header in kept]
    world.app = World(tracing=Tracing(1.0, collected)).app
    ask_raw(world, "/v2/models/bare:raw/infer", BARE, SENT)
    (block,) = (record for record in world.sink.records if isinstance(record, BlockRecord))
    assert block.trace_id == TRACE


def test_without_a_collector_contexts_are_kept_and_none_begin() -> None:
    world = World(tracing=Tracing(1.0))
    assert "traceparent" not in ask_raw(world, PREDICT, ask())[1]
    assert ask_raw(world, PREDICT, ask(), SENT)[1]["traceparent"].startswith(f"00-{TRACE}")


def test_a_failure_is_traced_as_one() -> None:
    collected = Collected()
    world = World(tracing=Tracing(1.0, collected))
    assert ask_raw(world, PREDICT, ask("c1", 13.0))[0] == 500  # what the model fails on
    assert ask_raw(world, PREDICT, {"entities": {}})[0] == 400
    assert ask_raw(world, PREDICT, ask(), token="flj_wrong")[0] == 401
    world.snapshots.serving = None  # type: ignore[assignment]
    assert ask_raw(world, PREDICT, ask())[0] == 500  # a fault of our own, before any batch
    assert [trace.failed for trace in collected.traces] == [True, False, False, True]
    assert [trace.attributes["falaj.actor"] for trace in collected.traces] == ["app", "app", "", "app"]
    assert world.stages.asked == 0


def test_a_client_that_leaves_is_in_the_access_log(tmp_path: Path) -> None:
    access = AccessLog(tmp_path / "access.jsonl", "gateway-0", SystemClock(), pause_s=0.01)
    world = World(access=access)
    connection, transport = world.server.connect(), MemoryTransport()
    connection.connection_made(transport)
    connection.data_received(request(PREDICT, ask()))
    connection.connection_lost(None)
    world.turn()
    assert ask_raw(world, f"{PREDICT}?secret=c1", ask("c1"))[0] == 200
    assert ask_raw(world, "/v1/what", {})[0] == 404
    access.close()
    lines = [json.loads(line) for line in (tmp_path / "access.jsonl").read_text().splitlines()]
    assert [line.get("gone", False) for line in lines] == [True, False, False]
    assert [(line["status"], line["route"], line["name"], line["actor"]) for line in lines] == [
        (200, "/v1/endpoints/{name}/predict", "fraud", "app")
    ] * 2 + [(404, "", "", "")]
    assert lines[1]["at"] == "1970-02-11T16:00:00Z"
    assert lines[1]["in_bytes"] == len(json.dumps(ask()))
    assert set(lines[1]["steps_us"]) == {"route", "queue", "features", "model", "log", "respond"}
    text = (tmp_path / "access.jsonl").read_text()
    assert TOKEN not in text
    assert "c1" not in text
