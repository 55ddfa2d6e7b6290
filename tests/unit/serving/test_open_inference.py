"""The Open Inference Protocol: what its clients send and what they must get."""

from typing import Any

import pytest

from falaj import __version__
from support.serving_world import OWNER, World, bare_route, route, variant


@pytest.fixture
def world() -> World:
    world = World(route(variant("champion", 1, 9_999), variant("candidate", 2, 1)), bare_route())
    world.ingest(("c1", 2, 4.0, "AE"), ("c2", 3, 100.0, "OM"))
    return world


def tensor(name: str, datatype: str, data: Any, shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def infer(*inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"inputs": list(inputs), **more}


CARDS = tensor("card_id", "BYTES", ["c1", "c2"])
AMOUNTS = tensor("amount", "FP64", [[10.0], [1]], [2, 1])


def test_the_server_and_its_models_describe_themselves(world: World) -> None:
    server = {
        "name": "falaj",
        "version": __version__,
        "extensions": ["model_repository", "binary_tensor_data", "statistics"],
    }
    assert world.call("GET", "/v2") == world.call("GET", "/v2/") == (200, server)
    status, model = world.call("GET", "/v2/models/fraud")
    assert (status, model["name"], model["versions"], model["platform"]) == (200, "fraud", ["1", "2"], "falaj_onnx")
    assert model["inputs"] == [
        {"name": "card_id", "datatype": "BYTES", "shape": [-1]},
        {"name": "amount", "datatype": "FP64", "shape": [-1]},
    ]
    assert model["outputs"] == [{"name": "score", "datatype": "FP64", "shape": [-1]}]
    raw = world.call("GET", "/v2/models/fraud:raw/versions/2")[1]
    assert [i["datatype"] for i in raw["inputs"]] == ["INT64", "FP64", "BYTES", "FP64", "FP64"]
    for path in ("/v2/models/fraud/ready", "/v2/models/fraud/versions/2/ready"):
        assert world.call("GET", path) == (200, {"name": "fraud", "ready": True})
    index = world.call("POST", "/v2/repository/index")[1]
    assert [(m["name"], m["version"], m["state"]) for m in index] == [
        ("bare", "4", "READY"), ("fraud", "1", "READY"), ("fraud", "2", "READY"),
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/v2/models/frod", "/v2/models/fraud/versions/9", "/v2/models/frod/ready"])
def test_unknown_models_are_not_found(world: World, path: str) -> None:
    status, answer = world.call("GET", path)
    assert status == 404
    assert isinstance(answer["error"], str)


def test_entity_keys_and_request_fields_are_tensors(world: World) -> None:
    status, answer = world.call("POST", "/v2/models/fraud/infer", infer(CARDS, AMOUNTS, id="mine"))
    assert status == 200
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("fraud", "1", "mine")
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("score", "FP64", [2])
    assert output["data"] == pytest.approx([1016.5, 1102.01])
    assert answer["parameters"]["variant"] == "champion"
    assert answer["parameters"]["request_ids"].split(",") == [r.request_id for r in world.sink.records]
    assert {record.client_id for record in world.sink.records} == {"mine"}


def test_a_version_can_be_asked_for(world: World) -> None:
    answer = world.call("POST", "/v2/models/fraud/versions/2/infer", infer(CARDS, AMOUNTS))[1]
    assert (answer["model_version"], answer["parameters"]["variant"]) == ("2", "candidate")
    assert answer["id"] == world.sink.records[0].request_id
    assert {record.role for record in world.sink.records} == {"test"}, "nobody assigned it the request"
    assert world.call("POST", "/v2/models/fraud/versions/3/infer", infer(CARDS, AMOUNTS))[0] == 404


def test_rows_of_several_versions_say_so() -> None:
    world = World(route(variant("champion", 1, 5_000), variant("candidate", 2, 5_000)))
    cards = tensor("card_id", "BYTES", [f"c{n}" for n in range(20)])
    answer = world.call("POST", "/v2/models/fraud/infer", infer(cards, tensor("amount", "FP32", [1.0] * 20)))[1]
    assert "model_version" not in answer
    assert set(answer["parameters"]["variant"].split(",")) == {"champion", "candidate"}


def test_features_can_be_sent_as_they_are(world: World) -> None:
    inputs = [
        tensor("amount", "FP32", [5.0]), tensor("activity__velocity", "INT32", [3]),
        tensor("activity__amount_mean", "FP64", [None]), tensor("activity__country", "BYTES", ["OM"]),
        tensor("amount_ratio", "FP64", [0.5]),
    ]  # fmt: skip
    status, answer = world.call("POST", "/v2/models/fraud%3Araw/infer", infer(*inputs))
    assert (status, answer["outputs"][0]["data"]) == (200, [1009.5])
    assert world.sink.records[0].features == [3, None, "OM", 0.5, 5.0]
    assert world.sink.records[0].applied_seq == {}


@pytest.mark.parametrize("data", [[1.0, 2.0, 3.0, 4.0], [[1.0, 2.0], [3.0, 4.0]]])
def test_a_bare_model_takes_a_matrix_flat_or_nested(world: World, data: Any) -> None:
    for name in ("bare", "bare:raw"):
        answer = world.call("POST", f"/v2/models/{name}/infer", infer(tensor("in", "FP32", data, [2, 2])))[1]
        assert answer["outputs"][0]["data"] == [4003.0, 4007.0]


ONE = tensor("card_id", "BYTES", ["c1"])


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("fraud", b"{", "body: "),
        ("fraud", {"inputs": [{"name": "x"}]}, "missing required field `shape`"),
        ("fraud", infer(), "no rows"),
        ("fraud", infer(tensor("card_id", "BYTES", [])), "no rows"),
        ("fraud", infer(CARDS), "request field 'amount' (float64) is missing"),
        ("fraud", infer(AMOUNTS), "entities field 'card_id' (string) is missing"),
        ("fraud", infer(CARDS, AMOUNTS, tensor("odd", "BOOL", [True, False])), "request field 'odd' does not exist"),
        ("fraud", infer(CARDS, CARDS, AMOUNTS), "stands twice"),
        ("fraud", infer(ONE, AMOUNTS), "has 2 rows, and others have 1"),
        ("fraud", infer(ONE, tensor("amount", "FP64", [1.0], [1, 2])), "needs 2 values, and there are 1"),
        ("fraud", infer(ONE, tensor("amount", "FP64", [1.0], [-1])), "is negative"),
        ("fraud", infer(ONE, tensor("amount", "FP64", ["1"])), "value 0 is '1', which is not FP64"),
        ("fraud", infer(ONE, tensor("amount", "INT64", [10**30])), "which is not INT64"),
        ("fraud", infer(ONE, tensor("amount", "FP64", [[1.0], 2.0], [2])), "mixes values and lists"),
        ("fraud", infer(ONE, tensor("amount", "STRING", ["1"])), "datatype 'STRING' does not exist"),
        ("fraud", infer(ONE, tensor("amount", "BOOL", [True])), "must be float64, got True"),
        ("fraud", infer(CARDS, AMOUNTS, outputs=[{"name": "other"}]), "output 'other' does not exist"),
        ("fraud", infer(CARDS, AMOUNTS, parameters={"at": 5}), "must be text"),
        ("fraud", infer({"name": "x", "datatype": "FP32", "shape": [1]}), "has no data"),
        ("fraud:raw", infer(CARDS), "input 'card_id' does not exist"),
        ("bare", infer(tensor("x", "FP64", [1.0])), "input 'y' (float64) is missing"),
        ("bare", infer(tensor("x", "FP64", [1.0]), tensor("y", "BYTES", ["a"])), "must be float64, got BYTES"),
        ("bare", infer(tensor("in", "FP64", [1.0, 2.0, 3.0], [1, 3])), "has 3 columns, and the model takes 2"),
        ("fraud:raw", infer(tensor("in", "FP64", [1.0] * 5, [1, 5])), "feature 'activity__country' needs a tensor"),
    ],
)  # fmt: skip
def test_bad_input_is_named(world: World, path: str, body: Any, said: str) -> None:
    status, answer = world.call("POST", f"/v2/models/{path}/infer", body)
    assert said in answer["error"]
    assert status == 400
    assert world.sink.records == []


@pytest.mark.parametrize(
    "inputs",
    [
        {"name": "x", "datatype": "BF16", "shape": [1], "data": [1]},
        {"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"shared_memory_region": "r"}},
    ],
)
def test_what_is_not_supported_says_so(world: World, inputs: dict[str, Any]) -> None:
    status, answer = world.call("POST", "/v2/models/fraud/infer", infer(inputs))
    assert (status, answer["code"]) == (501, "unsupported")


def test_history_needs_a_permission_of_its_own(world: World) -> None:
    body = infer(CARDS, AMOUNTS, parameters={"at": "1970-01-05T00:00:00Z", "unit": "u"})
    assert world.call("POST", "/v2/models/fraud/infer", body)[0] == 403
    assert world.call("POST", "/v2/models/fraud/infer", body, token=OWNER)[0] == 200
    assert {record.unit for record in world.sink.records} == {"u"}


def test_draining_is_said_while_still_serving(world: World) -> None:
    world.plane.draining = True
    assert world.call("GET", "/v2/health/ready", token=None)[0] == 503
    assert world.call("GET", "/v2/health/live", token=None)[0] == 200
    assert world.call("POST", "/v2/models/fraud/infer", infer(CARDS, AMOUNTS))[0] == 200
