"""Bare models: any tensors in and out, each datatype, logged by digest, counted, and refused by name."""

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.serving.data_plane import RAW
from falaj.serving.inference import InferenceAnswer, InferenceRequest
from falaj.serving.intake import Receipt
from falaj.serving.tensors import BYTES, NUMPY, Tensor, to_bytes
from support.onnx_models import TYPES, add_any_file, identity_file, simple_file
from support.serving_world import World, route, tensor_route


@pytest.fixture
def world() -> World:
    return World(
        route(),
        tensor_route("simple", simple_file(), 3),
        tensor_route("identity", identity_file()),
        tensor_route("add", add_any_file()),
    )


def given_input(name: str, data: Any, datatype: str = "INT32", shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [1, 16], "data": data}


ONE, TWO = given_input("INPUT0", list(range(16))), given_input("INPUT1", [1] * 16)


def test_the_simple_model_adds_and_subtracts(world: World) -> None:
    status, answer = world.call("POST", "/v2/models/simple/infer", {"inputs": [ONE, TWO], "id": "mine"})
    assert (status, answer["model_name"], answer["model_version"], answer["id"]) == (200, "simple", "3", "mine")
    assert [(o["name"], o["datatype"], o["shape"]) for o in answer["outputs"]] == [
        ("OUTPUT0", "INT32", [1, 16]), ("OUTPUT1", "INT32", [1, 16]),
    ]  # fmt: skip
    assert answer["outputs"][0]["data"] == [n + 1 for n in range(16)]
    assert answer["outputs"][1]["data"] == [n - 1 for n in range(16)]
    asked = {"inputs": [ONE, TWO], "outputs": [{"name": "OUTPUT1"}]}
    status, answer = world.call("POST", "/v2/models/simple/versions/3/infer", asked)
    assert [o["name"] for o in answer["outputs"]] == ["OUTPUT1"]


def test_it_is_described_like_any_model(world: World) -> None:
    shape = {"datatype": "INT32", "shape": [1, 16]}
    assert world.call("GET", "/v2/models/simple")[1] == {
        "name": "simple", "versions": ["3"], "platform": "onnxruntime_onnx",
        "inputs": [{"name": "INPUT0"} | shape, {"name": "INPUT1"} | shape],
        "outputs": [{"name": "OUTPUT0"} | shape, {"name": "OUTPUT1"} | shape],
    }  # fmt: skip
    assert world.call("GET", "/v2/models/simple/ready") == (200, {"name": "simple", "ready": True})
    assert world.call("GET", "/v2/models/simple/versions/1")[0] == 404
    names = [entry["name"] for entry in world.call("POST", "/v2/repository/index")[1]]
    assert names == ["add", "fraud", "identity", "simple"]
    identity = world.call("GET", "/v2/models/identity")[1]
    assert [(i["datatype"], i["shape"]) for i in identity["inputs"]] == [(name, [-1, -1]) for name in TYPES]


def test_the_log_has_digests_and_shapes_and_no_data(world: World) -> None:
    answer = world.call("POST", "/v2/models/simple/infer", {"inputs": [ONE, TWO], "id": "mine"})[1]
    (record,) = world.sink.records
    assert (record.endpoint, record.model, record.version, record.client_id, record.actor) == (
        "simple", "simple", 3, "mine", "app",
    )  # fmt: skip
    assert (record.features, record.score, record.error) == ([], None, "")
    assert answer["parameters"]["request_ids"] == record.request_id
    sent = np.arange(16, dtype="<i4").tobytes()
    told = {"datatype": "INT32", "shape": [1, 16], "sha256": hashlib.sha256(sent).hexdigest()}
    assert record.request["inputs"]["INPUT0"] == told
    got = np.array(answer["outputs"][0]["data"], "<i4").tobytes()
    assert record.request["outputs"]["OUTPUT0"]["sha256"] == hashlib.sha256(got).hexdigest()


def test_it_counts_like_any_model(world: World) -> None:
    world.call("POST", "/v2/models/simple/infer", {"inputs": [ONE, TWO]})
    world.call("POST", "/v2/models/add/infer", {"inputs": misfit()})
    counts = {s.endpoint: (s.version, s.requests, s.errors) for s in world.stats.series}
    assert counts == {"simple": (3, 1, 0), "add": (1, 1, 1)}


def misfit() -> list[dict[str, Any]]:
    return [given_input("x", [1, 2], "FP32", [2]), given_input("y", [1, 2, 3], "FP32", [3])]


def test_what_the_model_refuses_is_bad_input_and_is_logged(world: World) -> None:
    status, answer = world.call("POST", "/v2/models/add/infer", {"inputs": misfit()})
    assert (status, answer["error"].startswith("the model refused the inputs")) == (400, True)
    assert [(r.error, r.request["outputs"]) for r in world.sink.records] == [("input_invalid", {})]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"inputs": [ONE]}, 400, "input 'INPUT1' (INT32 [1, 16]) is missing"),
        ({"inputs": [ONE, ONE]}, 400, "stands twice"),
        ({"inputs": [ONE, TWO, given_input("INPUT2", [1] * 16)]}, 400, "input 'INPUT2' does not exist"),
        ({"inputs": [ONE, given_input("INPUT1", [1.0] * 16, "FP32")]}, 400, "must be INT32, got FP32"),
        (
            {"inputs": [ONE, given_input("INPUT1", [1] * 16, shape=[16])]},
            400,
            "shape [16], and the model takes [1, 16]",
        ),
        ({"inputs": [ONE, given_input("INPUT1", [1] * 32, shape=[2, 16])]}, 400, "has shape [2, 16]"),
        ({"inputs": [ONE, given_input("INPUT1", [None] * 16)]}, 400, "holds null"),
        ({"inputs": [ONE, TWO], "outputs": [{"name": "OUT"}]}, 400, "output 'OUT' does not exist"),
        ({"inputs": [ONE, TWO], "outputs": [{"name": "OUTPUT0"}] * 2}, 400, "asked for twice"),
    ],
)
def test_bad_tensors_are_named(world: World, body: Any, status: int, said: str) -> None:
    found, answer = world.call("POST", "/v2/models/simple/infer", body)
    assert said in answer["error"]
    assert (found, world.sink.records) == (status, [])


def test_it_decides_on_no_entities(world: World) -> None:
    status, answer = world.predict({}, "simple")
    assert (status, answer["code"]) == (501, "unsupported")
    assert "POST /v2/models/simple/infer" in answer["hint"]


def test_a_token_needs_its_name(world: World) -> None:
    path = "/v2/models/simple/infer"
    assert world.call("POST", path, {"inputs": [ONE, TWO]}, token="flj_narrow")[0] == 403
    assert world.call("POST", path, {"inputs": [ONE, TWO]}, token=None)[0] == 401


def test_a_changed_model_is_used_and_an_absent_one_is_gone(world: World) -> None:
    world.publish(route(), tensor_route("simple", add_any_file(), 4))
    assert world.call("GET", "/v2/models/simple")[1]["versions"] == ["4"]
    world.publish(route())
    assert world.call("GET", "/v2/models/simple")[0] == 404


@st.composite
def every_tensor(draw: st.DrawFn) -> list[Tensor]:
    shape = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    tensors = []
    for datatype in TYPES:
        if datatype == BYTES:
            texts = draw(st.lists(st.text(st.characters(codec="utf-8")), min_size=9, max_size=9))
            values = np.empty(shape[0] * shape[1], object)
            values[:] = [text.encode() for text in texts[: values.size]]
            values = values.reshape(shape)
        else:
            width = NUMPY[datatype].itemsize * shape[0] * shape[1]
            raw = draw(st.binary(min_size=width, max_size=width))
            values = np.frombuffer(bytes(b & 1 for b in raw) if datatype == "BOOL" else raw, NUMPY[datatype])
            values = values.reshape(shape)
        tensors.append(Tensor(f"in_{datatype}", datatype, values))
    return tensors


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(every_tensor())
def test_every_datatype_comes_back_bit_for_bit(world: World, sent: list[Tensor]) -> None:
    got: list[Any] = []
    receipt = Receipt(world.now_us, world.clock.monotonic(), "app")
    world.plane.infer("identity" + RAW, "", InferenceRequest(sent), receipt, None, got.append)
    (answer,) = got
    assert isinstance(answer, InferenceAnswer)
    for before, after in zip(sent, answer.outputs, strict=True):
        assert (before.datatype, before.values.shape) == (after.datatype, after.values.shape)
        assert to_bytes(before) == to_bytes(after)
