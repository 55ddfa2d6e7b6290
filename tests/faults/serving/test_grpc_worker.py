"""gRPC of a worker process: who may ask, what malformed messages do, and what restarts under load lose."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.serving.grpc.messages import HEALTH, INFERENCE, SERVICES
from support.falaj_project import free_ports
from support.gateway_process import Project, WorkerProcess, call
from support.grpc_client import INFER, MESSAGES, RawClient, answered, failure, fraud
from support.serving_world import OWNER, route
from support.waiting import until

PUBLIC = {f"/{INFERENCE}/ServerLive", f"/{INFERENCE}/ServerReady", f"/{HEALTH}/Check", f"/{HEALTH}/Watch"}
METHODS = {f"/{s.full_name}/{m.name}": m for s in MESSAGES.services() for m in s.methods}
MINE = {"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "DATA_LOSS"}
"""What a caller's mistake must never be answered with."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    project.publish(route(project.variant(1)), project.bare_route())
    yield project
    project.close()


@pytest.fixture(scope="module")
def worker(trained: Project) -> Iterator[WorkerProcess]:
    """One worker for all tests that leave it as it was; it must still live at the end, without a fault."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        (port,) = free_ports(1)
        worker = WorkerProcess(trained, listening, grpc_port=port, limits={"max_body_bytes": 1 << 20})
        try:
            yield worker
            metrics = call(worker.port, "GET", "/metrics", token=OWNER)[1]
            assert "falaj_faults_total 0\n" in metrics
            assert worker.end() == 0
        finally:
            worker.process.kill()


@pytest.fixture(scope="module")
def client(worker: WorkerProcess) -> Iterator[RawClient]:
    made = RawClient(worker.grpc_port)
    yield made
    made.close()


def test_every_method_but_health_needs_a_token(worker: WorkerProcess) -> None:
    assert len(METHODS) > 10
    client = RawClient(worker.grpc_port, token=None)
    wrong = RawClient(worker.grpc_port, token="flj_wrong")
    for path, method in METHODS.items():
        for who in (client, wrong):
            code, says = failure(_first, who, path, method)
            assert code == ("OK" if path in PUBLIC else "UNAUTHENTICATED"), (path, code, says)
    assert failure(client.raw, f"/{INFERENCE}/Nothing", b"")[0] == "UNIMPLEMENTED"
    client.close()
    wrong.close()


def _first(client: RawClient, path: str, method: Any) -> None:
    """Call a method with an empty message and wait for its first answer."""
    more = {"metadata": client.metadata, "timeout": 10.0, "wait_for_ready": True}
    if method.client_streaming:
        assert list(client.channel.stream_stream(path)(iter([b""]), **more))
    elif method.server_streaming:
        stream = client.channel.unary_stream(path)(b"", **more)
        assert next(stream) is not None
        stream.cancel()
    else:
        client.channel.unary_unary(path)(b"", **more)


def test_a_token_reaches_as_far_as_its_scopes(worker: WorkerProcess) -> None:
    narrow = RawClient(worker.grpc_port, token="flj_narrow")  # endpoint.predict@other
    assert failure(narrow.raw, INFER, fraud())[0] == "PERMISSION_DENIED"
    assert failure(narrow.call, "ModelMetadata", name="fraud")[0] == "PERMISSION_DENIED"
    (streamed,) = narrow.stream([fraud()])
    assert "may not do" in streamed.error_message or "does not cover" in streamed.error_message
    narrow.close()
    app = RawClient(worker.grpc_port)
    code, says = failure(app.raw, INFER, fraud(parameters={"at": {"string_param": "2026-01-01T00:00:00Z"}}))
    assert (code, "predict_at" in says) == ("PERMISSION_DENIED", True)
    app.close()


def test_errors_carry_their_code_and_hint(client: RawClient) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.call("ModelMetadata", name="frod")
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'frod' is not found",
    )  # fmt: skip
    trailing = dict(caught.value.trailing_metadata())
    assert trailing["falaj-code"] == "not_found"
    assert b"fraud" in trailing["falaj-hint-bin"]
    assert client.call("ModelReady", name="frod").ready is False
    assert client.call("ModelReady", name="fraud").ready is True


def test_the_same_scores_as_over_http(worker: WorkerProcess, client: RawClient) -> None:
    for card, amount in ((b"c1", 10.0), (b"nobody", 3.5)):
        answer = answered(client.raw(INFER, fraud(amount, "mine", card)))
        body = {"entities": {"card_id": card.decode()}, "request": {"amount": amount}}
        status, native = call(worker.port, "POST", "/v1/endpoints/fraud/predict", body)
        assert status == 200
        assert np.frombuffer(answer.raw_output_contents[0], np.float64).tolist() == [native["prediction"]]
        assert (answer.id, answer.model_version) == ("mine", "1")
    answers = client.stream([fraud(1.0, "a"), fraud(1.0, model_name="no"), b"\xff", fraud(1.0, "d")])
    assert [one.infer_response.id for one in answers] == ["a", "", "", "d"]
    assert [bool(one.error_message) for one in answers] == [False, True, True, False]


def test_features_themselves_are_scored(client: RawClient) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    sent = {"name": "in", "datatype": "FP32", "shape": [3, 2]}
    message = MESSAGES.make(
        "inference.ModelInferRequest", model_name="bare:raw", inputs=[sent], raw_input_contents=[rows.tobytes()]
    )
    answer = answered(client.raw(INFER, message.SerializeToString()))
    assert list(answer.outputs[0].shape) == [3]


def test_health_is_told_to_a_real_client_and_watched(worker: WorkerProcess) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{worker.grpc_port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", *SERVICES):
            request = health_pb2.HealthCheckRequest(service=name)
            assert health.Check(request).status == health_pb2.HealthCheckResponse.SERVING
        unknown = health_pb2.HealthCheckRequest(service="other")
        assert failure(health.Check, unknown)[0] == "NOT_FOUND"
        assert next(health.Watch(unknown)).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def test_watchers_need_no_token_and_so_have_a_bound(worker: WorkerProcess) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{worker.grpc_port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch
        open_ones = [watch(health_pb2.HealthCheckRequest()) for _ in range(100)]
        assert all(next(one).status for one in open_ones)
        assert failure(next, watch(health_pb2.HealthCheckRequest()))[0] == "UNAVAILABLE"
        for one in open_ones:
            one.cancel()
        until(lambda: failure(next, watch(health_pb2.HealthCheckRequest()))[0] == "OK", "the places are free again")


def test_reflection_tells_a_real_client_everything(worker: WorkerProcess) -> None:
    class WithToken(grpc.StreamStreamClientInterceptor):  # type: ignore[misc]
        def intercept_stream_stream(self, go_on: Any, details: Any, requests: Any) -> Any:
            return go_on(details._replace(metadata=[("authorization", f"Bearer {OWNER}")]), requests)

    with grpc.insecure_channel(f"127.0.0.1:{worker.grpc_port}") as channel:
        database = ProtoReflectionDescriptorDatabase(grpc.intercept_channel(channel, WithToken()))
        assert set(database.get_services()) == set(SERVICES)
        pool = DescriptorPool(database)
        for name in SERVICES:
            ours = MESSAGES.service(name)
            told = pool.FindServiceByName(name)
            assert [m.name for m in told.methods] == [m.name for m in ours.methods]
            assert told.file.serialized_pb == ours.file.serialized_pb
        with pytest.raises(KeyError):
            pool.FindMessageTypeByName("inference.Nothing")


def test_malformed_requests_are_refused_by_name(client: RawClient) -> None:
    x = {"name": "amount", "datatype": "FP64", "shape": [1]}
    for fields, says in (
        ({"raw_input_contents": [b"\x01"], "inputs": [x]}, "needs 8 bytes, and there are 1"),
        ({"inputs": [x | {"shape": [2**40]}]}, "needs 1099511627776 values"),
        ({"inputs": [x | {"datatype": "FLOAT"}]}, "'FLOAT' does not exist"),
        ({"inputs": [x | {"contents": {"fp64_contents": [1.0]}}]}, "'card_id'"),
        ({"inputs": [], "model_version": "9"}, ""),
    ):
        code, told = failure(client.raw, INFER, fraud(**fields))
        assert code in ("INVALID_ARGUMENT", "NOT_FOUND"), (fields, code)
        assert says in told
    assert failure(client.raw, INFER, bytes(2 << 20))[0] == "RESOURCE_EXHAUSTED"
    bomb = client.channel.unary_unary(INFER)
    compressed = {"metadata": client.metadata, "timeout": 20.0, "compression": grpc.Compression.Gzip}
    assert failure(bomb, bytes(64 << 20), **compressed)[0] == "RESOURCE_EXHAUSTED"


VALID = [fraud(), fraud(5.0, "x", parameters={"unit": {"string_param": "u"}})]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid message with some bytes replaced, removed or added."""
    raw = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(raw)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(sorted(METHODS)), raw=st.binary(max_size=64) | damaged())
def test_no_bytes_are_a_fault_of_ours(client: RawClient, path: str, raw: bytes) -> None:
    method = METHODS[path]
    if method.server_streaming and not method.client_streaming:
        return  # it answers without end
    if method.client_streaming:
        stream = client.channel.stream_stream(path)(iter([raw]), metadata=client.metadata, timeout=20.0)
        code, says = failure(list, stream)
    else:
        code, says = failure(client.raw, path, raw)
    assert code not in MINE, (code, says)


def test_a_drain_answers_what_streams_asked_and_says_why_they_end(tmp_path_factory: pytest.TempPathFactory) -> None:
    project = Project(tmp_path_factory.mktemp("drain"))
    project.publish(route(project.variant(1)))
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        worker = WorkerProcess(project, listening, grpc_port=port)
        client = RawClient(port)
        assert client.raw(INFER, fraud())
        asking = threading.Event()

        def messages() -> Iterator[bytes]:
            yield fraud(1.0, "first")
            asking.wait()

        stream = client.channel.stream_stream(f"/{INFERENCE}/ModelStreamInfer")(messages(), metadata=client.metadata)
        watch = client.channel.unary_stream(f"/{HEALTH}/Watch")(b"")
        next(watch)
        kind = MESSAGES.type("inference.ModelStreamInferResponse")
        assert kind.FromString(next(stream)).infer_response.id == "first"
        assert worker.end() == 0
        assert failure(next, stream) == ("UNAVAILABLE", "the gateway drains")
        statuses = [MESSAGES.type("grpc.health.v1.HealthCheckResponse").FromString(raw).status for raw in watch]
        assert statuses in ([], [2])
        asking.set()
        client.close()
    project.close()


def test_tls_as_the_http_server_speaks_it(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "chain.pem"]
    subprocess.run([*words, *names], cwd=tmp_path, check=True, capture_output=True)
    project = Project(tmp_path / "project")
    project.publish(route(project.variant(1)))
    (port,) = free_ports(1)
    files = {"tls_certificate": str(tmp_path / "chain.pem"), "tls_key": str(tmp_path / "key.pem")}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        worker = WorkerProcess(project, listening, grpc_port=port, **files)
        trusted = grpc.ssl_channel_credentials((tmp_path / "chain.pem").read_bytes())
        with grpc.secure_channel(f"localhost:{port}", trusted) as channel:
            token = [("authorization", f"Bearer {OWNER}")]
            raw = channel.unary_unary(INFER)(fraud(id="safe"), metadata=token, timeout=30.0, wait_for_ready=True)
            assert answered(raw).id == "safe"
        plain = RawClient(port)
        refused = plain.channel.unary_unary(f"/{INFERENCE}/ServerLive")
        assert failure(refused, b"", timeout=10.0)[0] == "UNAVAILABLE"
        plain.close()
        assert worker.end() == 0
    project.close()
