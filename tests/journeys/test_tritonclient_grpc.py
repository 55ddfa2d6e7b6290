"""Triton's own client over gRPC and the calls of its example programs, against a project as its user starts it."""

import queue
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from support.falaj_project import FalajProject, free_ports
from support.onnx_models import simple_file
from support.tour import NOW
from support.trained import copied, made_once, make_serving, officer
from support.waiting import until


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FalajProject]:
    """One running project with two workers, in which the `simple` model serves."""
    serving = made_once(tmp_path_factory, "serving", make_serving)
    with copied(serving, tmp_path_factory.mktemp("triton-grpc") / "project") as project:
        project.env["FALAJ_GATEWAY_GRPC_PORT"] = str(free_ports(1)[0])
        project.up("--workers", "2")
        path = project.folder / "simple.onnx"
        path.write_bytes(simple_file())
        project.json("models", "add", str(path), "--name", "simple")
        project.falaj("deploy", "simple")
        project.falaj("approve", "simple", "1", token=officer(project))
        until(lambda: project.gateway("GET", "/v2/models/simple").status == 200, "it serves")
        yield project


@pytest.fixture
def client(up: FalajProject) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address(up)) as made:
        until(lambda: made.is_model_ready("simple", headers=headers(up)), "the worker that was met serves it")
        yield made


def address(project: FalajProject) -> str:
    return f"127.0.0.1:{project.env['FALAJ_GATEWAY_GRPC_PORT']}"


def headers(project: FalajProject) -> dict[str, str]:
    return {"authorization": f"Bearer {project.owner}"}


def pair() -> tuple[list[Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    first = np.arange(16, dtype=np.int32).reshape(1, 16)
    second = np.full((1, 16), 7, np.int32)
    inputs = []
    for name, values in (("INPUT0", first), ("INPUT1", second)):
        inputs.append(triton.InferInput(name, [1, 16], "INT32"))
        inputs[-1].set_data_from_numpy(values)
    return inputs, first, second


def test_health_and_metadata(up: FalajProject, client: triton.InferenceServerClient) -> None:
    own = headers(up)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert not client.is_model_ready("wrong_model_name", headers=own)
    assert client.get_server_metadata(headers=own).name == "falaj"
    about = client.get_model_metadata("simple", headers=own)
    assert [(i.name, i.datatype, list(i.shape)) for i in about.inputs] == [
        ("INPUT0", "INT32", [1, 16]),
        ("INPUT1", "INT32", [1, 16]),
    ]
    assert client.get_model_metadata("fraud", as_json=True, headers=own)["outputs"][0]["name"] == "score"
    with pytest.raises(InferenceServerException, match="Request for unknown model: 'wrong_model_name'") as missing:
        client.get_model_metadata("wrong_model_name", headers=own)
    assert missing.value.status() == "StatusCode.NOT_FOUND"
    assert {m.name for m in client.get_model_repository_index(headers=own).models} >= {"simple", "fraud"}
    with pytest.raises(InferenceServerException, match="Authorization"):
        client.get_server_metadata()
    with pytest.raises(InferenceServerException) as config:
        client.get_model_config("simple", headers=own)
    assert config.value.status() == "StatusCode.UNIMPLEMENTED"
    with grpc.insecure_channel(address(up)) as channel:
        asked = health_pb2.HealthCheckRequest(service="inference.GRPCInferenceService")
        assert health_pb2_grpc.HealthStub(channel).Check(asked).status == health_pb2.HealthCheckResponse.SERVING


def test_the_simple_model(up: FalajProject, client: triton.InferenceServerClient) -> None:
    inputs, first, second = pair()
    outputs = [triton.InferRequestedOutput(name) for name in ("OUTPUT0", "OUTPUT1")]
    result = client.infer("simple", inputs, outputs=outputs, request_id="mine", headers=headers(up))
    assert (result.as_numpy("OUTPUT0") == first + second).all()
    assert (result.as_numpy("OUTPUT1") == first - second).all()
    assert result.get_response().id == "mine"
    second_only = client.infer("simple", inputs, outputs=outputs[1:], model_version="1", headers=headers(up))
    assert (second_only.as_numpy("OUTPUT1") == first - second).all()
    assert second_only.as_numpy("OUTPUT0") is None
    statistics = client.get_inference_statistics("simple", headers=headers(up))
    assert statistics.model_stats[0].inference_stats.success.count >= 2
    assert {one.name for one in client.get_inference_statistics(headers=headers(up)).model_stats} >= {"simple", "fraud"}


def test_asynchronous_calls(up: FalajProject, client: triton.InferenceServerClient) -> None:
    inputs, first, second = pair()
    done: queue.Queue[tuple[Any, Any]] = queue.Queue()
    for _ in range(20):
        client.async_infer("simple", inputs, lambda result, error: done.put((result, error)), headers=headers(up))
    for _ in range(20):
        result, error = done.get(timeout=30)
        assert error is None
        assert (result.as_numpy("OUTPUT0") == first + second).all()


def test_a_stream_answers_in_order_and_goes_on_after_an_error(
    up: FalajProject, client: triton.InferenceServerClient
) -> None:
    inputs, first, second = pair()
    done: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: done.put((result, error)), headers=headers(up))
    for number in range(100):
        model = "wrong_model_name" if number == 50 else "simple"
        client.async_stream_infer(model, inputs, request_id=str(number))
    for number in range(100):
        result, error = done.get(timeout=30)
        if number == 50:
            assert "Request for unknown model: 'wrong_model_name' is not found" in str(error)
            continue
        assert (error, result.get_response().id) == (None, str(number))
        assert (result.as_numpy("OUTPUT1") == first - second).all()
    client.stop_stream()


def test_typed_contents_as_the_explicit_examples_send_them(up: FalajProject) -> None:
    request = service_pb2.ModelInferRequest(model_name="simple", id="explicit")
    for name in ("INPUT0", "INPUT1"):
        request.inputs.add(name=name, datatype="INT32", shape=[1, 16]).contents.int_contents.extend(range(16))
    with grpc.insecure_channel(address(up)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        metadata = list(headers(up).items())
        until(
            lambda: stub.ModelReady(service_pb2.ModelReadyRequest(name="simple"), metadata=metadata).ready, "it serves"
        )
        answer = stub.ModelInfer(request, metadata=metadata)
        sums = np.frombuffer(answer.raw_output_contents[0], np.int32)
        assert (answer.outputs[0].name, sums.tolist()) == ("OUTPUT0", [2 * i for i in range(16)])
        request.parameters["binary_data_output"].bool_param = False
        typed = stub.ModelInfer(request, metadata=metadata)
        assert list(typed.outputs[0].contents.int_contents) == sums.tolist()


def test_cards_and_amounts_as_tensors(up: FalajProject, client: triton.InferenceServerClient) -> None:
    inputs = [triton.InferInput("card_id", [3], "BYTES"), triton.InferInput("amount", [3, 1], "FP32")]
    inputs[0].set_data_from_numpy(np.array(["c1", "c2", "nobody"], dtype=object))
    inputs[1].set_data_from_numpy(np.array([[25.0], [900.0], [1.0]], np.float32))
    result = client.infer("fraud", inputs, parameters={"at": NOW}, request_id="three", headers=headers(up))
    native = [up.ask(card, amount, at=NOW)["prediction"] for card, amount in (("c1", 25.0), ("c2", 900.0))]
    assert result.as_numpy("score")[:2].tolist() == native
    request_ids = result.get_response().parameters["request_ids"].string_param.split(",")
    assert len(request_ids) == 3
    for request_id, card in zip(request_ids, ("c1", "c2", "nobody"), strict=True):
        assert up.json("why", request_id)["entities"] == {"card_id": card}
    assert up.metric('falaj_grpc_responses_total{code="OK"}') >= 1
