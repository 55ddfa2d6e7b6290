"""Requests: the standard protocol, bad input by one sentence each, and nothing without a token."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.falaj_project import FalajProject, Reply, send
from support.tour import NOW
from support.trained import copied, made_once, make_serving
from support.waiting import until

PREDICT = "/v1/endpoints/fraud/predict"
GOOD = {"entities": {"card_id": "c1"}, "request": {"amount": 25.0}}
V2 = "/v2/models/fraud"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FalajProject]:
    """One running project for all tests here: they only ask."""
    serving = made_once(tmp_path_factory, "serving", make_serving)
    with copied(serving, tmp_path_factory.mktemp("requests") / "project") as project:
        yield project.up()


def tensors(**columns: tuple[str, list[Any]]) -> list[dict[str, Any]]:
    return [{"name": n, "datatype": t, "shape": [len(d)], "data": d} for n, (t, d) in columns.items()]


def test_open_inference_protocol(up: FalajProject) -> None:
    assert up.gateway("GET", "/v2/health/live", token="").json()["live"] is True
    assert up.gateway("GET", "/v2/health/ready", token="").json() == {"live": True, "ready": True}
    assert up.gateway("GET", "/v2").json()["name"] == "falaj"
    assert up.gateway("POST", "/v2/repository/index").json() == [
        {"name": "fraud", "version": "1", "state": "READY", "reason": ""}
    ]
    about = up.gateway("GET", V2).json()
    assert about["inputs"] == [
        {"name": "card_id", "datatype": "BYTES", "shape": [-1]},
        {"name": "amount", "datatype": "FP64", "shape": [-1]},
    ]
    assert up.gateway("GET", f"{V2}/versions/1/ready").json() == {"name": "fraud", "ready": True}
    inputs = tensors(card_id=("BYTES", ["c1", "c2", "nobody"]), amount=("FP64", [25.0, 900.0, 1.0]))
    reply = up.gateway("POST", f"{V2}/infer", {"id": "mine", "inputs": inputs, "parameters": {"at": NOW}})
    assert reply.status == 200, reply.text
    answer = reply.json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("mine", "fraud", "1")
    output = answer["outputs"][0]
    assert (output["datatype"], output["shape"]) == ("FP64", [3])
    native = [up.ask(card, amount, at=NOW)["prediction"] for card, amount in (("c1", 25.0), ("c2", 900.0))]
    assert output["data"][:2] == native
    ids = answer["parameters"]["request_ids"].split(",")
    assert up.json("why", ids[1])["entities"] == {"card_id": "c2"}


def test_the_features_themselves_can_be_sent(up: FalajProject) -> None:
    about = up.gateway("GET", f"{V2}:raw").json()
    why = up.json("why", up.ask("c3", 30.0, at=NOW)["request_id"])
    values = {one["name"]: one["value"] for one in why["features"]}
    inputs = [
        {"name": i["name"], "datatype": i["datatype"], "shape": [1], "data": [values[i["name"]]]}
        for i in about["inputs"]
    ]
    reply = up.gateway("POST", f"{V2}:raw/infer", {"inputs": inputs})
    assert reply.status == 200, reply.text
    assert reply.json()["outputs"][0]["data"] == [why["score"]]


def test_a_list_of_instances_is_answered_in_order(up: FalajProject) -> None:
    asked = [{"entities": {"card_id": f"c{n}"}, "request": {"amount": 10.0 * n}, "id": f"mine-{n}"} for n in range(50)]
    answers = up.gateway("POST", PREDICT, asked).json()
    assert [answer["id"] for answer in answers] == [one["id"] for one in asked]
    assert len({answer["request_id"] for answer in answers}) == 50


BAD: dict[str, tuple[str, str, object, int, str, str]] = {
    # name: (method, path, body, status, code, what the sentence names)
    "no_json": ("POST", PREDICT, b"{", 400, "input_invalid", "body"),
    "empty": ("POST", PREDICT, b"", 400, "input_invalid", "body"),
    "not_utf8": ("POST", PREDICT, b'{"entities": {"card_id": "\xff"}}', 400, "input_invalid", "body"),
    "a_number": ("POST", PREDICT, b"7", 400, "input_invalid", "body"),
    "no_instances": ("POST", PREDICT, b"[]", 400, "input_invalid", "no instances"),
    "no_entities": ("POST", PREDICT, {"request": {"amount": 1}}, 400, "input_invalid", "'card_id' (string) is missing"),
    "no_amount": ("POST", PREDICT, {"entities": {"card_id": "c1"}}, 400, "input_invalid", "'amount' (float64)"),
    "text_amount": ("POST", PREDICT, {**GOOD, "request": {"amount": "12"}}, 400, "input_invalid", "got '12' (text)"),
    "number_key": ("POST", PREDICT, {**GOOD, "entities": {"card_id": 5}}, 400, "input_invalid", "must be string"),
    "unknown_field": ("POST", PREDICT, {**GOOD, "request": {"amount": 1, "amuont": 1}}, 400, "input_invalid", "amuont"),
    "unknown_part": ("POST", PREDICT, {**GOOD, "entitys": {}}, 400, "input_invalid", "entitys"),
    "bad_at": ("POST", PREDICT, {**GOOD, "at": "yesterday"}, 400, "input_invalid", "'yesterday'"),
    "far_at": ("POST", PREDICT, {**GOOD, "at": "9999-12-31T23:59:59-12:00"}, 400, "input_invalid", "years 1 to 9999"),
    "long_at": ("POST", PREDICT, {**GOOD, "at": "x" * 100_000}, 400, "input_invalid", "[...]"),
    "deep": ("POST", PREDICT, b'{"request": ' + b"[" * 100_000, 400, "input_invalid", "body"),
    "naive_at": ("POST", PREDICT, {**GOOD, "at": "2025-02-15T00:00:00"}, 400, "input_invalid", "time zone"),
    "second_is_bad": ("POST", PREDICT, [GOOD, {**GOOD, "request": {}}], 400, "input_invalid", "instance 1: "),
    "too_many": ("POST", PREDICT, [GOOD] * 10_001, 400, "input_invalid", "10001 rows"),
    "no_endpoint": ("POST", "/v1/endpoints/frod/predict", GOOD, 404, "not_found", "'frod'"),
    "no_path": ("GET", "/v3", None, 404, "not_found", "/v3"),
    "method": ("GET", PREDICT, None, 405, "method_not_allowed", "GET"),
    "feedback_outcome": ("POST", "/v1/feedback", {"request_id": "r", "outcome": 3}, 400, "input_invalid", "3"),
    "feedback_text": ("POST", "/v1/feedback", {"request_id": "r", "outcome": "x"}, 400, "input_invalid", "outcome"),
    "feedback_no_id": ("POST", "/v1/feedback", {"outcome": 1}, 400, "input_invalid", "request_id"),
    "online_no_service": ("GET", "/v1/features/online?service=frod&card_id=c1", None, 404, "not_found", "'frod'"),
    "online_no_key": ("GET", "/v1/features/online?service=fraud", None, 400, "input_invalid", "card_id"),
    "online_bad_key": ("GET", "/v1/features/online?service=fraud&card=c1", None, 400, "input_invalid", "'card'"),
    "v2_model": ("POST", "/v2/models/frod/infer", {"inputs": []}, 404, "not_found", "'frod'"),
    "v2_version": ("POST", f"{V2}/versions/9/infer", {"inputs": []}, 404, "not_found", "9"),
    "v2_no_inputs": ("POST", f"{V2}/infer", {}, 400, "input_invalid", "inputs"),
    "v2_missing": ("POST", f"{V2}/infer", {"inputs": tensors(card_id=("BYTES", ["c1"]))}, 400, "input_invalid", "amount"),  # noqa: E501
    "v2_lengths": (
        "POST", f"{V2}/infer", {"inputs": tensors(card_id=("BYTES", ["c1", "c2"]), amount=("FP64", [1.0]))},
        400, "input_invalid", "amount",
    ),
    "v2_shape": (
        "POST", f"{V2}/infer",
        {"inputs": [{"name": "card_id", "datatype": "BYTES", "shape": [5], "data": ["c1"]}]}, 400, "input_invalid", "card_id",  # noqa: E501
    ),
    "v2_datatype": (
        "POST", f"{V2}/infer", {"inputs": tensors(card_id=("BYTES", ["c1"]), amount=("FP65", [1.0]))},
        400, "input_invalid", "FP65",
    ),
    "v2_output": (
        "POST", f"{V2}/infer",
        {"inputs": tensors(card_id=("BYTES", ["c1"]), amount=("FP64", [1.0])), "outputs": [{"name": "odds"}]},
        400, "input_invalid", "'odds'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_one_clear_sentence(up: FalajProject, name: str) -> None:
    method, path, body, status, code, named = BAD[name]
    _refused(up.gateway(method, path, body), status, code, named)


BAD_CONTROL: dict[str, tuple[str, str, object, int, str, str]] = {
    "no_path": ("GET", "/v1/nothing", None, 404, "not_found", "/v1/nothing"),
    "method": ("DELETE", "/v1/status", None, 405, "method_not_allowed", "DELETE"),
    "no_operation": ("POST", "/v1/operations/model.trian", {}, 404, "not_found", "'model.trian'"),
    "no_json": ("POST", "/v1/operations/model.train", b"{", 400, "input_invalid", "model.train"),
    "no_field": ("POST", "/v1/operations/model.train", {}, 400, "input_invalid", "model"),
    "no_model": ("POST", "/v1/operations/model.train", {"model": "frod"}, 404, "not_found", "'frod'"),
    "no_version": ("GET", "/v1/models/fraud/versions/9", None, 404, "not_found", "9"),
    "text_version": ("GET", "/v1/models/fraud/versions/nine", None, 404, "not_found", "nine"),
    "no_run": ("GET", "/v1/runs/run_none", None, 404, "not_found", "'run_none'"),
    "no_decision": ("GET", "/v1/decisions/req_none", None, 404, "not_found", "'req_none'"),
    "no_endpoint": ("POST", "/v1/operations/endpoint.deploy", {"endpoint": "x"}, 404, "not_found", "'x'"),
    "version_0": ("POST", "/v1/operations/endpoint.deploy", {"endpoint": "fraud", "version": 0}, 400, "input_invalid", "0"),  # noqa: E501
    "no_actor": ("POST", "/v1/operations/token.create", {"actor": "new"}, 400, "input_invalid", "'new'"),
    "role": ("POST", "/v1/operations/token.create", {"actor": "n", "role": "king"}, 400, "input_invalid", "king"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_CONTROL)
def test_a_bad_request_to_control_is_one_clear_sentence(up: FalajProject, name: str) -> None:
    method, path, body, status, code, named = BAD_CONTROL[name]
    _refused(up.control(method, path, body), status, code, named)


def _refused(reply: Reply, status: int, code: str, named: str) -> None:
    assert reply.status == status, reply.text
    found = reply.json()
    assert found["code"] == code
    assert named in found["error"]
    assert "\n" not in found["error"]
    assert "Traceback" not in reply.text


GATEWAY_ROUTES = [
    ("POST", PREDICT), ("POST", "/v1/feedback"), ("GET", "/v1/features/online?service=fraud&card_id=c1"),
    ("GET", "/metrics"), ("GET", "/v2"), ("GET", "/v2/"), ("POST", "/v2/repository/index"), ("GET", V2),
    ("GET", f"{V2}/ready"), ("POST", f"{V2}/infer"), ("GET", f"{V2}/versions/1"), ("GET", f"{V2}/versions/1/ready"),
    ("POST", f"{V2}/versions/1/infer"), ("POST", f"{V2}:raw/infer"),
]  # fmt: skip
PUBLIC_ON_CONTROL = {("GET", "/healthz"), ("GET", "/"), ("POST", "/login"), ("POST", "/logout")}


@pytest.mark.parametrize(("method", "path"), GATEWAY_ROUTES)
def test_the_gateway_lets_nobody_in_without_a_token(up: FalajProject, method: str, path: str) -> None:
    for token in ("", "flj_wrong", "x" * 5000):
        reply = up.gateway(method, path, b"{}" if method == "POST" else None, token=token)
        assert (reply.status, reply.json()["code"]) == (401, "unauthenticated"), reply.text


def test_control_lets_nobody_in_without_a_token(up: FalajProject) -> None:
    routes = control_routes(up)
    assert len(routes) > 10
    for method, path in sorted(routes - PUBLIC_ON_CONTROL):
        for token in ("", "flj_wrong"):
            reply = up.control(method, path, b"{}" if method == "POST" else None, token=token)
            assert reply.status == 401, f"{method} {path}: {reply.status} {reply.text[:200]}"
    # What anybody may see says nothing about the project.
    for method, path in sorted(PUBLIC_ON_CONTROL):
        text = up.control(method, path, b"{}" if method == "POST" else None, token="").text
        assert "card_activity" not in text
        assert "tour" not in text


def control_routes(up: FalajProject) -> set[tuple[str, str]]:
    """Every route, as control's own description lists them, and the pages."""
    described = up.control("GET", "/schema/openapi.json", token="").json()["paths"]
    found = set()
    for path, methods in described.items():
        for name, value in {
            "model": "fraud", "version": "1", "document": "card", "run_id": "run_1", "request_id": "req_1",
            "name": "project.status", "source": "transactions", "incident": "1",
        }.items():  # fmt: skip
            path = path.replace(f"{{{name}}}", value)
        found |= {(method.upper(), path) for method in methods}
    assert not any("{" in path for _, path in found), found
    return found


def test_what_a_role_may_not_do_is_refused(up: FalajProject) -> None:
    service, viewer = up.token("app", "service"), up.token("eye", "viewer")
    narrow = up.token("narrow", "service", "endpoint.predict@other")
    assert up.gateway("POST", PREDICT, GOOD, token=service).status == 200
    for token, named in ((viewer, "may not do endpoint.predict"), (narrow, "does not cover endpoint.predict")):
        reply = up.gateway("POST", PREDICT, GOOD, token=token)
        assert (reply.status, reply.json()["code"]) == (403, "access_denied")
        assert named in reply.json()["error"]
    # The past is a permission of its own: who may ask about now may not probe history.
    past = up.gateway("POST", PREDICT, {**GOOD, "at": NOW}, token=service)
    assert (past.status, past.json()["code"]) == (403, "access_denied")
    for operation, params in {
        "model.train": {"model": "fraud"}, "endpoint.rollback": {"endpoint": "fraud"}, "token.create": {"actor": "me"},
        "project.apply": {"definitions": {}}, "audit.list": {}, "model.approve": {"model": "fraud", "version": 1},
    }.items():  # fmt: skip
        reply = up.control("POST", f"/v1/operations/{operation}", params, token=service)
        assert (reply.status, reply.json()["code"]) == (403, "access_denied"), operation


def test_a_revoked_token_ends_at_once(up: FalajProject) -> None:
    token = up.token("leaver", "service")
    assert up.gateway("POST", PREDICT, GOOD, token=token).status == 200
    record = up.json("token", "list", "--actor", "leaver")[0]
    up.falaj("token", "revoke", record["id"])
    until(lambda: up.gateway("POST", PREDICT, GOOD, token=token).status == 401, "the gateway knows", within_s=1)
    assert up.control("GET", "/v1/status", token=token).status == 401
    refused = up.refused("status", token=token)
    assert (refused["code"], refused["exit"]) == ("unauthenticated", 6)


def test_the_cookie_reads_and_never_writes(up: FalajProject) -> None:
    base = f"http://127.0.0.1:{up.control_port}"
    signed_in = send("POST", f"{base}/login", {"token": up.owner})
    assert signed_in.status == 200
    cookie = signed_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    kept = {"cookie": cookie.partition(";")[0]}
    assert "tour" in send("GET", f"{base}/", headers=kept).text
    assert send("GET", f"{base}/v1/status", headers=kept).status == 200
    assert send("POST", f"{base}/v1/operations/project.status", {}, headers=kept).status == 401
    assert send("POST", f"{base}/login", {"token": "flj_wrong"}).status == 401


def test_metrics_count_what_was_asked(up: FalajProject) -> None:
    name = 'falaj_predictions_total{endpoint="fraud",variant="champion",version="1",role="live"}'
    before = up.metric(name)
    for _ in range(5):
        up.ask()
    assert up.metric(name) == before + 5


def test_the_state_folder_is_its_owners_alone(up: FalajProject) -> None:
    assert (up.state / "owner.token").stat().st_mode & 0o077 == 0
    assert (up.state / "run").stat().st_mode & 0o077 == 0
    assert Path(up.state / "owner.token").read_text().startswith("flj_")


def test_a_token_with_a_rate_is_told_when_to_come_again(up: FalajProject) -> None:
    made = up.run("token", "create", "--actor", "trial", "--role", "service", "--rate", "1/h", "--burst", "5")
    token = made.out.strip()
    assert "1/h burst 5" in up.run("token", "list", "--actor", "trial").out
    replies = [up.gateway("POST", PREDICT, [GOOD] * 2, token=token) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[-1].json()["code"] == "rate_limited"
    assert up.gateway("POST", PREDICT, GOOD, token=token).status == 200
    assert up.gateway("POST", PREDICT, GOOD).status == 200
    metrics = up.gateway("GET", "/metrics").text
    assert "falaj_rate_limited_requests_total 1\n" in metrics
