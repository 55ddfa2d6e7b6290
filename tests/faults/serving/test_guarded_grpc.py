"""gRPC of a worker process, and callers who want more than they may have, later than they can, or who are watched."""

import contextlib
import json
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.definitions.routing_table import RoutingTable
from falaj.governance.access import Role
from falaj.governance.tokens import TokenEntry, TokenSnapshot, hash_token
from falaj.kernel.codec import to_msgpack
from falaj.kernel.rate import Rate
from falaj.storage.keyvalue.snapshots import write_snapshots
from support.falaj_project import free_ports
from support.gateway_process import Project, WorkerProcess, call
from support.grpc_client import INFER, STREAM, RawClient, answered, failure, fraud
from support.serving_world import OWNER, TOKEN, ask, route
from support.waiting import until
from support.webhook import Webhook

HTTP = "/v1/endpoints/fraud/predict"
HOUR_US = 3_600_000_000
SHOP = Rate(1, HOUR_US, 6)


def entry(name: str, role: Role = Role.SERVICE, tenant: str = "", rate: Rate | None = None) -> TokenEntry:
    return TokenEntry(f"tok_{name}", name, role, ("*",), None, tenant, rate)


TOKENS = {
    TOKEN: entry("app"),
    OWNER: entry("owner", Role.OWNER),
    "flj_five": entry("five", rate=Rate(1, HOUR_US, 5)),
    "flj_four": entry("four", rate=Rate(1, HOUR_US, 4)),
    "flj_calls": entry("calls", rate=Rate(1, HOUR_US, 20)),
    "flj_left": entry("left", tenant="shop"),
    "flj_right": entry("right", tenant="shop"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("project"))
    candidate = msgspec.structs.replace(made.variant(2, 1_000), name="candidate")
    hurried = route(made.variant(1), endpoint="hurried", options=EndpointOptions(deadline_ms=0.001))
    snapshot = TokenSnapshot({hash_token(text): each for text, each in TOKENS.items()}, {"shop": SHOP})
    routes = {"fraud": route(made.variant(1, 9_000), candidate), "hurried": hurried}
    contents = {"routing": to_msgpack(RoutingTable(1, routes)), "tokens": to_msgpack(snapshot)}
    write_snapshots(made.store, contents, 1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def worker(project: Project) -> Iterator[WorkerProcess]:
    """One worker for all tests that leave it as it was; at the end it must be without a fault."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        (port,) = free_ports(1)
        worker = WorkerProcess(project, listening, grpc_port=port)
        try:
            yield worker
            assert metric(worker, "falaj_faults_total") == 0
            assert worker.end() == 0
        finally:
            worker.process.kill()


@contextlib.contextmanager
def running(project: Project, name: str, **more: Any) -> Iterator[WorkerProcess]:
    """A worker of its own, which must end well where the test does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        (port,) = free_ports(1)
        worker = WorkerProcess(project, listening, grpc_port=port, worker=name, **more)
        try:
            yield worker
            assert worker.end() == 0
        finally:
            worker.process.kill()
            worker.output.close()
            worker.process.wait(20)


def metric(worker: WorkerProcess, name: str) -> float:
    """The sum of a metric's samples that begin so."""
    lines = call(worker.port, "GET", "/metrics", token=OWNER)[1].splitlines()
    found = [line for line in lines if line.startswith((f"{name} ", name + "{", name + ",")) or name in line]
    return sum(float(line.rpartition(" ")[2]) for line in found if not line.startswith("#"))


def client_of(worker: WorkerProcess, token: str | None = TOKEN, **sent: str) -> RawClient:
    return RawClient(worker.grpc_port, token, **sent)


def refusal(client: RawClient, message: bytes) -> tuple[str, str, dict[str, Any]]:
    """The status, the message and the trailing metadata of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        # Without a deadline of the call: that would be the caller's word against the endpoint's.
        client.channel.unary_unary(INFER)(message, metadata=client.metadata, wait_for_ready=True)
    return caught.value.code().name, caught.value.details(), dict(caught.value.trailing_metadata())


def told(answer: Any) -> dict[str, Any]:
    """What a stream's answer says of an error."""
    parameters = answer.infer_response.parameters
    return {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in parameters.items()}


def test_a_limit_is_reached_and_the_caller_is_told_when_to_ask_again(worker: WorkerProcess) -> None:
    client = client_of(worker, "flj_five")
    assert [failure(client.raw, INFER, fraud(rows=rows))[0] for rows in (1, 4)] == ["OK", "OK"]
    code, says, trailing = refusal(client, fraud(rows=3))
    assert (code, says) == ("RESOURCE_EXHAUSTED", "token 'tok_five' may ask for 1/h burst 5")
    seconds = int(trailing["retry-after"])
    assert (trailing["falaj-code"], trailing["grpc-retry-pushback-ms"]) == ("rate_limited", str(1000 * seconds))
    assert trailing["falaj-hint-bin"].startswith(f"try again in {seconds} s".encode())
    assert 0 < seconds <= 3 * 3600
    assert failure(client.call, "ModelMetadata", name="fraud")[0] == "RESOURCE_EXHAUSTED"
    assert failure(client_of(worker).raw, INFER, fraud())[0] == "OK"
    client.close()


def test_each_message_of_a_stream_counts_and_a_reached_limit_does_not_end_it(worker: WorkerProcess) -> None:
    client = client_of(worker, "flj_four")
    answers = client.stream([fraud(id=str(number)) for number in range(6)])
    assert [bool(answer.error_message) for answer in answers] == [False] * 4 + [True] * 2
    assert told(answers[0]).keys() == {"request_ids", "variant", "defaulted"}
    for answer in answers[4:]:
        parameters = told(answer)
        assert (answer.error_message, parameters["falaj-code"]) == (
            "token 'tok_four' may ask for 1/h burst 4", "rate_limited",
        )  # fmt: skip
        assert parameters["falaj-hint"].startswith(f"try again in {parameters['retry-after']} s")
    client.close()


def test_a_limit_holds_exactly_over_calls_streams_and_http_at_once(worker: WorkerProcess) -> None:
    clients = [client_of(worker, "flj_calls") for _ in range(3)]

    def ask_once(number: int) -> list[str]:
        client = clients[number % 3]
        if number % 3 == 0:
            return [failure(client.raw, INFER, fraud())[0]]
        if number % 3 == 1:
            errors = [answer.error_message for answer in client.stream([fraud()] * 2)]
            return ["RESOURCE_EXHAUSTED" if error else "OK" for error in errors]
        status, _ = call(worker.port, "POST", HTTP, ask("c1", 10.0), "flj_calls")
        return [{200: "OK", 429: "RESOURCE_EXHAUSTED"}[status]]

    with ThreadPoolExecutor(6) as pool:
        counted = Counter(code for codes in pool.map(ask_once, range(36)) for code in codes)
    assert counted == {"OK": 20, "RESOURCE_EXHAUSTED": 28}
    for client in clients:
        client.close()


def test_the_tokens_of_a_tenant_share_its_limit_over_both_protocols(worker: WorkerProcess) -> None:
    left, right = client_of(worker, "flj_left"), client_of(worker, "flj_right")
    assert [failure(client.raw, INFER, fraud())[0] for client in (left, right, left)] == ["OK"] * 3
    assert [not answer.error_message for answer in right.stream([fraud(), fraud()])] == [True, True]
    assert call(worker.port, "POST", HTTP, ask("c1", 10.0), "flj_left")[0] == 200
    for client in (left, right):
        code, says, trailing = refusal(client, fraud())
        assert (code, says) == ("RESOURCE_EXHAUSTED", "tenant 'shop' may ask for 1/h burst 6")
        assert int(trailing["retry-after"]) > 0
        client.close()
    assert call(worker.port, "POST", HTTP, ask("c1", 10.0), "flj_right")[0] == 429


def test_what_waits_past_its_deadline_is_refused_and_not_computed(worker: WorkerProcess) -> None:
    before = metric(worker, "falaj_late_rows_total"), metric(worker, "falaj_log_records_total")
    client = client_of(worker)
    code, says, trailing = refusal(client, fraud(model_name="hurried"))
    assert (code, trailing["falaj-code"]) == ("DEADLINE_EXCEEDED", "timeout")
    assert says == "the request's deadline passed while it waited"
    answers = client.stream([fraud(model_name="hurried"), fraud(id="in time")])
    assert [told(answer).get("falaj-code") for answer in answers] == ["timeout", None]
    hurried = client_of(worker, falaj_deadline_ms="1")
    many = fraud(rows=4000)  # which takes far longer than a millisecond to read
    assert refusal(hurried, many)[2]["falaj-code"] == "timeout"
    assert [told(answer)["falaj-code"] for answer in hurried.stream([many, many])] == ["timeout", "timeout"]
    patient = client_of(worker, falaj_deadline_ms="60000")
    assert failure(patient.raw, INFER, fraud(model_name="hurried"))[0] == "OK"  # it said itself how long it waits
    after = metric(worker, "falaj_late_rows_total"), metric(worker, "falaj_log_records_total")
    assert (after[0] - before[0], after[1] - before[1]) == (2 + 3 * 4000, 2)
    for one in (client, hurried, patient):
        one.close()


def test_a_tester_chooses_the_variant_and_an_application_may_not(worker: WorkerProcess) -> None:
    tester, client = client_of(worker, OWNER, falaj_variant="candidate"), client_of(worker, falaj_variant="candidate")
    chosen = [answered(tester.raw(INFER, fraud())), *(one.infer_response for one in tester.stream([fraud()] * 2))]
    assert {(one.model_version, one.parameters["variant"].string_param) for one in chosen} == {("2", "candidate")}
    code, says, trailing = refusal(client, fraud())
    assert (code, trailing["falaj-code"]) == ("PERMISSION_DENIED", "access_denied")
    assert "endpoint.predict_variant" in says
    (answer,) = client.stream([fraud()])
    assert told(answer)["falaj-code"] == "access_denied"
    unknown = client_of(worker, OWNER, falaj_variant="challenger")
    code, says, trailing = refusal(unknown, fraud())
    assert (code, says) == ("NOT_FOUND", "endpoint 'fraud' has no live variant 'challenger'")
    assert trailing["falaj-hint-bin"] == b"its variants: champion, candidate"
    assert metric(worker, 'role="test"') > 0
    for one in (tester, client, unknown):
        one.close()


def test_malformed_messages_cost_what_they_are_and_end_no_stream(worker: WorkerProcess) -> None:
    client = client_of(worker, traceparent="00-zz")  # what is no trace is as if it were not there
    bad = [b"\xff", b"\x08", fraud(inputs=[]), fraud(raw_input_contents=[b"\x01"]), fraud(model_name="")]
    for message in bad:
        assert failure(client.raw, INFER, message)[0] in ("INVALID_ARGUMENT", "NOT_FOUND"), message
    answers = client.stream([*bad, fraud(id="good")])
    assert [told(answer).get("falaj-code") for answer in answers[:2]] == ["input_invalid"] * 2
    assert [bool(answer.error_message) for answer in answers] == [True] * len(bad) + [False]
    client.close()


def test_traces_and_lines_are_those_of_the_records(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.publish(route(project.variant(1)))
    http_port, grpc_port = free_ports(2)
    collector = Webhook(http_port)
    collector.start()
    watching = {
        "tracing": {"enabled": True, "otlp_url": f"http://127.0.0.1:{http_port}/v1/traces", "sample_ratio": 1.0},
        "access_log": {"enabled": True},
        "access_path": str(tmp_path / "access.jsonl"),
    }
    with socket.create_server(("127.0.0.1", 0)) as listening:
        worker = WorkerProcess(project, listening, grpc_port=grpc_port, watching=watching)
        client = client_of(worker)
        decided = [answered(client.raw(INFER, fraud())) for _ in range(20)]
        decided += [answer.infer_response for answer in client.stream([fraud()] * 20)]
        assert failure(client.raw, INFER, b"\xff")[0] == "INVALID_ARGUMENT"
        assert worker.end() == 0  # what waits is sent and written before it ends
        client.close()
    collector.stop()
    project.close()
    records = project.records()
    assert [record.request_id for record in records] == [one.parameters["request_ids"].string_param for one in decided]
    lines = [json.loads(line) for line in (tmp_path / "access.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["method"] == "GRPC"]
    traces = [record.trace_id for record in records]
    assert [line["trace_id"] for line in lines if line["status"] == 200] == traces
    assert [line["grpc_status"] for line in lines if line["status"] == 400] == ["INVALID_ARGUMENT"]
    spans = [s for body in collector.accepted for s in body["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    calls = [span for span in spans if span["kind"] == 2 and "Infer" in span["name"]]
    assert [span["traceId"] for span in calls][:40] == traces
    assert (len(calls), len(set(traces))) == (41, 40)


def test_silent_streams_are_ended_and_hold_up_nobody(project: Project) -> None:
    with running(project, "gateway-1", limits={"idle_timeout_s": 0.5}) as worker:
        client, done = client_of(worker), threading.Event()

        def messages() -> Iterator[bytes]:
            yield fraud(id="only")
            done.wait()

        open_one = client.channel.stream_stream(STREAM)
        streams = [open_one(messages(), metadata=client.metadata, wait_for_ready=True) for _ in range(8)]
        for stream in streams:
            assert next(stream)
            assert failure(next, stream) == ("DEADLINE_EXCEEDED", "nothing was asked on the stream for 0.5 s")
        assert failure(client.raw, INFER, fraud())[0] == "OK"
        done.set()
        client.close()


def _frame(kind: int, stream: int, payload: bytes, flags: int = 0) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _literal(name: str, value: str) -> bytes:
    """A header as HPACK has it without its tables."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


HEAD = b"".join(
    _literal(*pair)
    for pair in (
        (":method", "POST"), (":scheme", "http"), (":path", INFER), (":authority", "x"), ("te", "trailers"),
        ("content-type", "application/grpc"), ("authorization", f"Bearer {TOKEN}"),
    )
)  # fmt: skip
OPENED = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, b"")
CALLED = OPENED + _frame(1, 1, HEAD, 4)
ASKED = b"\0" + len(fraud(rows=2000)).to_bytes(4) + fraud(rows=2000)
DRIPS = {
    "a head": (OPENED + _frame(1, 1, HEAD, 4)[:12], b"\0"),
    "a block of headers": (OPENED + _frame(1, 1, _literal("x", "y")), _frame(9, 1, _literal("x", "y"))),
    "a message by frames": (CALLED, _frame(0, 1, b"\0")),
    "a message by bytes": (CALLED + _frame(0, 1, ASKED[:16384])[:200], b"\0"),
    "nothing": (CALLED, b""),
    "half a greeting": (OPENED[:20], b""),
}
"""What a client begins with, and then sends a piece of now and then."""


class Dripping:
    """One client that sends a piece now and then."""

    def __init__(self, port: int, first: bytes, more: bytes) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.connection.sendall(first)
        self.said = b""
        self.ended = False
        self._more = more

    def drip(self) -> None:
        """Read what there is, and send a piece more."""
        try:
            while not self.ended and select.select([self.connection], [], [], 0)[0]:
                came = self.connection.recv(65536)
                self.said += came
                self.ended = not came
            if not self.ended:
                self.connection.sendall(self._more)
        except ConnectionError:
            self.ended = True


def test_clients_that_drip_are_ended_and_hold_up_nobody(project: Project) -> None:
    limits = {"request_timeout_s": 1.0, "idle_timeout_s": 1.0, "min_body_rate": 1000.0}
    with running(project, "gateway-2", limits=limits) as worker, contextlib.ExitStack() as stack:
        client = client_of(worker)
        assert failure(client.raw, INFER, fraud())[0] == "OK"
        clients = {name: Dripping(worker.grpc_port, *pieces) for name, pieces in DRIPS.items()}
        for one in clients.values():
            stack.enter_context(one.connection)

        def all_ended() -> bool:
            for one in clients.values():
                one.drip()
            assert failure(client.raw, INFER, fraud())[0] == "OK"
            return all(one.ended for one in clients.values())

        until(all_ended, "an end to each of them", within_s=40)
        # Who goes on sending may lose what it is told to the reset that it gets for that.
        assert b"a message came too slowly" in clients["nothing"].said
        client.close()


def test_a_message_that_comes_slowly_but_fast_enough_is_answered(project: Project) -> None:
    with running(project, "gateway-3", limits={"request_timeout_s": 0.5}) as worker:
        client = client_of(worker)
        assert failure(client.raw, INFER, fraud())[0] == "OK"
        client.close()
        with socket.create_connection(("127.0.0.1", worker.grpc_port), timeout=20) as connection:
            connection.sendall(CALLED)
            began_s, left = time.monotonic(), ASKED

            def send() -> bool:
                nonlocal left
                connection.sendall(_frame(0, 1, left[:1000]))
                left = left[1000:]
                return time.monotonic() > began_s + 2.0  # four times what a small message may take

            until(send, "two seconds of it", every_s=0.1)
            connection.sendall(_frame(0, 1, left[:9000]) + _frame(0, 1, left[9000:], 1))
            answer = b""
            while b"request_ids" not in answer:
                came = connection.recv(65536)
                assert came, answer
                answer += came
