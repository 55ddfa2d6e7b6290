"""Triton's own client and the calls of its example programs: a bare model from file to removal, and cards."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from support.falaj_project import FalajProject
from support.onnx_models import add_any_file, simple_file
from support.tour import NOW
from support.trained import copied, made_once, make_serving, officer
from support.waiting import until


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FalajProject]:
    """One running project, in which the `simple` model serves."""
    serving = made_once(tmp_path_factory, "serving", make_serving)
    with copied(serving, tmp_path_factory.mktemp("triton") / "project") as project:
        project.up()
        deploy(project, "simple", simple_file())
        yield project


@pytest.fixture
def client(up: FalajProject) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{up.gateway_port}") as made:
        yield made


def deploy(project: FalajProject, name: str, file: bytes) -> int:
    path = project.folder / f"{name}.onnx"
    path.write_bytes(file)
    version = int(project.json("models", "add", str(path), "--name", name)["version"])
    assert project.json("deploy", name)["state"] == "waits for approval"
    own = project.refused("approve", name, str(version))
    assert own["code"] == "access_denied"
    project.json("approve", name, str(version), token=officer(project))
    until(lambda: project.gateway("GET", f"/v2/models/{name}/versions/{version}").status == 200, "it serves")
    return version


def headers(project: FalajProject) -> dict[str, str]:
    return {"authorization": f"Bearer {project.owner}"}


def pair(*, binary: bool) -> tuple[list[Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    first = np.arange(16, dtype=np.int32).reshape(1, 16)
    second = np.full((1, 16), 7, np.int32)
    inputs = []
    for name, values in (("INPUT0", first), ("INPUT1", second)):
        inputs.append(triton.InferInput(name, [1, 16], "INT32"))
        inputs[-1].set_data_from_numpy(values, binary_data=binary)
    return inputs, first, second


def test_health_and_metadata(up: FalajProject, client: triton.InferenceServerClient) -> None:
    own = headers(up)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("simple", headers=own)
    assert client.get_server_metadata(headers=own)["name"] == "falaj"
    assert "binary_tensor_data" in client.get_server_metadata(headers=own)["extensions"]
    about = client.get_model_metadata("simple", headers=own)
    assert [i["name"] for i in about["inputs"]] == ["INPUT0", "INPUT1"]
    with pytest.raises(InferenceServerException, match=r"^\[404\] Request for unknown model: 'wrong_model_name'"):
        client.get_model_metadata("wrong_model_name", headers=own)
    assert {m["name"] for m in client.get_model_repository_index(headers=own)} >= {"simple", "fraud"}
    with pytest.raises(InferenceServerException, match="Authorization"):
        client.get_server_metadata()


@pytest.mark.parametrize("binary", [True, False])
def test_the_simple_model(up: FalajProject, client: triton.InferenceServerClient, binary: bool) -> None:
    inputs, first, second = pair(binary=binary)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("OUTPUT0", "OUTPUT1")]
    result = client.infer("simple", inputs, outputs=outputs, request_id="mine", headers=headers(up))
    assert (result.as_numpy("OUTPUT0") == first + second).all()
    assert (result.as_numpy("OUTPUT1") == first - second).all()
    assert result.get_response()["id"] == "mine"
    everything = client.infer("simple", inputs, headers=headers(up))  # no outputs named: all of them, in binary
    assert (everything.as_numpy("OUTPUT1") == first - second).all()
    mixed = [outputs[0], triton.InferRequestedOutput("OUTPUT1", binary_data=not binary)]
    result = client.infer("simple", inputs, outputs=mixed, headers=headers(up))
    assert (result.as_numpy("OUTPUT1") == first - second).all()
    statistics = client.get_inference_statistics("simple", headers=headers(up))
    assert len(statistics["model_stats"]) == 1
    assert statistics["model_stats"][0]["inference_stats"]["success"]["count"] >= 1


def test_many_at_once(up: FalajProject) -> None:
    inputs, first, second = pair(binary=True)
    with triton.InferenceServerClient(f"127.0.0.1:{up.gateway_port}", concurrency=4) as client:
        waiting = [client.async_infer("simple", inputs, headers=headers(up)) for _ in range(20)]
        assert all((one.get_result().as_numpy("OUTPUT0") == first + second).all() for one in waiting)


def test_errors_come_as_the_client_reads_them(up: FalajProject, client: triton.InferenceServerClient) -> None:
    inputs, _, _ = pair(binary=True)
    with pytest.raises(InferenceServerException, match=r"'INPUT1' .* is missing") as missing:
        client.infer("simple", inputs[:1], headers=headers(up))
    assert missing.value.status() == "400"
    wanted = [triton.InferRequestedOutput("OUTPUT0", class_count=3)]
    with pytest.raises(InferenceServerException, match="classification") as classes:
        client.infer("simple", inputs, outputs=wanted, headers=headers(up))
    assert classes.value.status() == "501"
    with pytest.raises(InferenceServerException) as unknown:
        client.infer("wrong_model_name", inputs, headers=headers(up))
    assert (unknown.value.status(), unknown.value.message().split(":")[0]) == ("404", "Request for unknown model")


@pytest.mark.parametrize("binary", [True, False])
def test_cards_and_amounts_as_tensors(up: FalajProject, client: triton.InferenceServerClient, binary: bool) -> None:
    cards = np.array(["c1", "c2", "nobody"], dtype=object)
    amounts = np.array([25.0, 900.0, 1.0], np.float32)
    inputs = [triton.InferInput("card_id", [3], "BYTES"), triton.InferInput("amount", [3, 1], "FP32")]
    inputs[0].set_data_from_numpy(cards, binary_data=binary)
    inputs[1].set_data_from_numpy(amounts.reshape(3, 1), binary_data=binary)
    result = client.infer("fraud", inputs, parameters={"at": NOW}, headers=headers(up))
    native = [up.ask(card, amount, at=NOW)["prediction"] for card, amount in (("c1", 25.0), ("c2", 900.0))]
    assert result.as_numpy("score")[:2].tolist() == native
    inputs[1] = triton.InferInput("amount", [3], "INT64")
    inputs[1].set_data_from_numpy(np.array([25, 900, 1]), binary_data=binary)
    result = client.infer("fraud", inputs, parameters={"at": NOW}, headers=headers(up))
    assert result.as_numpy("score")[:2].tolist() == native
    inputs[0] = triton.InferInput("card_id", [3], "INT64")
    inputs[0].set_data_from_numpy(np.array([1, 2, 3]), binary_data=binary)
    with pytest.raises(InferenceServerException, match="must be string, got 1"):
        client.infer("fraud", inputs, headers=headers(up))


def test_a_file_serves_is_replaced_rolled_back_and_removed(up: FalajProject) -> None:
    assert deploy(up, "adder", add_any_file()) == 1
    assert up.json("models", "add", str(up.folder / "adder.onnx"), "--name", "adder")["version"] == 1  # the same file
    assert deploy(up, "adder", simple_file()) == 2
    listed = {(v["model"], v["version"]): v for v in up.json("models", "list", "adder")}
    assert [v["stage"] for v in listed.values()] == ["production", "development"]
    assert listed["adder", 2]["reason"] == "added from adder.onnx"
    assert up.refused("models", "remove", "adder")["code"] == "in_use"
    assert up.refused("models", "remove", "adder", "--version", "1")["code"] == "in_use"
    assert up.json("rollback", "adder")["serves"] == [1]
    until(lambda: up.gateway("GET", "/v2/models/adder/versions/1").status == 200, "version 1 serves")
    body = {"inputs": [{"name": n, "datatype": "FP32", "shape": [1], "data": [2]} for n in "xy"]}
    answer = up.gateway("POST", "/v2/models/adder/infer", body).json()
    why = up.json("why", answer["parameters"]["request_ids"])
    assert (why["model"], why["version"], why["score"], why["approved_by"]) == ("adder", 1, None, ["officer"])
    told = {"datatype": "FP32", "shape": [1], "sha256": hashlib.sha256(np.array([4], "<f4").tobytes()).hexdigest()}
    assert why["request"]["outputs"] == {"z": told}
    up.json("undeploy", "adder")
    until(lambda: up.gateway("GET", "/v2/models/adder").status == 404, "it is gone")
    assert up.json("models", "remove", "adder")["versions"] == [1, 2]
    assert up.refused("models", "remove", "adder")["code"] == "not_found"
    assert up.refused("deploy", "adder")["code"] == "not_found"
    assert up.json("models", "add", str(up.folder / "adder.onnx"), "--name", "adder")["version"] == 3
    actions = [record["action"] for record in up.json("audit", "list", "--resource", "adder/2")]
    assert {"model.register", "model.remove"} <= set(actions)


def test_the_rest_of_falaj_goes_on_beside_a_bare_model(up: FalajProject) -> None:
    inputs, _, _ = pair(binary=False)
    with triton.InferenceServerClient(f"127.0.0.1:{up.gateway_port}") as client:
        client.infer("simple", inputs, headers=headers(up))
    up.ask("c1", 25.0, at=NOW)
    status = up.json("status")
    assert {endpoint["name"] for endpoint in status["endpoints"]} >= {"fraud", "simple"}
    assert ("simple", "production") in {(version["model"], version["stage"]) for version in status["versions"]}
    assert up.control("GET", "/").status == 200
    assert up.run("features", "verify").err == ""
    assert up.falaj("plan").out == "nothing would change\n"
    up.json("models", "show", "simple", "1")
    assert up.refused("predict", "simple")["code"] == "unsupported"
    assert up.refused("train", "simple")["code"] == "not_found"
    assert [m for m in up.json("models", "list") if m["model"] == "fraud"]
    up.json("monitor", "fraud")
    predictions = up.gateway("GET", "/metrics").text
    assert 'falaj_predictions_total{endpoint="simple"' in predictions


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [(b"no model", "other", "data_invalid"), (None, "other", "input_invalid"), (simple_file(), "fraud", "conflict")],
)
def test_what_cannot_be_added_is_named(
    up: FalajProject, tmp_path: Path, content: bytes | None, name: str, code: str
) -> None:
    path = tmp_path / "file.onnx"
    if content is not None:
        path.write_bytes(content)
    assert up.refused("models", "add", str(path), "--name", name)["code"] == code
